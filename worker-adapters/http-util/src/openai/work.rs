//! Each kind of work on its route.

use std::sync::Arc;

use adapter_api::{AdapterError, Prompt, Relay, Route, TokenStream, Work, WorkOrder};

use super::{
    CompletionCall, DocumentReader, Echo, EmbeddingReader, Extras, OpenAiDialect, RelayDialect, RerankReader,
    echo::Named, embedding_body, error, relay_body, rerank_body,
};
use crate::{
    client::{EngineHttp, StreamRefused},
    headers::order_headers,
};

type Opened = Result<Box<dyn TokenStream>, AdapterError>;

/// An engine, an order, and the engine's own name for the model.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The engine.
    pub http: &'a EngineHttp,
    /// The order.
    pub order: &'a WorkOrder,
    /// The engine's name for the model.
    pub model: &'a str,
    /// What is known of the names in its answers; `None` for an engine that never writes a request's.
    pub echo: Option<&'a Arc<Echo>>,
}

/// Any work, at a server that has every route.
pub async fn submit(asked: Asked<'_>, extras: Extras) -> Opened {
    let Asked { http, order, model, echo } = asked;
    match &order.work {
        Work::Generate(generate) => {
            let call = CompletionCall::of(generate, model, extras, &order.request_id);
            let (path, body) = (call.path(), call.to_json().into());
            let dialect = Named::new(OpenAiDialect::default(), echo, &order.request_id);
            opened(http.stream(path, body, &order_headers(order), dialect).await)
        }
        Work::Embed(texts) => embed(asked, texts).await,
        Work::Rerank { query, documents } => rerank(asked, query, documents).await,
        Work::Relay(call) => relay(asked, call, "").await,
    }
}

/// A call that is handed on. `own` is what the engine needs beside, as JSON members with a comma behind each.
pub async fn relay(asked: Asked<'_>, call: &Relay, own: &str) -> Opened {
    let Asked { http, order, model, echo } = asked;
    let (path, body) = (call.route.path(), relay_body(call, model, own).into());
    match call.route {
        Route::Embeddings => opened(http.whole(path, body, &order_headers(order), DocumentReader).await),
        Route::ChatCompletions | Route::Completions => {
            let dialect = Named::new(RelayDialect::new(call), echo, &order.request_id);
            opened(http.stream(path, body, &order_headers(order), dialect).await)
        }
    }
}

/// Vectors for texts.
pub async fn embed(asked: Asked<'_>, texts: &[Prompt]) -> Opened {
    let Asked { http, order, model, .. } = asked;
    let (body, reader) = (embedding_body(texts, model).into(), EmbeddingReader { texts: texts.len() });
    opened(http.whole(Route::Embeddings.path(), body, &order_headers(order), reader).await)
}

/// A ranking of texts.
pub async fn rerank(asked: Asked<'_>, query: &Prompt, documents: &[Prompt]) -> Opened {
    let Asked { http, order, model, .. } = asked;
    let (body, reader) =
        (rerank_body(query, documents, model).into(), RerankReader { texts: documents.len() });
    opened(http.whole("/v1/rerank", body, &order_headers(order), reader).await)
}

fn opened<S: TokenStream + 'static>(result: Result<S, StreamRefused>) -> Opened {
    match result {
        Ok(stream) => Ok(Box::new(stream)),
        Err(refused) => Err(error(refused)),
    }
}

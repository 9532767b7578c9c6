//! Text Generation Inference's HTTP server.
//!
//! Text goes over its own `/generate_stream`, which tells counts and the reason of the end; conversations
//! go over its copy of `OpenAI`'s route, since only the engine has the model's template.
//!
//! Invariant: a stream is only good if an event had a `generated_text`, or on the other route a finish
//! reason and `[DONE]` after it. No stop text reaches a client, though this engine sends them.
#![warn(missing_docs)]

mod dialect;
mod probe;
mod refusal;
mod wire;

use std::sync::Arc;

use adapter_api::{
    AdapterError, Capabilities, EngineReport, Generate, GoesOnWith, Input, Route, TokenStream, Work,
    WorkOrder, WorkerAdapter, Workload,
};
use async_trait::async_trait;
use http_util::{
    EngineHttp,
    openai::{self, Asked, CompletionCall, Extras, OpenAiDialect},
    order_headers,
};

pub use dialect::TgiDialect;

use crate::wire::GenerateRequest;

const CAPABILITIES: Capabilities = Capabilities {
    engine: "tgi",
    workloads: &[Workload::Completion],
    deterministic: true,
    goes_on_with: GoesOnWith::Text,
};
/// It serves one model and looks at no name, but wants one.
const MODEL: &str = "tgi";

/// One TGI server.
#[derive(Debug)]
pub struct Tgi {
    http: EngineHttp,
}

impl Tgi {
    /// An adapter for the server that `http` reaches.
    pub fn new(http: EngineHttp) -> Self {
        Self { http }
    }

    async fn generate(
        &self,
        order: &WorkOrder,
        generate: &Generate,
    ) -> Result<Box<dyn TokenStream>, AdapterError> {
        let dialect = TgiDialect::new(&generate.sampling.stop);
        let body = GenerateRequest::of(generate).to_json().into();
        match self.http.stream("/generate_stream", body, &order_headers(order), dialect).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(refused) => Err(openai::error(refused)),
        }
    }

    async fn chat(
        &self,
        order: &WorkOrder,
        generate: &Generate,
    ) -> Result<Box<dyn TokenStream>, AdapterError> {
        // It wants a schema beside a wish for JSON, and none came with the wish.
        let call = CompletionCall::of(generate, MODEL, Extras::None, &order.request_id);
        let call = call.without_whole_top_p().without_shape();
        let (path, body) = (call.path(), call.to_json().into());
        let dialect = OpenAiDialect::that_sends_stops(&generate.sampling.stop);
        match self.http.stream(path, body, &order_headers(order), dialect).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(refused) => Err(openai::error(refused)),
        }
    }
}

#[async_trait]
impl WorkerAdapter for Tgi {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn probe(&self) -> Result<EngineReport, AdapterError> {
        probe::look(&self.http).await
    }

    async fn submit(&self, order: Arc<WorkOrder>) -> Result<Box<dyn TokenStream>, AdapterError> {
        let asked = Asked { http: &self.http, order: &order, model: MODEL, echo: None };
        match &order.work {
            Work::Generate(generate) => match generate.input {
                Input::Text(_) => self.generate(&order, generate).await,
                Input::Chat(_) => self.chat(&order, generate).await,
            },
            Work::Relay(call) if call.route != Route::Embeddings => openai::relay(asked, call, "").await,
            Work::Relay(_) | Work::Embed(_) | Work::Rerank { .. } => {
                Err(AdapterError::Refused { message: "this engine only makes text".to_owned() })
            }
        }
    }
}

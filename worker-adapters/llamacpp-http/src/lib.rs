//! llama.cpp's own HTTP server, spoken with in its native dialect.
//!
//! The native `/completion` route tells more than the compatible ones: its own token counts on every
//! chunk, the cache hit, and why it stopped. See the README for the routes that are used.
//!
//! Invariant: a stream is only good if the engine said `"stop":true`; a clean end without it is a loss.
#![warn(missing_docs)]

mod dialect;
mod probe;
mod prompt;
mod refusal;
mod wire;

use std::sync::Arc;

use adapter_api::{
    AdapterError, Capabilities, EngineReport, Generate, GoesOnWith, TokenStream, Work, WorkOrder,
    WorkerAdapter, Workload,
};
use async_trait::async_trait;
use http_util::{
    EngineHttp,
    openai::{self, Asked},
    order_headers,
};

pub use dialect::LlamaCppDialect;

use crate::{probe::Probe, wire::CompletionRequest};

const CAPABILITIES: Capabilities = Capabilities {
    engine: "llamacpp",
    workloads: &Workload::ALL,
    deterministic: true,
    goes_on_with: GoesOnWith::TextAndChat,
};

/// One llama.cpp server.
#[derive(Debug)]
pub struct LlamaCpp {
    http: EngineHttp,
    probe: Probe,
}

impl LlamaCpp {
    /// An adapter for the server that `http` reaches.
    pub fn new(http: EngineHttp) -> Self {
        Self { http, probe: Probe::default() }
    }
}

#[async_trait]
impl WorkerAdapter for LlamaCpp {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn probe(&self) -> Result<EngineReport, AdapterError> {
        self.probe.look(&self.http).await
    }

    async fn submit(&self, order: Arc<WorkOrder>) -> Result<Box<dyn TokenStream>, AdapterError> {
        // It serves one model and looks at no name.
        let asked = Asked { http: &self.http, order: &order, model: &order.model, echo: None };
        match &order.work {
            Work::Generate(generate) => self.generate(&order, generate).await,
            Work::Embed(texts) => openai::embed(asked, texts).await,
            Work::Rerank { query, documents } => openai::rerank(asked, query, documents).await,
            Work::Relay(call) => openai::relay(asked, call, wire::RELAY_MEMBERS).await,
        }
    }
}

impl LlamaCpp {
    async fn generate(
        &self,
        order: &WorkOrder,
        generate: &Generate,
    ) -> Result<Box<dyn TokenStream>, AdapterError> {
        let prompt = prompt::of(&self.http, generate).await?;
        let body = CompletionRequest::of(generate, &prompt).to_json().into();
        // Never `X-Conversation-Id`: with it, generation would survive the closing of the connection.
        let headers = order_headers(order);
        let opened = self.http.stream("/completion", body, &headers, LlamaCppDialect::default()).await;
        match opened {
            Ok(stream) => Ok(Box::new(stream)),
            Err(refused) => Err(refusal::error(refused)),
        }
    }
}

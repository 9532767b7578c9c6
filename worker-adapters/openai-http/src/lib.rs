//! Any server that speaks `OpenAI`'s dialect: `SGLang`, Ollama, LM Studio, llama-swap, mistral.rs and others.
//!
//! The dialect itself stands in `http-util`, since more than one engine speaks it. Here is only what is
//! known of a server of which nothing else is known: which models it has, and whether it answers.
//!
//! Invariant: a stream is only good if a finish reason came and `[DONE]` after it.
#![warn(missing_docs)]

mod probe;

use std::sync::Arc;

use adapter_api::{AdapterError, Capabilities, EngineReport, TokenStream, WorkOrder, WorkerAdapter};
use async_trait::async_trait;
use http_util::{
    EngineHttp,
    openai::{self, CompletionCall, Extras, OpenAiDialect},
    order_headers,
};

use crate::probe::Probe;

const CAPABILITIES: Capabilities =
    Capabilities { engine: "openai", workloads: &["completion"], deterministic: false };

/// One server.
#[derive(Debug)]
pub struct OpenAi {
    http: EngineHttp,
    probe: Probe,
}

impl OpenAi {
    /// An adapter for the server that `http` reaches.
    pub fn new(http: EngineHttp) -> Self {
        Self { http, probe: Probe::default() }
    }
}

#[async_trait]
impl WorkerAdapter for OpenAi {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn probe(&self) -> Result<EngineReport, AdapterError> {
        self.probe.look(&self.http).await
    }

    async fn submit(&self, order: Arc<WorkOrder>) -> Result<Box<dyn TokenStream>, AdapterError> {
        let model = self.probe.models().id_for(&order.model);
        let call = CompletionCall::of(&order, &model, Extras::None);
        let (path, body) = (call.path(), call.to_json().into());
        let opened = self.http.stream(path, body, &order_headers(&order), OpenAiDialect::default()).await;
        match opened {
            Ok(stream) => Ok(Box::new(stream)),
            Err(refused) => Err(openai::error(refused)),
        }
    }
}

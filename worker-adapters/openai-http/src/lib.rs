//! Any server that speaks `OpenAI`'s dialect: `SGLang`, Ollama, LM Studio, llama-swap, mistral.rs and others.
//!
//! The dialect itself stands in `http-util`, since more than one engine speaks it. Here is only what is
//! known of a server of which nothing else is known: which models it has, and whether it answers.
//!
//! Invariant: a stream is only good if a finish reason came and `[DONE]` after it.
#![warn(missing_docs)]

mod probe;

use std::sync::Arc;

use adapter_api::{
    AdapterError, Capabilities, EngineReport, GoesOnWith, TokenStream, WorkOrder, WorkerAdapter, Workload,
};
use async_trait::async_trait;
use http_util::{
    EngineHttp,
    openai::{self, Asked, Extras},
};

use crate::probe::Probe;

const CAPABILITIES: Capabilities = Capabilities {
    engine: "openai",
    workloads: &Workload::ALL,
    deterministic: false,
    goes_on_with: GoesOnWith::Text,
};

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
        openai::submit(Asked { http: &self.http, order: &order, model: &model, echo: None }, Extras::None)
            .await
    }
}

//! vLLM's HTTP server.
//!
//! It speaks `OpenAI`'s dialect, which stands in `http-util`. Its own are the questions of the probe, one
//! field of sampling, and the words by which it says that it is busy.
//!
//! Invariant: a stream is only good if a finish reason came and `[DONE]` after it; this server sends
//! `[DONE]` even when its engine died.
#![warn(missing_docs)]

mod metrics;
mod probe;

use std::sync::Arc;

use adapter_api::{
    AdapterError, Capabilities, EngineReport, GoesOnWith, TokenStream, WorkOrder, WorkerAdapter, Workload,
};
use async_trait::async_trait;
use http_util::{
    EngineHttp,
    openai::{self, Asked, Echo, Extras},
};

use crate::probe::Probe;

const CAPABILITIES: Capabilities = Capabilities {
    engine: "vllm",
    workloads: &Workload::ALL,
    deterministic: true,
    goes_on_with: GoesOnWith::TextAndChat,
};

/// One vLLM server.
#[derive(Debug)]
pub struct Vllm {
    http: EngineHttp,
    probe: Probe,
    /// It writes `X-Request-Id` into the ids of its events.
    echo: Arc<Echo>,
}

impl Vllm {
    /// An adapter for the server that `http` reaches.
    pub fn new(http: EngineHttp) -> Self {
        Self { http, probe: Probe::default(), echo: Arc::default() }
    }
}

#[async_trait]
impl WorkerAdapter for Vllm {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn probe(&self) -> Result<EngineReport, AdapterError> {
        self.probe.look(&self.http).await
    }

    async fn submit(&self, order: Arc<WorkOrder>) -> Result<Box<dyn TokenStream>, AdapterError> {
        let model = self.probe.models().id_for(&order.model);
        let asked = Asked { http: &self.http, order: &order, model: &model, echo: Some(&self.echo) };
        openai::submit(asked, Extras::Vllm).await
    }
}

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

use adapter_api::{AdapterError, Capabilities, EngineReport, Input, TokenStream, WorkOrder, WorkerAdapter};
use async_trait::async_trait;
use http_util::{
    EngineHttp,
    openai::{self, CompletionCall, Extras, OpenAiDialect},
    order_headers,
};

pub use dialect::TgiDialect;

use crate::wire::GenerateRequest;

const CAPABILITIES: Capabilities =
    Capabilities { engine: "tgi", workloads: &["completion"], deterministic: true };
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

    async fn generate(&self, order: &WorkOrder, text: &str) -> Result<Box<dyn TokenStream>, AdapterError> {
        let body = GenerateRequest::of(order, text).to_json().into();
        let dialect = TgiDialect::new(&order.sampling.stop);
        match self.http.stream("/generate_stream", body, &order_headers(order), dialect).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(refused) => Err(openai::error(refused)),
        }
    }

    async fn chat(&self, order: &WorkOrder) -> Result<Box<dyn TokenStream>, AdapterError> {
        let call = CompletionCall::of(order, MODEL, Extras::None).without_whole_top_p();
        let (path, body) = (call.path(), call.to_json().into());
        let dialect = OpenAiDialect::that_sends_stops(&order.sampling.stop);
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
        match &order.input {
            Input::Text(text) => self.generate(&order, text.expose()).await,
            Input::Chat(_) => self.chat(&order).await,
        }
    }
}

//! Looking at the engine: is it up, what does it serve, and how much of it works now.
//!
//! While it loads its port is closed, so there is no "loading" to be told apart. How many streams it
//! takes at once is nowhere said; the operator's `slots` gives it.

use adapter_api::{AdapterError, EngineReport};
use http_util::{
    EngineHttp,
    openai::{Model, Models, ServedModels, model_names},
};
use serde::Deserialize;

use crate::metrics::requests;

/// What was learnt from the engine.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    models: ServedModels,
}

/// `GET /version`.
#[derive(Debug, Deserialize)]
struct Version {
    version: Option<String>,
}

impl Probe {
    /// The models that it had when it was asked last.
    pub(crate) fn models(&self) -> &ServedModels {
        &self.models
    }

    /// Asks the engine how it is.
    pub(crate) async fn look(&self, http: &EngineHttp) -> Result<EngineReport, AdapterError> {
        http.get("/health").await?;
        let models: Models = http.get_json("/v1/models").await?;
        if models.data.is_empty() {
            return Err(AdapterError::Unreachable { reason: "it serves no model now".to_owned() });
        }
        self.models.learn(&models);
        let version: Option<Version> = http.get_json("/version").await.ok();
        // Its numbers may be kept from us by a proxy; that alone is no reason not to use it.
        let metrics = http.get("/metrics").await.ok();
        Ok(EngineReport {
            version: version.and_then(|told| told.version),
            models: model_names(&models),
            slots_busy: metrics.and_then(|text| requests(&text)),
            ctx_max: models.data.iter().filter_map(Model::context).min(),
            ..EngineReport::default()
        })
    }
}

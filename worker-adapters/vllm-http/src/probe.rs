//! Looking at the engine: is it up, what does it serve, and how much of it works now.
//!
//! While it loads its port is closed, so there is no "loading" to be told apart. How many streams it
//! takes at once is nowhere said; the operator's `slots` gives it.

use std::sync::Mutex;

use adapter_api::{AdapterError, EngineReport, Route, Workload};
use http_util::{
    EngineHttp,
    openai::{Model, Models, ServedModels, model_names},
};
use serde::Deserialize;

use crate::metrics::{kv_cache_per_mille, requests};

/// What was learnt from the engine.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    models: ServedModels,
    /// What it can do, which does not change while it runs.
    workloads: Mutex<Option<Vec<Workload>>>,
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
        let report = self.ask(http).await;
        if report.is_err() {
            // It may come back with another model.
            self.remember(None);
        }
        report
    }

    async fn ask(&self, http: &EngineHttp) -> Result<EngineReport, AdapterError> {
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
            workloads: Some(self.workloads(http).await),
            slots_busy: metrics.as_deref().and_then(requests),
            kv_cache_per_mille: metrics.as_deref().and_then(kv_cache_per_mille),
            ctx_max: models.data.iter().filter_map(Model::context).min(),
            ..EngineReport::default()
        })
    }

    async fn workloads(&self, http: &EngineHttp) -> Vec<Workload> {
        let known = self.workloads.lock().map(|known| known.clone()).unwrap_or_default();
        if let Some(known) = known {
            return known;
        }
        let mut workloads = Vec::new();
        let routes = [Route::Completions.path(), Route::Embeddings.path(), "/v1/rerank"];
        for (workload, path) in Workload::ALL.into_iter().zip(routes) {
            if has_route(http, path).await {
                workloads.push(workload);
            }
        }
        if workloads.is_empty() {
            // A proxy hides its routes. What nearly every such server does is the better guess.
            workloads.push(Workload::Completion);
        }
        self.remember(Some(workloads.clone()));
        workloads
    }

    fn remember(&self, workloads: Option<Vec<Workload>>) {
        if let Ok(mut known) = self.workloads.lock() {
            *known = workloads;
        }
    }
}

/// The server has the routes that its model can serve, and says "another method" on those.
async fn has_route(http: &EngineHttp, path: &str) -> bool {
    http.status(path).await.is_ok_and(|status| status == 405)
}

//! Looking at a server of which only the dialect is known.
//!
//! Its list of models is the one question that all such servers answer; the others are asked where they
//! are known. The list is asked for each time, since some of these servers change it while they run.

use adapter_api::{AdapterError, EngineReport};
use http_util::{
    EngineHttp,
    openai::{Models, ServedModels, model_names},
};
use serde::Deserialize;

/// What was learnt from the server.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    models: ServedModels,
}

/// `GET /version`, where there is one.
#[derive(Debug, Deserialize)]
struct Version {
    version: Option<String>,
}

impl Probe {
    /// The models that it had when it was asked last.
    pub(crate) fn models(&self) -> &ServedModels {
        &self.models
    }

    /// Asks the server how it is.
    pub(crate) async fn look(&self, http: &EngineHttp) -> Result<EngineReport, AdapterError> {
        // A server without this route is not ill: its list of models tells as much.
        http.get_if_known("/health").await?;
        let models: Models = http.get_json("/v1/models").await?;
        if models.data.is_empty() {
            return Err(AdapterError::Unreachable { reason: "it serves no model now".to_owned() });
        }
        self.models.learn(&models);
        Ok(EngineReport {
            version: version(http).await,
            models: model_names(&models),
            // One job may go to any of the models, so the shortest context is what can be promised.
            ctx_max: models.data.iter().filter_map(http_util::openai::Model::context).min(),
            ..EngineReport::default()
        })
    }
}

/// The server's version; unknown where it does not tell.
async fn version(http: &EngineHttp) -> Option<String> {
    let answer = http.get_if_known("/version").await.ok()??;
    serde_json::from_slice::<Version>(&answer).ok()?.version
}

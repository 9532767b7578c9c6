//! Looking at the engine: is it up, and what does it serve.
//!
//! What cannot change while the engine runs is asked once, and again after it was away. The rest is one
//! small question, since an engine that is asked often frees abandoned slots late.

use std::sync::Mutex;

use adapter_api::{AdapterError, EngineReport, Workload};
use http_util::{EngineHttp, StreamRefused};

use crate::wire::{Models, Props, Slot};

/// What was learnt from the engine while it is up.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    known: Mutex<Option<EngineReport>>,
}

impl Probe {
    /// Asks the engine how it is.
    pub(crate) async fn look(&self, http: &EngineHttp) -> Result<EngineReport, AdapterError> {
        let report = self.ask(http).await;
        self.remember(report.as_ref().ok());
        report
    }

    async fn ask(&self, http: &EngineHttp) -> Result<EngineReport, AdapterError> {
        http.get("/health").await.map_err(plain)?;
        let known = self.known();
        let mut report = match known {
            Some(known) => known,
            None => learn(http).await.map_err(plain)?,
        };
        report.slots_busy = busy(http).await;
        Ok(report)
    }

    fn known(&self) -> Option<EngineReport> {
        self.known.lock().map(|known| known.clone()).unwrap_or_default()
    }

    fn remember(&self, report: Option<&EngineReport>) {
        if let Ok(mut known) = self.known.lock() {
            *known = report.cloned();
        }
    }
}

/// The two refusals that an operator meets every day, in words instead of the engine's JSON.
fn plain(error: AdapterError) -> AdapterError {
    let AdapterError::Unreachable { reason } = &error else { return error };
    let known =
        [("Loading model", "it is still loading its model"), ("Invalid API Key", "it wants another API key")];
    match known.iter().find(|(said, _)| reason.contains(said)) {
        Some((_, meaning)) => AdapterError::Unreachable { reason: (*meaning).to_owned() },
        None => error,
    }
}

async fn learn(http: &EngineHttp) -> Result<EngineReport, AdapterError> {
    let props: Props = http.get_json("/props").await?;
    let models: Models = http.get_json("/v1/models").await?;
    let mut names: Vec<String> = Vec::new();
    let told = models.data.into_iter().flat_map(|model| std::iter::once(model.id).chain(model.aliases));
    for name in told.chain(props.model_alias).chain(props.model_path) {
        // A model is known by its path, and by the last part of it.
        let file = name.rsplit('/').next().unwrap_or_default().to_owned();
        for name in [name, file] {
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let mut workloads = vec![Workload::Completion];
    let others = [(Workload::Embedding, "/v1/embeddings"), (Workload::Rerank, "/v1/rerank")];
    for (workload, path) in others {
        if serves(http, path).await {
            workloads.push(workload);
        }
    }
    Ok(EngineReport {
        version: props.build_info,
        models: names,
        workloads: Some(workloads),
        slots_total: props.total_slots,
        slots_busy: None,
        ctx_max: props.default_generation_settings.and_then(|settings| settings.n_ctx),
        vram_free_bytes: None,
        kv_cache_per_mille: None,
    })
}

/// Whether a route is switched on. It is asked for nothing, and one that is on says what it misses.
async fn serves(http: &EngineHttp, path: &str) -> bool {
    let answer = http.post_json(path, "{}".into()).await;
    matches!(answer, Err(StreamRefused::Status { status: 400, .. }))
}

/// Busy slots; unknown where the engine does not tell.
async fn busy(http: &EngineHttp) -> Option<u32> {
    let slots: Vec<Slot> = http.get_json("/slots").await.ok()?;
    u32::try_from(slots.iter().filter(|slot| slot.is_processing).count()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_everyday_refusals_are_told_in_plain_words() {
        let told = |reason: &str| plain(AdapterError::Unreachable { reason: reason.to_owned() }).to_string();
        let loading = r#"/health answered 503: {"error":{"message":"Loading model","code":503}}"#;
        assert_eq!(told(loading), "engine is unreachable: it is still loading its model");
        let key = r#"/props answered 401: {"error":{"message":"Invalid API Key","code":401}}"#;
        assert_eq!(told(key), "engine is unreachable: it wants another API key");
        assert_eq!(told("no connection"), "engine is unreachable: no connection");
    }
}

//! Looking at the engine: is it up, and what does it serve.
//!
//! Its port opens when the model is warm, and all else stands in one answer.

use adapter_api::{AdapterError, EngineReport};
use http_util::EngineHttp;

use crate::wire::Info;

/// Asks the engine how it is.
pub(crate) async fn look(http: &EngineHttp) -> Result<EngineReport, AdapterError> {
    http.get("/health").await?;
    let info: Info = http.get_json("/info").await?;
    let file = info.model_id.rsplit('/').next().unwrap_or_default();
    let mut models = vec![info.model_id.clone()];
    if !file.is_empty() && file != info.model_id {
        models.push(file.to_owned());
    }
    Ok(EngineReport {
        version: info.version,
        models,
        slots_total: info.max_concurrent_requests.filter(|slots| *slots > 0),
        ctx_max: info.max_total_tokens,
        ..EngineReport::default()
    })
}

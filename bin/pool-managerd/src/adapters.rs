//! The table of engines: how each is asked how it is. The only file that names a concrete adapter.

use std::{sync::Arc, time::Duration};

use adapter_api::{
    EngineReport, Generate, Input, TokenBatch, Work, WorkOrder, WorkerAdapter, Workload, next,
};
use config_schema::{EngineKind, Secret};
use http_util::{EngineHttp, HttpTimeouts};
use llamacpp_http::LlamaCpp;
use openai_http::OpenAi;
use tgi_http::Tgi;
use tokio::time::timeout;
use url::Url;
use vllm_http::Vllm;

const TIMEOUTS: HttpTimeouts = HttpTimeouts {
    connect: Duration::from_secs(2),
    question: Duration::from_secs(5),
    silence: Duration::from_mins(5),
};

/// The adapter for an engine.
///
/// # Errors
/// When the address or the key cannot be used.
pub(crate) fn build(
    engine: EngineKind,
    endpoint: Url,
    key: Option<&Secret>,
) -> Result<Arc<dyn WorkerAdapter>, String> {
    let http = EngineHttp::new(endpoint, key.map(Secret::reveal), TIMEOUTS)?;
    Ok(match engine {
        EngineKind::Llamacpp => Arc::new(LlamaCpp::new(http)),
        EngineKind::Vllm => Arc::new(Vllm::new(http)),
        EngineKind::Tgi => Arc::new(Tgi::new(http)),
        EngineKind::OpenAi => Arc::new(OpenAi::new(http)),
        EngineKind::Mock => return Err("the mock is no engine of a node".to_owned()),
    })
}

/// Has the engine make one token, so that the first task does not pay for what is done only once.
///
/// # Errors
/// What went wrong, in words.
//= ORCH-3002
pub(crate) async fn warm_up(
    adapter: Arc<dyn WorkerAdapter>,
    report: &EngineReport,
    within: Duration,
) -> Result<(), String> {
    let model: Arc<str> = report.models.first().map(String::as_str).unwrap_or_default().into();
    let does = |workload| report.workloads.as_ref().is_none_or(|all| all.contains(&workload));
    let work = if does(Workload::Completion) {
        Work::Generate(Generate::from(Input::text("Hello"), 1))
    } else {
        Work::Embed(vec![adapter_api::Prompt::new("Hello")])
    };
    let order = WorkOrder { request_id: "warm-up".into(), model, work, trace: None };
    let made = timeout(within, async {
        let mut stream = adapter.submit(Arc::new(order)).await?;
        let mut batch = TokenBatch::default();
        loop {
            batch.clear();
            if let adapter_api::Progress::Ended(_) = next(stream.as_mut(), &mut batch).await? {
                return Ok::<(), adapter_api::AdapterError>(());
            }
        }
    });
    match made.await {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_late) => Err("it did not come in time".to_owned()),
    }
}

//! The table of engines: one row per kind. The only file that names a concrete adapter.

use std::{sync::Arc, time::Duration};

use adapter_api::WorkerAdapter;
use anyhow::{Context, anyhow};
use config_schema::{EngineConfig, EngineKind, PoolConfig};
use http_util::{EngineHttp, HttpTimeouts};
use llamacpp_http::LlamaCpp;
use mock::{MockAdapter, MockConfig};
use openai_http::OpenAi;
use tgi_http::Tgi;
use vllm_http::Vllm;

/// How long an engine may take to answer a small question.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// llama.cpp is asked for a sign of life every 2 s; three missing ones are a death.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(7);

/// The adapter for a configured pool.
pub(crate) fn build(pool: &PoolConfig, engine: &EngineConfig) -> anyhow::Result<Arc<dyn WorkerAdapter>> {
    Ok(match pool.engine {
        EngineKind::Llamacpp => Arc::new(LlamaCpp::new(http(pool, engine, SILENCE_TIMEOUT)?)),
        EngineKind::Vllm => Arc::new(Vllm::new(http(pool, engine, without_pings(engine))?)),
        EngineKind::Tgi => Arc::new(Tgi::new(http(pool, engine, without_pings(engine))?)),
        EngineKind::OpenAi => Arc::new(OpenAi::new(http(pool, engine, without_pings(engine))?)),
        EngineKind::Mock => Arc::new(MockAdapter::new(mock_config(pool))),
    })
}

/// An engine in this process that serves `model`.
pub(crate) fn in_process(model: &str) -> Arc<dyn WorkerAdapter> {
    Arc::new(MockAdapter::new(MockConfig { models: vec![model.to_owned()], ..MockConfig::default() }))
}

/// For an engine that is not heard of while it is well: some send nothing between the head of an answer
/// and its first token. The job's own clocks ring first, and this one only bounds the connection.
fn without_pings(engine: &EngineConfig) -> Duration {
    engine.first_token_timeout.max(engine.idle_timeout).saturating_add(QUESTION_TIMEOUT)
}

fn http(pool: &PoolConfig, engine: &EngineConfig, silence: Duration) -> anyhow::Result<EngineHttp> {
    let endpoint = pool.endpoint.clone().context("an endpoint is required")?;
    let timeouts = HttpTimeouts { connect: engine.connect_timeout, question: QUESTION_TIMEOUT, silence };
    let key = pool.api_key.as_ref().map(config_schema::Secret::reveal);
    EngineHttp::new(endpoint, key, timeouts).map_err(|problem| anyhow!(problem))
}

fn mock_config(pool: &PoolConfig) -> MockConfig {
    let mut config = MockConfig::default();
    if let Some(model) = &pool.model {
        config.models = vec![model.clone()];
    }
    if let Some(slots) = pool.slots {
        config.slots = slots;
    }
    if let Some(ctx_max) = pool.ctx_max {
        config.ctx_max = ctx_max;
    }
    config
}

//! The table of engines: one row per kind. The only file that names a concrete adapter.

use std::{sync::Arc, time::Duration};

use adapter_api::WorkerAdapter;
use anyhow::{Context, anyhow};
use config_schema::{EngineConfig, EngineKind, PoolConfig};
use http_util::{EngineHttp, HttpTimeouts};
use llamacpp_http::LlamaCpp;
use mock::{MockAdapter, MockConfig};

/// How long an engine may take to answer a small question.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Streaming engines are asked for a sign of life every 2 s; three missing ones are a death.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(7);

/// The adapter for a configured pool.
pub(crate) fn build(pool: &PoolConfig, engine: &EngineConfig) -> anyhow::Result<Arc<dyn WorkerAdapter>> {
    Ok(match pool.engine {
        EngineKind::Llamacpp => Arc::new(LlamaCpp::new(http(pool, engine)?)),
        EngineKind::Mock => Arc::new(MockAdapter::new(mock_config(pool))),
    })
}

fn http(pool: &PoolConfig, engine: &EngineConfig) -> anyhow::Result<EngineHttp> {
    let endpoint = pool.endpoint.clone().context("an endpoint is required")?;
    let timeouts = HttpTimeouts {
        connect: engine.connect_timeout,
        question: QUESTION_TIMEOUT,
        silence: SILENCE_TIMEOUT,
    };
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

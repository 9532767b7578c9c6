//! From the configuration to each part's own settings: plain translation, nothing else.

use std::{net::IpAddr, sync::Arc};

use adapter_host::Timeouts;
use anyhow::Context;
use artifact_store::{ArtifactStore, Limits as ArtifactLimits};
use auth_min::{Authorities, LoopbackPolicy, TokenAuthority, UnusableToken};
use catalog_core::{CatalogSettings, Roots, TrustPolicy, TrustedKeys};
use config_schema::{
    CatalogConfig, Config, EngineConfig, GpuPolicy, NodesConfig, OnDamage, Outbound, PoolConfig, Secret,
    SessionsConfig, StoreConfig, StoreKind, TrustRule,
};
use http_server::{Tls, TlsError, TlsFiles};
use model_fetch::{Fetcher, Timing};
use orchestrator_core::{Budget, Device, PoolId, ReplicaId, Rules, SessionRules};
use service_registry::Network;
use store_api::{MemoryStore, Store};
use store_sqlite::{OpenError, SqliteStore};
use tokio_util::sync::CancellationToken;
use trace_export::{Exports, Service, Unusable};
use tracing::{info, warn};

use crate::{
    adapters,
    clock::Clock,
    gate::{Failures, NodeCertificates},
    metrics::Metrics,
    services::{
        Artifacts, Connector, Described, Fetched, Fetching, Keeper, Models, Outlives, Places, Prompts,
        ReplicaConfig, RetentionLimits, Transcripts,
    },
    state::GateRules,
};

pub(crate) fn replicas(config: &Config) -> anyhow::Result<Vec<ReplicaConfig>> {
    config.pools.iter().map(|pool| replica(pool, config)).collect()
}

fn replica(pool: &PoolConfig, config: &Config) -> anyhow::Result<ReplicaConfig> {
    let device = device(pool, config.gpu_policy);
    Ok(ReplicaConfig {
        pool: PoolId::new(pool.id.as_str()),
        replica: ReplicaId::new(format!("local/{}", pool.id)),
        adapter: adapters::build(pool, &config.engine).with_context(|| format!("pool {}", pool.id))?,
        described: Described {
            model: pool.model.clone(),
            slots: pool.slots,
            ctx_max: pool.ctx_max,
            device,
            price: pool.price.unwrap_or_default(),
            by_node: None,
        },
    })
}

/// The pool that stands in for want of any other.
pub(crate) fn stand_in(config: &Config) -> Option<(PoolId, ReplicaId)> {
    let pool = config.pools.first().filter(|_| config.mock_by_default)?;
    Some((PoolId::new(pool.id.as_str()), ReplicaId::new(format!("local/{}", pool.id))))
}

/// Where engines of nodes may listen, beside their nodes' own addresses.
fn networks(config: &NodesConfig) -> anyhow::Result<Vec<Network>> {
    let read = |(ip, length): &(IpAddr, u8)| format!("{ip}/{length}").parse();
    config.networks.iter().map(read).collect::<Result<_, _>>().context("nodes.networks")
}

pub(crate) fn node_rules(config: &NodesConfig) -> anyhow::Result<service_registry::Rules> {
    let (allow, offline_after) = (networks(config)?, config.offline_after);
    Ok(service_registry::Rules { allow, offline_after, ..service_registry::Rules::default() })
}

/// What agents of nodes must be shown: the token of their plane.
pub(crate) fn node_token(config: &Config) -> Option<String> {
    let own = config.auth.node.first().or(config.auth.api.first());
    own.map(|token| token.reveal().to_owned())
}

pub(crate) fn connector(config: &Config) -> anyhow::Result<Connector> {
    Ok(Connector { engine: config.engine.clone(), allow: networks(&config.nodes)? })
}

/// Where a pool computes, as far as the operator said. A CPU is always said aloud.
//= ORCH-3350
fn device(pool: &PoolConfig, policy: GpuPolicy) -> Device {
    let pool_id = &pool.id;
    match (pool.device.as_deref(), policy) {
        (None, _) => {
            if pool.endpoint.is_some() {
                warn!(target: "orchestratord", pool_id, "the pool does not state its device; it is taken for a GPU");
            }
            Device::Unstated
        }
        (Some("cpu"), GpuPolicy::AllowCpu) => {
            warn!(target: "orchestratord", pool_id,
                "the pool computes on the CPU and the GPU policy allows it: for development only");
            Device::Cpu
        }
        (Some("cpu"), GpuPolicy::VramOnly) => {
            warn!(target: "orchestratord", pool_id,
                "the pool computes on the CPU and gets no work: the GPU policy is vram-only");
            Device::Cpu
        }
        (Some(mask), _) => Device::Mask(mask.into()),
    }
}

pub(crate) fn rules(config: &Config) -> Rules {
    Rules {
        capacity: config.admission.capacity,
        policy: match config.admission.policy {
            config_schema::AdmissionPolicy::Reject => orchestrator_core::AdmissionPolicy::Reject,
            config_schema::AdmissionPolicy::DropLru => orchestrator_core::AdmissionPolicy::DropLru,
        },
        placement: match config.placement {
            config_schema::PlacementKind::LeastLoaded => orchestrator_core::PlacementKind::LeastLoaded,
            config_schema::PlacementKind::RoundRobin => orchestrator_core::PlacementKind::RoundRobin,
        },
        gpu: match config.gpu_policy {
            GpuPolicy::VramOnly => orchestrator_core::GpuPolicy::VramOnly,
            GpuPolicy::AllowCpu => {
                // Also without a pool that says cpu: nodes may still report such pools.
                warn!(target: "orchestratord", "gpu_policy is allow-cpu: for development only");
                orchestrator_core::GpuPolicy::AllowCpu
            }
        },
        sessions: sessions(&config.sessions),
    }
}

pub(crate) fn keeper(config: &StoreConfig, clock: Clock) -> anyhow::Result<Keeper> {
    Ok(Keeper::new(store(config)?, clock, config.commit_timeout))
}

/// What remembers jobs, and whether it outlives the process.
fn store(config: &StoreConfig) -> anyhow::Result<(Arc<dyn Store>, Outlives)> {
    match config.kind {
        StoreKind::Memory => {
            warn!(target: "orchestratord", "accepted tasks are kept in memory only and end with the process");
            Ok((Arc::new(MemoryStore::default()), Outlives::No))
        }
        StoreKind::Sqlite => {
            let folder = &config.folder;
            let store = match (SqliteStore::open(folder), config.on_damage) {
                (Err(OpenError::Damaged { .. }), OnDamage::Repair) => {
                    let report = store_sqlite::repair(folder)?;
                    warn!(target: "orchestratord", %report, "the store was damaged and is repaired");
                    SqliteStore::open(folder)
                }
                (opened, _) => opened,
            };
            let store = store.with_context(|| format!("the store in {}", folder.display()))?;
            info!(target: "orchestratord", folder = %folder.display(), "accepted tasks are kept");
            Ok((Arc::new(store), Outlives::Yes))
        }
    }
}

/// The catalog, with what earlier processes left of it.
pub(crate) async fn models(
    config: &Config,
    keeper: &Arc<Keeper>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Arc<Models>> {
    let (config, places) = (&config.catalog, places(config)?);
    let policy = match config.trust {
        TrustRule::Strict => TrustPolicy::Strict,
        TrustRule::Permissive => TrustPolicy::Permissive,
    };
    let keys = TrustedKeys::new(&config.keys).context("catalog.keys")?;
    let settings = CatalogSettings { policy, keys, ..CatalogSettings::default() };
    Ok(Arc::new(Models::load(settings, places, Arc::clone(keeper), Arc::clone(metrics)).await?))
}

/// Where model files are. What was fetched is of use also when nothing more is fetched.
fn places(config: &Config) -> anyhow::Result<Places> {
    let CatalogConfig { roots, outbound, hosts, .. } = &config.catalog;
    let roots = Roots::new(roots).context("catalog.roots")?;
    let folder = config.store.folder.join("models");
    let fetching = match (outbound, config.store.kind) {
        (Outbound::Off, _) => None,
        (Outbound::Allow, StoreKind::Memory) => {
            anyhow::bail!("catalog.outbound: there is no folder to fetch into with store.kind = memory")
        }
        (Outbound::Allow, StoreKind::Sqlite) => {
            let hosts = hosts.iter().map(|host| host.parse()).collect::<Result<_, _>>();
            let fetcher = Fetcher::new(&[], Timing::default())?;
            std::fs::create_dir_all(&folder).context("the folder of fetched models")?;
            Some(Fetching { fetcher, hosts: hosts.context("catalog.hosts")? })
        }
    };
    let is_there = config.store.kind == StoreKind::Sqlite && folder.is_dir();
    let fetched = is_there.then(|| Fetched::at(folder)).transpose()?;
    Ok(Places { roots, fetched, fetching })
}

/// The most artifacts; some hundred bytes of memory know each.
const ARTIFACTS_MAX: usize = 200_000;

/// The artifacts in the state folder, if there is one.
pub(crate) fn artifacts(
    config: &Config,
    keeper: &Arc<Keeper>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Arc<Artifacts>> {
    let limits = ArtifactLimits {
        quota_bytes: config.artifacts.quota_bytes,
        artifact_bytes_max: config.artifacts.bytes_max,
        age_max: config.artifacts.retention,
        count_max: ARTIFACTS_MAX,
    };
    let store = match config.store.kind {
        StoreKind::Memory => None,
        StoreKind::Sqlite => {
            let folder = config.store.folder.join("artifacts");
            Some(ArtifactStore::open(&folder, limits).context("the artifacts of the state folder")?)
        }
    };
    let prompts = match config.artifacts.transcripts {
        config_schema::Transcripts::Off => None,
        config_schema::Transcripts::Redacted => Some(Prompts::Redacted),
        config_schema::Transcripts::On => Some(Prompts::Kept),
    };
    let transcripts =
        prompts.map(|prompts| Transcripts::new(prompts, Arc::clone(keeper), Arc::clone(metrics)));
    Ok(Arc::new(Artifacts::new(store, limits.artifact_bytes_max, keeper.clock(), transcripts)))
}

fn sessions(sessions: &SessionsConfig) -> SessionRules {
    SessionRules {
        ttl: sessions.ttl,
        turns: sessions.turns_max,
        max: sessions.max,
        budget: Budget {
            tokens: sessions.tokens_budget,
            time: sessions.time_budget,
            cost: sessions.cost_budget,
        },
    }
}

pub(crate) fn timeouts(engine: &EngineConfig) -> Timeouts {
    Timeouts { first_token: engine.first_token_timeout, idle: engine.idle_timeout, wall: engine.wall_timeout }
}

pub(crate) fn retention(config: &Config) -> RetentionLimits {
    let jobs = &config.jobs;
    RetentionLimits { time: jobs.retention, bytes: jobs.retained_bytes_max, jobs: jobs.retained_max }
}

/// The way of traces out, where there is one.
pub(crate) fn exports(config: &Config, metrics: &Arc<Metrics>) -> Result<Exports, Unusable> {
    let service = Service { name: "orchestratord", version: env!("CARGO_PKG_VERSION") };
    let metrics = Arc::clone(metrics);
    Exports::start(&config.traces, service, move |fate, count| metrics.trace_spans(fate.as_str(), count))
}

/// The certificates of the server. Without them tokens and prompts travel as they are, which is said.
pub(crate) fn tls(config: &Config) -> Result<Option<Tls>, TlsError> {
    let Some(files) = &config.tls else {
        if !config.bind_addr.ip().to_canonical().is_loopback() {
            warn!(target: "orchestratord", address = %config.bind_addr,
                "other machines are served without TLS: whoever is between reads tokens and prompts");
        }
        return Ok(None);
    };
    let (cert, key, client_ca) = (files.cert.clone(), files.key.clone(), files.client_ca.clone());
    Tls::load(TlsFiles { cert, key, client_ca }).map(Some)
}

pub(crate) fn gate_rules(config: &Config, closing: CancellationToken) -> anyhow::Result<GateRules> {
    let auth = &config.auth;
    let authorities =
        Authorities { api: tokens(&auth.api)?, control: tokens(&auth.control)?, node: tokens(&auth.node)? };
    let rule = match config.auth.loopback {
        config_schema::LoopbackRule::TokenNeeded => auth_min::LoopbackRule::TokenNeeded,
        config_schema::LoopbackRule::TokenOptional => auth_min::LoopbackRule::TokenOptional,
    };
    let proxy = match config.auth.proxy {
        config_schema::ProxyTrust::Withheld => auth_min::ProxyTrust::Withheld,
        config_schema::ProxyTrust::Given => auth_min::ProxyTrust::Given,
    };
    authorities.check_bind(config.bind_addr.ip())?;
    let node_certificates = match config.tls.as_ref().and_then(|tls| tls.client_ca.as_ref()) {
        Some(_) => NodeCertificates::Needed,
        None => NodeCertificates::NotNeeded,
    };
    let loopback = LoopbackPolicy { rule, proxy };
    let (limits, extra_fields) = (config.limits.clone(), config.extra_fields);
    let failures = Failures::default();
    Ok(GateRules { limits, authorities, loopback, node_certificates, failures, extra_fields, closing })
}

fn tokens(secrets: &[Secret]) -> Result<Vec<TokenAuthority>, UnusableToken> {
    secrets.iter().map(|secret| TokenAuthority::new(secret.reveal())).collect()
}

#[cfg(test)]
mod tests;

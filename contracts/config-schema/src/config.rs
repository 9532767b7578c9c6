//! The configuration as the program uses it: typed, complete, checked.
//!
//! Each part of the program takes only its own struct of these, so that a reader sees from a signature
//! which settings can change its behaviour.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use url::Url;

use crate::{
    hosts::HostRule,
    kind::{
        AdmissionPolicy, EngineKind, ExtraFields, GpuPolicy, LogFormat, LoopbackRule, OnDamage, Outbound,
        PlacementKind, ProxyTrust, StoreKind, Transcripts, TrustRule,
    },
    secret::Secret,
    traces::TracesConfig,
};

/// Everything that the operator decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the server listens.
    pub bind_addr: SocketAddr,
    /// A further port for `/metrics`, on the same address.
    pub metrics_port: Option<u16>,
    /// The engines that are attached to it; empty when others report theirs.
    pub pools: Vec<PoolConfig>,
    /// No pool was configured, so [`Config::pools`] is one in-process mock, which the start must say.
    pub mock_by_default: bool,
    /// The machines whose agents report pools.
    pub nodes: NodesConfig,
    /// The queues.
    pub admission: AdmissionConfig,
    /// How a replica is chosen.
    pub placement: PlacementKind,
    /// Which devices may be used at all.
    pub gpu_policy: GpuPolicy,
    /// Who may speak to the server.
    pub auth: AuthConfig,
    /// By which certificates the server speaks; plain HTTP without.
    pub tls: Option<TlsConfig>,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Where traces go, and which of them.
    pub traces: TracesConfig,
    /// What one client may take.
    pub limits: Limits,
    /// How long an engine may take.
    pub engine: EngineConfig,
    /// How jobs are tried and kept.
    pub jobs: JobsConfig,
    /// How long sessions last, and what they may use.
    pub sessions: SessionsConfig,
    /// What outlives the process, and where.
    pub store: StoreConfig,
    /// Which models may be used, and where they come from.
    pub catalog: CatalogConfig,
    /// What jobs may leave behind.
    pub artifacts: ArtifactsConfig,
    /// What becomes of fields of `OpenAI`'s API that this server does not know.
    pub extra_fields: ExtraFields,
    /// How long running jobs may go on after the signal to stop.
    pub shutdown_grace: Duration,
}

/// One engine that already runs, or the mock.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// Its name: `[a-z0-9][a-z0-9._-]{0,63}`, unique.
    pub id: String,
    /// What speaks there.
    pub engine: EngineKind,
    /// Where; present exactly when the engine is not the mock.
    pub endpoint: Option<Url>,
    /// The model that it serves; asked from the engine when absent.
    pub model: Option<String>,
    /// How many streams it takes at once; asked from the engine when absent.
    pub slots: Option<u32>,
    /// The longest context; asked from the engine when absent.
    pub ctx_max: Option<u32>,
    /// `cpu`, or device numbers such as `0,1`; taken at the operator's word.
    pub device: Option<String>,
    /// The engine's own bearer token.
    pub api_key: Option<Secret>,
    /// What a million tokens cost there, in millionths of the unit in which budgets are counted.
    pub price: Option<u64>,
}

/// The machines whose agents report pools.
#[derive(Debug, Clone, Default)]
pub struct NodesConfig {
    /// Agents that are asked; others register by themselves.
    pub managers: Vec<Url>,
    /// A further address to listen on, with connections of its own.
    pub bind_addr: Option<SocketAddr>,
    /// How long one may be silent.
    pub offline_after: Duration,
    /// Where their engines may listen, beside the address of the node itself.
    pub networks: Vec<(IpAddr, u8)>,
}

/// The queues.
#[derive(Debug, Clone)]
pub struct AdmissionConfig {
    /// Jobs that may wait per pool, both classes together.
    pub capacity: u32,
    /// What happens to one more.
    pub policy: AdmissionPolicy,
}

/// Who may speak to the server. Each plane has as many tokens as its file has lines.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// The tokens of the data plane, and of every plane without its own; without one the server listens
    /// on loopback only.
    pub api: Vec<Secret>,
    /// Those of the control plane, which then takes no other.
    pub control: Vec<Secret>,
    /// Those of the node plane, which then takes no other.
    pub node: Vec<Secret>,
    /// Whether peers on this machine need it.
    pub loopback: LoopbackRule,
    /// Whether a proxy in front is vouched for.
    pub proxy: ProxyTrust,
}

/// Where certificates lie, all in PEM. They are read again when they change.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// The server's own, with those that lead to its root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who signs the certificates of nodes; the node plane asks for one when it is given.
    pub client_ca: Option<PathBuf>,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Directives such as `info` or `info,orchestratord=debug`; read by the subscriber.
    pub filter: String,
    /// The shape of a line; when absent, pretty on a terminal and JSON elsewhere.
    pub format: Option<LogFormat>,
}

/// What one client, or all together, may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest request body.
    pub body_bytes_max: usize,
    /// The largest request head.
    pub header_bytes_max: usize,
    /// How long a request head may take to arrive.
    pub header_timeout: Duration,
    /// How long a request body may take to arrive.
    pub body_timeout: Duration,
    /// How many connections may be open.
    pub connections_max: usize,
    /// The names under which the server answers.
    pub hosts: HostRule,
}

/// How long an engine may take.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// For a connection to stand.
    pub connect_timeout: Duration,
    /// For the first token.
    pub first_token_timeout: Duration,
    /// Between two tokens.
    pub idle_timeout: Duration,
    /// For a whole job.
    pub wall_timeout: Duration,
    /// Between two looks at its health.
    pub health_interval: Duration,
}

/// How long sessions last, and what each may use unless its first task says otherwise.
#[derive(Debug, Clone)]
pub struct SessionsConfig {
    /// How long a session is kept after its last task.
    pub ttl: Duration,
    /// How many tasks it may have.
    pub turns_max: u32,
    /// How many sessions there may be.
    pub max: usize,
    /// Tokens of prompts and answers.
    pub tokens_budget: Option<u64>,
    /// Time of engines.
    pub time_budget: Option<Duration>,
    /// Cost, in millionths of the unit of the prices.
    pub cost_budget: Option<u64>,
}

/// How jobs are tried and kept.
#[derive(Debug, Clone)]
pub struct JobsConfig {
    /// How many engines may be tried before the first token.
    pub max_attempts: u32,
    /// How long an ended job can be read.
    pub retention: Duration,
    /// How many ended jobs are kept.
    pub retained_max: usize,
    /// How many bytes the kept jobs may take.
    pub retained_bytes_max: usize,
}

/// What outlives the process, and where.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// What remembers jobs.
    pub kind: StoreKind,
    /// The state folder; empty when nothing is kept there.
    pub folder: PathBuf,
    /// How long a 202 may wait for its commit.
    pub commit_timeout: Duration,
    /// What a start does when something in the folder is damaged.
    pub on_damage: OnDamage,
}

/// Which models may be used, and where they come from.
#[derive(Debug, Clone)]
pub struct CatalogConfig {
    /// The folders below which model files may lie.
    pub roots: Vec<PathBuf>,
    /// How much must be known of a model before it is used.
    pub trust: TrustRule,
    /// Names of keys, and base64 of the 32 bytes of each.
    pub keys: Vec<(String, String)>,
    /// Whether models may be fetched.
    pub outbound: Outbound,
    /// The hosts that they may be fetched from, each perhaps with a port.
    pub hosts: Vec<String>,
}

/// What jobs may leave behind.
#[derive(Debug, Clone)]
pub struct ArtifactsConfig {
    /// The most bytes of all artifacts together.
    pub quota_bytes: u64,
    /// The most bytes of one artifact.
    pub bytes_max: u64,
    /// How long an artifact is kept after it was last stored.
    pub retention: Duration,
    /// What of a task that ended is kept as its transcript.
    pub transcripts: Transcripts,
}

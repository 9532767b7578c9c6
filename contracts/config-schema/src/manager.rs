//! The configuration of `pool-managerd`, the agent of a node.

mod pool;
mod table;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use toml::Value;
use url::Url;

use crate::{
    config::LogConfig,
    draft::{Draft, TokenOf, xdg_state},
    fault::{Fault, Problem, Source},
    hosts::HostRule,
    kind::{EngineKind, GpuPolicy, WarmUp},
    layers::{Layers, Open},
    pool::each_table,
    schema::{Rules, Schema},
    secret::Secret,
    setting::Setting,
    traces::TracesConfig,
};

/// Everything that the operator of a node decides.
#[derive(Debug, Clone)]
pub struct ManagerConfig {
    /// Where the agent listens.
    pub bind_addr: SocketAddr,
    /// The node's name; the machine's when absent.
    pub node_id: Option<String>,
    /// The address under which others reach the agent; follows from `bind_addr` when absent.
    pub address: Option<String>,
    /// The control plane; without one the agent only answers questions.
    pub control_plane: Option<Url>,
    /// What the control plane shows, and asks for: any of these is taken, and the first is shown.
    pub api_tokens: Vec<Secret>,
    /// The same between nodes and control plane alone; it is shown in place of the others.
    pub node_tokens: Vec<Secret>,
    /// Which devices may be used at all.
    pub gpu_policy: GpuPolicy,
    /// What the agent keeps, and where.
    pub state_dir: PathBuf,
    /// Where metrics can be had as well.
    pub metrics_port: Option<u16>,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Where traces go, and which of them.
    pub traces: TracesConfig,
    /// The names under which the agent answers.
    pub hosts: HostRule,
    /// How the control plane and the agent know each other.
    pub tls: NodeTls,
    /// The engines.
    pub pools: Vec<EnginePool>,
}

/// Files for an `https` control plane.
#[derive(Debug, Clone, Default)]
pub struct NodeTls {
    /// Who may vouch for the control plane; the public authorities when absent.
    pub authorities: Option<PathBuf>,
    /// The certificate that the agent shows.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// One engine of the node.
#[derive(Debug, Clone)]
pub struct EnginePool {
    /// Its pool: `[a-z0-9][a-z0-9._-]{0,63}`, unique on the node.
    pub id: String,
    /// What it speaks.
    pub engine: EngineKind,
    /// Where it comes from.
    pub provisioning: Provisioning,
    /// The model: an absolute path, `file:` and one, or a name that the engine understands. Only an engine
    /// that runs already may lack it.
    pub model: Option<String>,
    /// The digest that the model's file must have: `sha256:` and 64 digits.
    pub model_digest: Option<String>,
    /// `cpu`, or device numbers such as `0,1`; all devices when absent.
    pub devices: Option<String>,
    /// Its port; 0 is any free one, which it keeps.
    pub port: u16,
    /// Where it listens; on loopback, or where the agent does, when absent.
    pub host: Option<String>,
    /// Streams at once.
    pub slots: Option<u32>,
    /// Tokens of context of one stream.
    pub ctx: Option<u32>,
    /// Further flags, as they are.
    pub flags: Vec<String>,
    /// Further variables of its environment.
    pub env: Vec<(String, String)>,
    /// The engine's own bearer token.
    pub api_key: Option<Secret>,
    /// How long it may take to be ready.
    pub ready_timeout: Duration,
    /// How long it may take to stop before it is killed.
    pub stop_timeout: Duration,
    /// Where it keeps what it can make again; below the state folder when absent.
    pub cache_dir: Option<PathBuf>,
    /// What it must have done to be ready.
    pub warm_up: WarmUp,
}

/// Where an engine comes from.
#[derive(Debug, Clone)]
pub enum Provisioning {
    /// It runs already, and somebody else looks after it.
    External {
        /// Where it answers.
        endpoint: Url,
    },
    /// This program is run, with these first arguments.
    Binary {
        /// The program, and what comes before the agent's own arguments.
        command: Vec<String>,
    },
    /// A Python package in an environment of its own.
    Package(PackageConfig),
    /// A source tree that is built here.
    Source(SourceConfig),
    /// An image that a container runtime runs.
    Container(ContainerConfig),
}

impl Provisioning {
    /// Its word in the file.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::External { .. } => "external",
            Self::Binary { .. } => "binary",
            Self::Package(_) => "package",
            Self::Source(_) => "source",
            Self::Container(_) => "container",
        }
    }
}

/// A Python package.
#[derive(Debug, Clone)]
pub struct PackageConfig {
    /// The interpreter that makes the environment.
    pub python: String,
    /// The environment's folder.
    pub venv: PathBuf,
    /// What pip installs there, such as `vllm==0.32.0`; nothing is installed when absent.
    pub requirement: Option<String>,
    /// A script that starts the engine, in place of the package's own program.
    pub script: Option<PathBuf>,
}

/// A source tree.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// The repository, as git calls it.
    pub git: String,
    /// The tag or commit.
    pub revision: String,
}

/// A container.
#[derive(Debug, Clone)]
pub struct ContainerConfig {
    /// The program that runs containers: `podman` or `docker`.
    pub runtime: String,
    /// The image.
    pub image: String,
}

impl Schema for ManagerConfig {
    fn settings() -> &'static [Setting<Self>] {
        table::SETTINGS
    }

    fn resolve(layers: &Layers<'_>) -> Result<Self, Vec<Fault>> {
        let env = with_shared_policy(&layers.env);
        Layers { flags: layers.flags.clone(), env, open: layers.open }.resolve()
    }
}

/// A machine that runs both programs may say the policy once, by the server's variable.
fn with_shared_policy(env: &[(String, String)]) -> Vec<(String, String)> {
    let mut env = env.to_vec();
    if !env.iter().any(|(name, _)| name == table::GPU_POLICY) {
        let shared = env.iter().rev().find(|(name, _)| name == "ORCHD_GPU_POLICY");
        let shared = shared.map(|(_, value)| (table::GPU_POLICY.to_owned(), value.clone()));
        env.extend(shared);
    }
    env
}

impl Rules for ManagerConfig {
    const PREFIX: &'static str = "POOL_MANAGERD_";

    fn blank() -> Self {
        Self {
            bind_addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            node_id: None,
            address: None,
            control_plane: None,
            api_tokens: Vec::new(),
            node_tokens: Vec::new(),
            gpu_policy: GpuPolicy::VramOnly,
            state_dir: PathBuf::new(),
            metrics_port: None,
            log: LogConfig { filter: String::new(), format: None },
            traces: TracesConfig::default(),
            hosts: HostRule::Only(Vec::new()),
            tls: NodeTls::default(),
            pools: Vec::new(),
        }
    }

    fn take_pools(&mut self, pools: &[Value]) -> Result<(), Vec<Problem>> {
        each_table(pools, pool::from_table).map(|pools| self.pools = pools)
    }

    fn settle(mut draft: Draft<Self>, open: Open<'_>, env: &[(String, String)]) -> Result<Self, Vec<Fault>> {
        draft.config.api_tokens = draft.settle_tokens(TokenOf::Api, open);
        draft.config.node_tokens = draft.settle_tokens(TokenOf::Node, open);
        draft.config.hosts = draft.hosts.take().unwrap_or_else(|| HostRule::for_bind(draft.config.bind_addr));
        if draft.config.state_dir.as_os_str().is_empty() {
            match xdg_state(env, "pool-managerd") {
                Some(folder) => draft.config.state_dir = folder,
                None => {
                    let problem = Problem::new("has no default: neither XDG_STATE_HOME nor HOME is a folder");
                    let problem = problem.hint("set POOL_MANAGERD_STATE_DIR");
                    draft.fault(Source::Default("state_dir"), problem);
                }
            }
        }
        let tls = &draft.config.tls;
        if tls.certificate.is_some() != tls.key.is_some() {
            let key = if tls.certificate.is_some() { "tls.cert_file" } else { "tls.key_file" };
            let problem = Problem::new("needs the other of tls.cert_file and tls.key_file");
            draft.fault(draft.source_of(key), problem);
        }
        let tokens = [&draft.config.api_tokens[..], &draft.config.node_tokens].concat();
        draft.check_bind(draft.config.bind_addr, &tokens);
        draft.end()
    }
}

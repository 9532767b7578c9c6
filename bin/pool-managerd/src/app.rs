//! The composition root: every part is built here.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use auth_min::{Authorities, TokenAuthority};
use config_schema::{EnginePool, GpuPolicy, ManagerConfig, Secret};
use http_server::{Limits, Server, listen};
use tokio::{net::TcpListener, sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use trace_export::{Exports, Service, Unusable};
use tracing::{info, warn};

use crate::{
    api::{self, ApiState},
    child::Nursery,
    clock::unix_seconds,
    config::Surroundings,
    gate,
    gpu::{self, Gpus, Reading},
    link::Link,
    metrics::Metrics,
    pool::{self, Home, Pools},
    provision::{Provisioner, Tools},
    registrar::{Node, Registrar},
    state::State,
};

/// After its stop time an engine is killed, which takes no longer than this.
const KILL_TIME: Duration = Duration::from_secs(5);
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// Why the agent does not start and would not start the next time either.
#[derive(Debug, thiserror::Error)]
#[error("the agent does not start")]
pub struct StartRefused;

/// What a test has otherwise than the agent itself.
#[derive(Debug, Clone)]
pub struct Fittings {
    /// The program that stands between the agent and its engines.
    pub program: PathBuf,
    /// How long an engine that was lost stays down the first time.
    pub rest_first: Duration,
}

impl Default for Fittings {
    fn default() -> Self {
        // The agent itself, also when its file was replaced since.
        Self { program: "/proc/self/exe".into(), rest_first: Duration::from_secs(1) }
    }
}

/// The agent, built, its engines about to start, not yet accepting.
pub struct App {
    state: ApiState,
    servers: Vec<(Server, Option<TcpListener>)>,
    registrar: Option<Arc<Registrar>>,
    provisioner: Arc<Provisioner>,
    tracker: TaskTracker,
    pools_end: CancellationToken,
    exports: Exports,
    stop_within: Duration,
}

impl App {
    /// Builds everything. `address` is where the agent listens. Must be called on a runtime.
    ///
    /// # Errors
    /// When the state folder, a token or a certificate cannot be used.
    pub async fn build(
        config: ManagerConfig,
        address: SocketAddr,
        gpus: Gpus,
        surroundings: &Surroundings,
    ) -> anyhow::Result<Self> {
        Self::build_with(config, address, gpus, surroundings, Fittings::default()).await
    }

    /// The same with other fittings.
    ///
    /// # Errors
    /// As [`App::build`].
    pub async fn build_with(
        config: ManagerConfig,
        address: SocketAddr,
        gpus: Gpus,
        surroundings: &Surroundings,
        fittings: Fittings,
    ) -> anyhow::Result<Self> {
        let state = State::open(&config.state_dir).context(StartRefused)?;
        let incarnation = state.next_incarnation(unix_seconds()).context(StartRefused)?;
        if config.gpu_policy == GpuPolicy::AllowCpu {
            warn!("gpu_policy is allow-cpu: engines may compute on the CPU. For development only.");
        }
        let (tracker, pools_end) = (TaskTracker::new(), CancellationToken::new());
        let metrics = Arc::new(Metrics::new());
        let exports = exports(&config, &metrics).context(StartRefused)?;
        let readings = readings(gpus, &tracker, &pools_end).await;
        metrics.gpus(&readings.borrow());
        let nursery = Nursery::new(fittings.program, &surroundings.variables, tracker.clone());
        let tools = Tools { path: surroundings.path.clone(), hidden: nursery.hidden.clone() };
        let (changes, followed) = watch::channel(0);
        let host_name = host_name();
        let (gpu_policy, closing) = (config.gpu_policy, AtomicBool::new(false));
        let provisioner = Arc::new(Provisioner { state, tools, gpu_policy, closing });
        let home = Arc::new(Home {
            provisioner: Arc::clone(&provisioner),
            nursery,
            metrics: Arc::clone(&metrics),
            readings: readings.clone(),
            changes,
            tracker: tracker.clone(),
            rest_first: fittings.rest_first,
            tracer: exports.tracer(),
            host: engine_host(address),
            public_host: public_host(&config, address, &host_name),
        });
        let stop_within = longest_stop(&config.pools) + KILL_TIME;
        let mut pools = Vec::new();
        for spec in config.pools.clone() {
            let kept = home.provisioner.state.kept(&spec.id).context(StartRefused)?;
            pools.push(pool::start(spec, &home, kept, pools_end.clone()));
        }
        let pools = Pools::new(pools, followed);
        let node = Node {
            id: config.node_id.clone().unwrap_or_else(|| host_name.clone()),
            machine_id: machine_id().unwrap_or(host_name),
            address: config.address.clone().unwrap_or_else(|| own_address(&home.public_host, address.port())),
            incarnation,
        };
        info!(node_id = node.id, incarnation, pools = config.pools.len(), "this node");
        let rules = gate::Rules { hosts: config.hosts.clone(), authorities: authorities(&config)? };
        let api = ApiState {
            node_id: node.id.as_str().into(),
            pools: pools.clone(),
            metrics: Arc::clone(&metrics),
            rules: Arc::new(rules),
        };
        let registrar = registrar(&config, node, pools, readings, metrics)?;
        let servers = servers(&config, &api, address, &tracker)?;
        Ok(Self { state: api, servers, registrar, provisioner, tracker, pools_end, exports, stop_within })
    }

    /// Serves until `shutdown` is ready, then says farewell and stops the engines, in this order.
    ///
    /// # Errors
    /// None today; the shape is that of the server's.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let Self { state, servers, registrar, provisioner, tracker, pools_end, exports, stop_within } = self;
        let mut listener = Some(listener);
        let mut closing = Vec::new();
        for (server, own) in servers {
            closing.push(server.closing());
            if let Some(listener) = own.or_else(|| listener.take()) {
                tracker.spawn(server.run(listener));
            }
        }
        let telling = CancellationToken::new();
        match &registrar {
            Some(registrar) => {
                drop(tracker.spawn(telling.clone().run_until_cancelled_owned(Arc::clone(registrar).run())));
            }
            None => info!("no control plane is configured: this node only answers questions"),
        }
        shutdown.await;
        info!("stopping");
        //= ORCH-3444
        telling.cancel();
        if let Some(registrar) = &registrar {
            registrar.farewell().await;
        }
        provisioner.closing.store(true, Ordering::Relaxed);
        pools_end.cancel();
        for server in closing {
            server.cancel();
        }
        drop(state);
        tracker.close();
        if timeout(stop_within + CLOSE_TIME, tracker.wait()).await.is_err() {
            warn!("something did not stop in time; its processes end with this one");
        }
        exports.close().await;
        info!("stopped");
        Ok(())
    }
}

/// The way of traces out, where there is one.
fn exports(config: &ManagerConfig, metrics: &Arc<Metrics>) -> Result<Exports, Unusable> {
    let service = Service { name: "pool-managerd", version: env!("CARGO_PKG_VERSION") };
    let metrics = Arc::clone(metrics);
    Exports::start(&config.traces, service, move |fate, count| metrics.trace_spans(fate.as_str(), count))
}

/// Reads the GPUs once, and goes on reading them beside everything else.
async fn readings(
    gpus: Gpus,
    tracker: &TaskTracker,
    end: &CancellationToken,
) -> watch::Receiver<Arc<Vec<Reading>>> {
    let gpus = Arc::new(gpus);
    let first = Arc::clone(&gpus);
    let read = tokio::task::spawn_blocking(move || first.read()).await.unwrap_or_default();
    let (sender, readings) = watch::channel(Arc::new(read));
    if !matches!(*gpus, Gpus::None) {
        tracker.spawn(end.clone().run_until_cancelled_owned(gpu::sample(gpus, sender)));
    }
    readings
}

fn servers(
    config: &ManagerConfig,
    api: &ApiState,
    address: SocketAddr,
    tracker: &TaskTracker,
) -> anyhow::Result<Vec<(Server, Option<TcpListener>)>> {
    let limits =
        Limits { header_bytes_max: 16 * 1024, header_timeout: Duration::from_secs(5), connections_max: 256 };
    let serve = |router| Server::new(router, limits, tracker.clone(), CancellationToken::new());
    let mut servers = vec![(serve(api::router(api.clone())), None)];
    if let Some(port) = config.metrics_port {
        let metrics = SocketAddr::new(address.ip(), port);
        let listener = listen(metrics).with_context(|| format!("cannot listen on {metrics} for /metrics"))?;
        servers.push((serve(api::metrics_router(api.clone())), Some(listener)));
    }
    Ok(servers)
}

fn registrar(
    config: &ManagerConfig,
    node: Node,
    pools: Pools,
    readings: watch::Receiver<Arc<Vec<Reading>>>,
    metrics: Arc<Metrics>,
) -> anyhow::Result<Option<Arc<Registrar>>> {
    let Some(url) = config.control_plane.clone() else { return Ok(None) };
    let token = config.node_tokens.first().or(config.api_tokens.first());
    let link = Link::new(url, token, &config.tls).context(StartRefused)?;
    Ok(Some(Arc::new(Registrar { link, node, pools, readings, metrics })))
}

fn authorities(config: &ManagerConfig) -> anyhow::Result<Authorities> {
    let of = |tokens: &[Secret]| -> anyhow::Result<Vec<TokenAuthority>> {
        tokens.iter().map(|token| TokenAuthority::new(token.reveal()).context(StartRefused)).collect()
    };
    Ok(Authorities { api: of(&config.api_tokens)?, node: of(&config.node_tokens)?, ..Authorities::default() })
}

fn longest_stop(pools: &[EnginePool]) -> Duration {
    pools.iter().map(|pool| pool.stop_timeout).max().unwrap_or_default()
}

/// Engines listen where the agent does, so that who reaches one reaches the other.
fn engine_host(address: SocketAddr) -> String {
    if address.ip().to_canonical().is_loopback() {
        Ipv4Addr::LOCALHOST.to_string()
    } else {
        address.ip().to_string()
    }
}

fn own_address(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{}]:{port}", host.trim_matches(['[', ']']))
    } else {
        format!("{host}:{port}")
    }
}

/// The host under which others reach this machine.
fn public_host(config: &ManagerConfig, address: SocketAddr, host_name: &str) -> String {
    if let Some(told) = &config.address {
        let told = told.split_once("://").map_or(told.as_str(), |(_, rest)| rest);
        let host = match told.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => told,
        };
        return host.trim_end_matches('/').to_owned();
    }
    match address.ip() {
        ip if !ip.is_unspecified() => ip.to_string(),
        _ => host_name.to_owned(),
    }
}

fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = name.unwrap_or_default().chars().filter(|c| plain(*c)).take(128).collect();
    let name = name.trim_start_matches(['.', '_', '-']).to_owned();
    if name.is_empty() { "node".to_owned() } else { name }
}

fn machine_id() -> Option<String> {
    let text = fs::read_to_string("/etc/machine-id").ok()?;
    let id = text.trim();
    (!id.is_empty() && id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        .then(|| id.to_owned())
}

//! The composition root: every part is built here, in the order in which a request meets them.

use std::{sync::Arc, time::Duration};

use adapter_host::{Binding, Bindings, Timeouts};
use anyhow::Context;
use auth_min::{LoopbackPolicy, TokenAuthority};
use config_schema::{Config, EngineConfig, GpuPolicy, PoolConfig};
use narration_core::{Narration, narrate};
use orchestrator_core::{Device, Event, PoolId, ReplicaId, Rules, Scheduler};
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    adapters, api,
    clock::Clock,
    metrics::Metrics,
    server::Server,
    services::{
        Admission, Dispatcher, Jobs, Pools, ReplicaConfig, RetentionLimits, SchedulerHandle, SchedulerParts,
        run,
    },
    state::{AppState, GateRules},
};

/// How often ended jobs are looked through, and a shutdown looks whether it is done.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
const IDLE_CHECK: Duration = Duration::from_millis(20);
/// Once all streams have their last event, connections need only this long to send it.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);

/// The server, built and running its background tasks, not yet accepting.
pub struct App {
    server: Server,
    state: AppState,
    tracker: TaskTracker,
    connections: TaskTracker,
    scheduler: JoinHandle<()>,
    grace: Duration,
}

impl App {
    /// Builds everything from the configuration. Must be called on a runtime.
    ///
    /// # Errors
    /// When an adapter cannot be made from its pool's settings.
    pub fn build(config: &Config) -> anyhow::Result<Self> {
        let clock = Clock::start();
        let (tracker, connections, closing) =
            (TaskTracker::new(), TaskTracker::new(), CancellationToken::new());
        let metrics = Arc::new(Metrics::new());
        let replicas = replicas(config)?;
        let bindings = bindings(&replicas);
        let pools = Arc::new(Pools::new(replicas));
        let jobs = Arc::new(Jobs::new(retention(config)));
        let handle = SchedulerHandle::new();
        let dispatcher = Arc::new(Dispatcher {
            bindings,
            timeouts: timeouts(&config.engine),
            pools: Arc::clone(&pools),
            clock,
            metrics: Arc::clone(&metrics),
        });
        let scheduler = run(SchedulerParts {
            core: Scheduler::new(rules(config)),
            handle: handle.clone(),
            clock,
            jobs: Arc::clone(&jobs),
            pools: Arc::clone(&pools),
            dispatcher,
            metrics: Arc::clone(&metrics),
            tracker: tracker.clone(),
        });
        let scheduler = tracker.spawn(scheduler);
        pools.announce(&handle);
        for index in 0..pools.len() {
            let (pools, metrics) = (Arc::clone(&pools), Arc::clone(&metrics));
            let watch = pools.watch(index, handle.clone(), metrics, config.engine.health_interval);
            tracker.spawn(until(closing.clone(), watch));
        }
        tracker.spawn(until(closing.clone(), sweep(Arc::clone(&jobs), clock)));
        let admission = Admission {
            scheduler: handle.clone(),
            clock,
            metrics: Arc::clone(&metrics),
            max_attempts: config.jobs.max_attempts,
        };
        let gate = Arc::new(gate_rules(config, closing)?);
        let state = AppState { admission, scheduler: handle, jobs, pools, metrics, clock, gate };
        let server = Server {
            router: api::router(state.clone()),
            limits: config.limits.clone(),
            tracker: connections.clone(),
            closing: CancellationToken::new(),
        };
        Ok(Self { server, state, tracker, connections, scheduler, grace: config.shutdown_grace })
    }

    /// Serves until `shutdown` is ready, then lets running jobs finish within the grace time.
    ///
    /// # Errors
    /// When the scheduler ended by itself: the process must not go on without it.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { server, state, tracker, connections, mut scheduler, grace } = self;
        let stop_accepting = server.closing.clone();
        let accepting = tracker.spawn(server.run(listener));
        tokio::select! {
            ended = &mut scheduler => {
                return Err(anyhow::anyhow!("the scheduler ended by itself: {ended:?}"));
            }
            () = shutdown => {}
        }
        state.gate.closing.cancel();
        close(&state.scheduler, grace).await;
        stop_accepting.cancel();
        connections.close();
        // A reader that does not take its last bytes cannot keep the process.
        let closed = timeout(CLOSE_TIME_MAX, connections.wait()).await;
        info!(target: "orchestratord", all_connections_closed = closed.is_ok(), "stopped");
        accepting.abort();
        scheduler.abort();
        Ok(())
    }
}

/// Ends what waits, gives what runs its time, then ends that too.
async fn close(scheduler: &SchedulerHandle, grace: Duration) {
    let pools = scheduler.pools().await.unwrap_or_default();
    let queued: u64 = pools.iter().flat_map(|pool| pool.waiting).map(u64::from).sum();
    let used = pools.iter().flat_map(|pool| &pool.replicas).map(|it| u64::from(it.slots_used));
    let told = Narration::drain_started(used.sum(), queued, grace);
    narrate!(told, target: "orchestratord", "shutting down");
    scheduler.tell(Event::Shutdown);
    let drained = timeout(grace, async {
        while !scheduler.is_idle().await {
            sleep(IDLE_CHECK).await;
        }
    });
    if drained.await.is_err() {
        scheduler.tell(Event::StopRunning);
        // The aborted attempts close their connections; that takes no more than a turn of the runtime.
        sleep(IDLE_CHECK).await;
    }
}

/// Runs a task that has no end of its own.
async fn until(closing: CancellationToken, task: impl Future<Output = ()>) {
    // Only the token ends it.
    closing.run_until_cancelled(task).await;
}

async fn sweep(jobs: Arc<Jobs>, clock: Clock) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        jobs.sweep(clock.now());
    }
}

fn replicas(config: &Config) -> anyhow::Result<Vec<ReplicaConfig>> {
    config.pools.iter().map(|pool| replica(pool, config)).collect()
}

fn replica(pool: &PoolConfig, config: &Config) -> anyhow::Result<ReplicaConfig> {
    let device = device(pool, config.gpu_policy);
    Ok(ReplicaConfig {
        pool: PoolId::new(pool.id.as_str()),
        replica: ReplicaId::new(format!("local/{}", pool.id)),
        adapter: adapters::build(pool, &config.engine).with_context(|| format!("pool {}", pool.id))?,
        model: pool.model.clone(),
        slots: pool.slots,
        ctx_max: pool.ctx_max,
        device,
    })
}

/// Where a pool computes, as far as the operator said. A CPU is always said aloud.
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

fn bindings(replicas: &[ReplicaConfig]) -> Bindings {
    let mut bindings = Bindings::default();
    for it in replicas {
        let adapter = Arc::clone(&it.adapter);
        bindings.bind(Binding { pool: it.pool.clone(), replica: it.replica.clone(), adapter });
    }
    bindings
}

fn rules(config: &Config) -> Rules {
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
            GpuPolicy::AllowCpu => orchestrator_core::GpuPolicy::AllowCpu,
        },
    }
}

fn timeouts(engine: &EngineConfig) -> Timeouts {
    Timeouts { first_token: engine.first_token_timeout, idle: engine.idle_timeout, wall: engine.wall_timeout }
}

fn retention(config: &Config) -> RetentionLimits {
    let jobs = &config.jobs;
    RetentionLimits { time: jobs.retention, bytes: jobs.retained_bytes_max, jobs: jobs.retained_max }
}

fn gate_rules(config: &Config, closing: CancellationToken) -> anyhow::Result<GateRules> {
    let token = config.auth.token.as_ref();
    let authority = token.map(|token| TokenAuthority::new(token.reveal())).transpose()?;
    let rule = match config.auth.loopback {
        config_schema::LoopbackRule::TokenNeeded => auth_min::LoopbackRule::TokenNeeded,
        config_schema::LoopbackRule::TokenOptional => auth_min::LoopbackRule::TokenOptional,
    };
    let proxy = match config.auth.proxy {
        config_schema::ProxyTrust::Withheld => auth_min::ProxyTrust::Withheld,
        config_schema::ProxyTrust::Given => auth_min::ProxyTrust::Given,
    };
    auth_min::bind_rule(config.bind_addr.ip(), authority.as_ref())?;
    let loopback = LoopbackPolicy { rule, proxy };
    Ok(GateRules { limits: config.limits.clone(), authority, loopback, closing })
}

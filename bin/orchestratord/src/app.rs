//! The composition root: every part is built here, in the order in which a request meets them.

mod fleet;
mod servers;

use std::{hash::RandomState, sync::Arc, time::Duration};

use anyhow::Context;
use config_schema::Config;
use http_server::Workers;
use narration_core::{Narration, narrate};
use orchestrator_core::{Event, Scheduler};
use store_api::StoreError;
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use trace_export::Exports;
use tracing::info;

use self::{
    fleet::{Built, Shared},
    servers::Server,
};
use crate::{
    api,
    clock::Clock,
    metrics::Metrics,
    services::{
        Admission, Dispatcher, Fleet, Jobs, Keeper, Reader, Readers, Restored, SchedulerHandle,
        SchedulerParts, Traces, run,
    },
    settings,
    state::{AppState, Handles},
};

/// How often ended jobs are looked through, and a shutdown looks whether it is done.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
const IDLE_CHECK: Duration = Duration::from_millis(20);
/// Once all streams have their last event, connections need only this long to send it.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);

/// Why the server does not start and would not start the next time either.
#[derive(Debug, thiserror::Error)]
#[error("the server does not start")]
pub struct StartRefused;

/// The server, built and running its background tasks, not yet accepting.
pub struct App {
    pub(crate) server: Server,
    /// Addresses of their own, for nodes and for scrapers.
    further: Vec<(Server, TcpListener)>,
    pub(crate) state: AppState,
    tracker: TaskTracker,
    connections: TaskTracker,
    tasks: Tasks,
    grace: Duration,
}

/// What must not end by itself.
struct Tasks {
    scheduler: JoinHandle<()>,
    journal: JoinHandle<StoreError>,
    exports: Exports,
}

impl App {
    /// Builds everything from the configuration. Must be called on a runtime.
    ///
    /// # Errors
    /// When an adapter cannot be made from its pool's settings.
    pub async fn build(config: &Config) -> anyhow::Result<Self> {
        let clock = Clock::start();
        let keeper = Arc::new(settings::keeper(&config.store, clock).context(StartRefused)?);
        let (tracker, connections, closing) =
            (TaskTracker::new(), TaskTracker::new(), CancellationToken::new());
        let metrics = Arc::new(Metrics::new());
        let exports = settings::exports(config, &metrics).context(StartRefused)?;
        let strategy = config.placement.as_str();
        let traces = exports.tracer().map(|tracer| Traces { tracer, clock, strategy });
        let jobs = Arc::new(Jobs::new(settings::retention(config)));
        let scheduler = SchedulerHandle::default();
        let models = settings::models(config, &keeper, &metrics).await.context(StartRefused)?;
        let shared = Shared {
            clock,
            keeper: Arc::clone(&keeper),
            metrics: Arc::clone(&metrics),
            models: Arc::clone(&models),
            scheduler: scheduler.clone(),
            tracker: tracker.clone(),
            closing: closing.clone(),
        };
        let journal =
            tracker.spawn(Arc::clone(&keeper.journal).run(Arc::clone(keeper.store()), Arc::clone(&metrics)));
        tracker.spawn(until(closing.clone(), Arc::clone(&keeper).flush_regularly()));
        let built = Built::build(config, &shared).await?;
        let rules = settings::rules(config);
        let artifacts = settings::artifacts(config, &keeper, &metrics).context(StartRefused)?;
        tracker.spawn(Arc::clone(&artifacts).work());
        let scheduling = run(SchedulerParts {
            core: Scheduler::new(rules),
            sessions: rules.sessions,
            jobs: Arc::clone(&jobs),
            dispatcher: dispatcher(config, &shared, &built.fleet),
            artifacts: Arc::clone(&artifacts),
            pools: Arc::clone(&built.fleet.pools),
            handle: scheduler.clone(),
            clock,
            metrics: Arc::clone(&metrics),
            tracker: tracker.clone(),
            keeper: Arc::clone(&keeper),
        });
        tracker
            .spawn(until(closing.clone(), sweep(Arc::clone(&jobs), Arc::clone(&keeper), scheduler.clone())));
        tracker.spawn(until(closing.clone(), Arc::clone(&models).work()));
        let admission = Arc::new(Admission {
            scheduler: scheduler.clone(),
            clock,
            metrics: Arc::clone(&metrics),
            max_attempts: config.jobs.max_attempts,
            budget: rules.sessions.budget,
            likeness: RandomState::new(),
            keeper: Arc::clone(&keeper),
            jobs: Arc::clone(&jobs),
            models,
            pools: Arc::clone(&built.fleet.pools),
            traces,
        });
        let reader = Reader { keeper: &keeper, admission: &admission, clock, read: api::task_again };
        let restored = Restored::load(&reader, config.jobs.retained_max).await.context(StartRefused)?;
        // They stand in their lines before the first engine is looked at.
        restored.enter(&jobs, &scheduler, clock);
        let fleet = built.start(config, &shared);
        let gate = Arc::new(settings::gate_rules(config, closing)?);
        let readers = Readers { scheduler: scheduler.clone(), tracker: tracker.clone() };
        let state =
            Handles { admission, scheduler, jobs, fleet, metrics, clock, readers, gate, keeper, artifacts };
        let state = AppState::new(state);
        let (server, further) = servers::all(config, &state, &connections)?;
        let tasks = Tasks { scheduler: tracker.spawn(scheduling), journal, exports };
        Ok(Self { server, further, state, tracker, connections, tasks, grace: config.shutdown_grace })
    }

    /// Has these threads serve its connections.
    #[must_use]
    pub fn on(self, workers: &Workers) -> Self {
        let further = self.further.into_iter().map(|(server, listener)| (server.on(workers), listener));
        Self { server: self.server.on(workers), further: further.collect(), ..self }
    }

    /// Serves until `shutdown` is ready, then lets running jobs finish within the grace time.
    ///
    /// # Errors
    /// When the scheduler ended by itself: the process must not go on without it.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let Self { server, further, state, tracker, connections, mut tasks, grace } = self;
        let mut accepting = Vec::new();
        for (server, listener) in std::iter::once((server, listener)).chain(further) {
            accepting.push((server.closing(), tracker.spawn(server.run(listener))));
        }
        tokio::select! {
            ended = &mut tasks.scheduler => {
                return Err(anyhow::anyhow!("the scheduler ended by itself: {ended:?}"));
            }
            ended = &mut tasks.journal => {
                return Err(anyhow::anyhow!("the store can no longer be trusted: {ended:?}"));
            }
            () = shutdown => {}
        }
        state.gate.closing.cancel();
        close(&state.scheduler, grace).await;
        for (closing, _) in &accepting {
            closing.cancel();
        }
        // What clients were told is kept before they are let go.
        let kept = timeout(CLOSE_TIME_MAX, state.keeper.journal.flushed()).await;
        // What goes missing here is no more than a record of what was told.
        drop(timeout(CLOSE_TIME_MAX, state.artifacts.drained()).await);
        connections.close();
        // A reader that does not take its last bytes cannot keep the process.
        let closed = timeout(CLOSE_TIME_MAX, connections.wait()).await;
        tasks.exports.close().await;
        info!(target: "orchestratord", all_connections_closed = closed.is_ok(), all_is_kept = kept.is_ok(), "stopped");
        for (_, task) in &accepting {
            task.abort();
        }
        tasks.journal.abort();
        tasks.scheduler.abort();
        // Nothing is decided any more when this returns.
        drop(tasks.scheduler.await);
        Ok(())
    }
}

fn dispatcher(config: &Config, shared: &Shared, fleet: &Fleet) -> Arc<Dispatcher> {
    Arc::new(Dispatcher {
        timeouts: settings::timeouts(&config.engine),
        pools: Arc::clone(&fleet.pools),
        clock: shared.clock,
        metrics: Arc::clone(&shared.metrics),
        models: Arc::clone(&shared.models),
        keeper: Arc::clone(&shared.keeper),
    })
}

/// Ends what waits, gives what runs its time, then ends that too.
async fn close(scheduler: &SchedulerHandle, grace: Duration) {
    let pools = scheduler.pools().await.unwrap_or_default();
    let queued: u64 = pools.iter().flat_map(|pool| pool.waiting).map(u64::from).sum();
    let used = pools.iter().flat_map(|pool| &pool.replicas).map(|it| u64::from(it.slots_used));
    let told = Narration::drain_started(used.sum(), queued, grace);
    narrate!(told, target: "orchestratord", "shutting down");
    let began = Instant::now();
    scheduler.tell(Event::Shutdown);
    let drained = timeout(grace, async {
        while !scheduler.is_idle().await {
            sleep(IDLE_CHECK).await;
        }
    });
    let mut aborted = 0;
    if drained.await.is_err() {
        let pools = scheduler.pools().await.unwrap_or_default();
        aborted = pools.iter().flat_map(|pool| &pool.replicas).map(|it| u64::from(it.slots_used)).sum();
        scheduler.tell(Event::StopRunning);
        // The aborted attempts close their connections; that takes no more than a turn of the runtime.
        sleep(IDLE_CHECK).await;
    }
    narrate!(Narration::drain_ended(aborted, began.elapsed()), target: "orchestratord", "drained");
}

/// Runs a task that has no end of its own.
async fn until(closing: CancellationToken, task: impl Future<Output = ()>) {
    // Only the token ends it.
    closing.run_until_cancelled(task).await;
}

#[expect(clippy::infinite_loop, reason = "it is run under a token that ends it")]
async fn sweep(jobs: Arc<Jobs>, keeper: Arc<Keeper>, scheduler: SchedulerHandle) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        keeper.swept(jobs.sweep(keeper.clock().now()));
        scheduler.sweep_sessions();
    }
}

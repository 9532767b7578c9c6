//! One pool: the task that owns its engine, carries out what the machine decides, and tells how it is.
//!
//! Whatever takes time (looking at files, asking the engine, waiting for its end) runs beside it and comes back
//! as news, marked with the life of the engine that it is about, so that old news are dropped.
//!
//! Invariant: nobody but this task touches the machine, and it never waits for anything but its inbox.

mod effects;
mod handle;
mod orders;
mod traces;
mod view;

use std::{path::PathBuf, sync::Arc, time::Duration};

use adapter_api::{EngineReport, WorkerAdapter};
use config_schema::{EnginePool, Provisioning};
use pool_registry_types::{OperationView, PoolAnswer, PoolStatus};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout_at},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use trace_export::{TraceContext, Tracer};
use tracing::info;
use url::Url;

pub(crate) use handle::{PoolHandle, Pools};
pub(crate) use orders::{Refusal, Wish};
use traces::PoolTraces;

use crate::{
    child::{Nursery, Process},
    gpu::Reading,
    machine::{Effect, Event, Keeper, Machine, Moment, NotPrepared, Order, Rules, Which},
    metrics::Metrics,
    plan::{CommandLine, Place},
    provision::{Choice, Leftover, Provisioner},
    state::Kept,
};

/// More news than these wait for nobody: who has more waits to tell them.
const INBOX: usize = 64;
/// How long the answer to a reload may wait for the look at its model. Hashing a large file takes longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What all pools share.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) provisioner: Arc<Provisioner>,
    pub(crate) nursery: Nursery,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readings: watch::Receiver<Arc<Vec<Reading>>>,
    /// Grows when something changed that the control plane should know at once.
    pub(crate) changes: watch::Sender<u64>,
    pub(crate) tracker: TaskTracker,
    /// How long an engine that was lost stays down the first time.
    pub(crate) rest_first: Duration,
    /// Who makes spans, when there is a collector.
    pub(crate) tracer: Option<Tracer>,
    /// Where engines listen that are not told otherwise.
    pub(crate) host: String,
    /// The host under which others reach engines that listen everywhere.
    pub(crate) public_host: String,
}

/// What comes to a pool.
enum Input {
    Order { wish: Wish, from: Option<TraceContext>, reply: Reply },
    News { life: u64, news: News },
}

type Reply = oneshot::Sender<Result<PoolAnswer, Refusal>>;

/// What became of something that was begun.
enum News {
    Event(Event),
    Prepared(Result<CommandLine, NotPrepared>),
    Report(EngineReport),
}

/// The task of one pool.
struct Pool {
    id: Arc<str>,
    spec: Arc<EnginePool>,
    home: Arc<Home>,
    machine: Machine,
    began: Instant,
    inbox: mpsc::Sender<Input>,
    view: watch::Sender<PoolStatus>,
    committed: Choice,
    candidate: Option<Choice>,
    port: u16,
    /// Which preparation of an engine is the current one.
    life: u64,
    place: Place,
    line: Option<CommandLine>,
    process: Option<Process>,
    /// Ends the looks at the engine when it goes.
    looking: Option<DropGuard>,
    adapter: Option<Arc<dyn WorkerAdapter>>,
    report: EngineReport,
    operation: Option<OperationView>,
    /// The answer to a reload whose model is still looked at, and until when it may wait.
    waiting: Option<(Reply, Instant)>,
    leftovers: Vec<Leftover>,
    said: Option<String>,
    traces: PoolTraces,
}

/// Starts the task of a pool.
pub(crate) fn start(
    spec: EnginePool,
    home: &Arc<Home>,
    kept: Option<Kept>,
    closing: CancellationToken,
) -> PoolHandle {
    let (sender, inbox) = mpsc::channel(INBOX);
    let (view, views) = watch::channel(PoolStatus::default());
    let id: Arc<str> = spec.id.as_str().into();
    let handle = PoolHandle::new(Arc::clone(&id), sender.clone(), views, home, spec.devices.clone());
    let is_external = matches!(spec.provisioning, Provisioning::External { .. });
    let rules = Rules {
        keeper: if is_external { Keeper::Other } else { Keeper::Agent },
        warm_up: spec.warm_up,
        ready_timeout: spec.ready_timeout,
        rest_first: home.rest_first,
    };
    let (machine, effects) = Machine::new(rules);
    let (committed, port) = come_back(&spec, kept);
    let place = Place { host: String::new(), port, cache: PathBuf::new(), build: PathBuf::new() };
    // A start that somebody else sees to is not ours to tell.
    let teller = home.tracer.clone().filter(|_| !is_external);
    let traces = PoolTraces::new(teller, Arc::clone(&id), spec.engine.as_str());
    let pool = Pool {
        id,
        spec: Arc::new(spec),
        home: Arc::clone(home),
        machine,
        began: Instant::now(),
        inbox: sender,
        view,
        committed,
        candidate: None,
        port,
        life: 0,
        place,
        line: None,
        process: None,
        looking: None,
        adapter: None,
        report: EngineReport::default(),
        operation: None,
        waiting: None,
        leftovers: Vec::new(),
        said: None,
        traces,
    };
    home.tracker.spawn(pool.run(inbox, effects, closing));
    handle
}

/// The model and the port to start with. What was kept counts only under the same configuration.
// N12
//= ORCH-3443
fn come_back(spec: &EnginePool, kept: Option<Kept>) -> (Choice, u16) {
    let configured = spec.model.clone().unwrap_or_default();
    match kept {
        Some(kept) if kept.configured == configured => {
            let digest = if kept.model == configured { spec.model_digest.clone() } else { kept.digest };
            (Choice { reference: kept.model, digest }, kept.port)
        }
        other => {
            let port = other.map_or(0, |kept| kept.port);
            (Choice { reference: configured, digest: spec.model_digest.clone() }, port)
        }
    }
}

impl Pool {
    /// Runs until the agent ends and the engine has stopped.
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Input>,
        effects: Vec<Effect>,
        closing: CancellationToken,
    ) {
        self.carry_out(effects);
        let mut is_closing = false;
        loop {
            self.publish();
            if is_closing && self.machine.is_down() {
                info!(pool_id = %self.id, "the pool has ended");
                return;
            }
            let wake = self.wake();
            let effects = tokio::select! {
                biased;
                () = closing.cancelled(), if !is_closing => {
                    is_closing = true;
                    // It is never refused.
                    self.machine.order(self.now(), Order::Shutdown).unwrap_or_default()
                }
                input = timeout_at(wake, inbox.recv()) => match input {
                    Ok(Some(input)) => self.take_in(input),
                    // The pool holds a sender of its own, so the inbox does not close.
                    Ok(None) => return,
                    Err(_due) => self.tick(),
                }
            };
            self.carry_out(effects);
        }
    }

    fn now(&self) -> Moment {
        self.began.elapsed()
    }

    /// When there is something to do that nothing announces. At least now and then, to forgive old failures.
    fn wake(&self) -> Instant {
        let now_and_then = Instant::now() + Duration::from_secs(30);
        let machine = self.machine.next_wake().map(|moment| self.began + moment);
        let answer = self.waiting.as_ref().map(|(_, until)| *until);
        machine.into_iter().chain(answer).fold(now_and_then, Instant::min)
    }

    fn tick(&mut self) -> Vec<Effect> {
        if self.waiting.as_ref().is_some_and(|(_, until)| *until <= Instant::now()) {
            self.answer_waiting(Ok(()));
        }
        self.machine.handle(self.now(), Event::Tick)
    }

    fn take_in(&mut self, input: Input) -> Vec<Effect> {
        match input {
            Input::Order { wish, from, reply } => self.take_order(wish, from, reply),
            Input::News { life, .. } if life != self.life => Vec::new(),
            Input::News { news, .. } => self.take_news(news),
        }
    }

    fn take_news(&mut self, news: News) -> Vec<Effect> {
        let event = match news {
            News::Event(event) => event,
            News::Prepared(outcome) => Event::Prepared(outcome.map(|line| self.line = Some(line))),
            News::Report(report) => {
                let busy = report.slots_busy.unwrap_or(0);
                self.report = report;
                Event::Answered { busy }
            }
        };
        match &event {
            Event::Answered { .. } => self.home.metrics.probed(&self.id, "ok"),
            Event::Silent => self.home.metrics.probed(&self.id, "failed"),
            Event::Exited(how) => self.bury(how),
            Event::Checked(outcome) => self.answer_waiting(outcome.clone()),
            _ => {}
        }
        self.machine.handle(self.now(), event)
    }

    /// Which model an engine is started with.
    fn choice(&self, which: Which) -> Choice {
        match (which, &self.candidate) {
            (Which::Candidate, Some(candidate)) => candidate.clone(),
            _ => self.committed.clone(),
        }
    }

    /// Where the engine answers.
    fn endpoint(&self) -> Result<Url, String> {
        if let Provisioning::External { endpoint } = &self.spec.provisioning {
            return Ok(endpoint.clone());
        }
        self.address_of(&self.place.host)
    }

    /// Where others reach it.
    fn public_endpoint(&self) -> Option<Url> {
        match &self.spec.provisioning {
            Provisioning::External { endpoint } => Some(endpoint.clone()),
            _ if self.place.host.is_empty() => None,
            _ if is_everywhere(&self.place.host) => self.address_of(&self.home.public_host).ok(),
            _ => self.address_of(&self.place.host).ok(),
        }
    }

    fn address_of(&self, host: &str) -> Result<Url, String> {
        let host = if is_everywhere(host) { "127.0.0.1" } else { host };
        let host =
            if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        let url = format!("http://{host}:{}", self.place.port);
        Url::parse(&url).map_err(|error| format!("{url} is no address: {error}"))
    }
}

/// Whether an engine that listens there can be reached under any address of the machine.
fn is_everywhere(host: &str) -> bool {
    matches!(host, "0.0.0.0" | "::" | "[::]")
}

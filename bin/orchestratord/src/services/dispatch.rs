//! One attempt: from a slot and a job to tokens in the job's log.
//!
//! An attempt is a task of its own. Stopping it drops the engine's stream, which closes the
//! connection, and then its guard, which gives the slot back: there is no other way out.

use std::sync::Arc;

use adapter_api::{AdapterError, Finish, Progress, TokenBatch, WorkOrder, WorkerAdapter};
use adapter_host::{AttemptStream, SlotGuard, Timeouts, outcome_of};
use api_types::{ErrorBody, Recovery, RecoveryMode, StartedEvent};
use orchestrator_core::{Assignment, Outcome, Spent, Workload};
use tokio::task::consume_budget;
use trace_export::TraceContext;
use tracing::{field::display, warn};

use super::{
    admission::AdmissionError,
    events,
    handle::SchedulerHandle,
    job::{Attempt, JobEntry, JobFacts, Surface},
    keeper::Keeper,
    models::{Models, Unfit},
    narrate,
    pools::Pools,
    recovery::{self, Broken, Check, Next, Plan},
    traces::passed_on,
};
use crate::{
    clock::Clock,
    error::ApiError,
    metrics::{Metrics, Served},
    relay::Said,
};

/// A job's stream is kept as long as the job is; a million tokens are some fifty megabytes.
const LOG_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Runs attempts.
pub(crate) struct Dispatcher {
    pub(crate) timeouts: Timeouts,
    pub(crate) pools: Arc<Pools>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) models: Arc<Models>,
}

impl Dispatcher {
    /// Runs one attempt to its end.
    pub(crate) async fn run(
        self: Arc<Self>,
        entry: Arc<JobEntry>,
        assignment: Assignment,
        mut guard: SlotGuard<SchedulerHandle>,
    ) {
        let pool = assignment.pool.clone();
        let result = self.stream(&entry, assignment, &mut guard).await;
        let outcome = match result {
            Ok(finish) => {
                entry.finished(finish);
                Outcome::Completed
            }
            Err(Broken::Engine(error)) => {
                let (job_id, correlation_id) = (&entry.facts.id, &entry.facts.correlation_id);
                let trace_id = entry.trace_id().map(display);
                warn!(target: "orchestratord::dispatch", %job_id, %correlation_id, trace_id, pool_id = %pool,
                    error = error.kind(), tokens_out = guard.tokens_out(), "attempt failed");
                let outcome = outcome_of(&error, guard.tokens_out());
                entry.broke(error);
                outcome
            }
            // The replica did nothing wrong, so nothing is held against it.
            Err(Broken::Unfit(why)) => {
                entry.may_not_run(why);
                Outcome::Refused
            }
            Err(Broken::Differs | Broken::CannotGoOn) => Outcome::Aborted,
        };
        guard.end(outcome);
    }

    async fn stream(
        &self,
        entry: &Arc<JobEntry>,
        assignment: Assignment,
        guard: &mut SlotGuard<SchedulerHandle>,
    ) -> Result<Finish, Broken> {
        // It may have waited since it was let in.
        //= ORCH-3413
        self.models.check(&entry.facts.model_ref).map_err(|unfit| Broken::Unfit(why_not(unfit)))?;
        let adapter = self.pools.bindings.find(&assignment.pool, &assignment.replica);
        let (Some(adapter), Some(order)) = (adapter, entry.order()) else {
            let reason = "the replica has no adapter".to_owned();
            return Err(Broken::Engine(AdapterError::Unreachable { reason }));
        };
        let plan = Plan::of(entry);
        let order = match self.begin(entry, assignment, &*adapter, &plan) {
            Some(trace) => Arc::new(WorkOrder { trace: Some(passed_on(&trace)), ..(*order).clone() }),
            None => order,
        };
        let mut pump = Pump { dispatcher: self, entry, adapter: &*adapter, guard, first: true };
        pump.guard.count_tokens(plan.tokens_kept());
        match plan {
            Plan::Fresh | Plan::Restart => pump.run(order, None).await,
            Plan::Continue(said) => pump.go_on(&order, &said).await,
            Plan::Replay(said) => match pump.run(Arc::clone(&order), Some(Check::new(said.clone()))).await {
                Err(Broken::Differs) => pump.go_on(&order, &said).await,
                result => result,
            },
        }
    }

    /// Tells readers, metrics and the log that an engine has the job. Returns the place in a trace that the engine
    /// is told, unless that is its client's.
    fn begin(
        &self,
        entry: &Arc<JobEntry>,
        assignment: Assignment,
        adapter: &dyn WorkerAdapter,
        plan: &Plan,
    ) -> Option<TraceContext> {
        let now = self.clock.now();
        let status = entry.status();
        let waited = now.since(status.accepted_at);
        let served = Served {
            engine: Some(adapter.capabilities().engine),
            version: self.pools.version(&assignment.pool, &assignment.replica),
        };
        let engine_version = served.version.clone();
        let series = self.metrics.started(&assignment, entry.facts.priority, served, waited);
        let attempt = Attempt {
            engine: adapter.capabilities().engine,
            engine_version,
            assignment,
            dispatched_at: now,
            first_token_at: None,
            series: Some(series),
        };
        narrate::dispatched(entry, &attempt, waited);
        // An engine that was busy gets the same attempt again; its readers have been told already.
        let last = status.attempt.as_ref().map(|last| last.assignment.attempt);
        if last != Some(attempt.assignment.attempt) {
            let recovery = plan.recovery();
            if entry.facts.surface == Surface::Native {
                announce(entry, plan, events::started(entry, &status, &attempt, recovery));
                self.keeper.dispatched(entry, &attempt);
            }
            if let Some(recovery) = recovery {
                entry.recovers(recovery);
            }
        }
        entry.dispatched(attempt);
        entry.trace().and_then(|trace| trace.dispatched(now))
    }
}

/// What a client is told whose model may not be used.
fn why_not(unfit: Unfit) -> Box<ErrorBody> {
    Box::new(ApiError::from(AdmissionError::Model(unfit)).into_body())
}

/// Tells readers that an engine has the job, and what becomes of the text that they have.
fn announce(entry: &JobEntry, plan: &Plan, mut started: StartedEvent) {
    let discard_after_id = entry.discard_after();
    if *plan == Plan::Restart {
        entry.log.restart("started", |id| {
            started.discard_before_id = Some(id);
            events::json(&started)
        });
    } else {
        started.discard_after_id = discard_after_id;
        entry.log.append("started", &events::json(&started));
    }
}

/// Moves what an engine says to the readers.
struct Pump<'a> {
    dispatcher: &'a Dispatcher,
    entry: &'a Arc<JobEntry>,
    adapter: &'a dyn WorkerAdapter,
    guard: &'a mut SlotGuard<SchedulerHandle>,
    /// Whether nothing of this attempt was handed on yet.
    first: bool,
}

impl Pump<'_> {
    /// Runs one order to its end. With a check, what readers have is not handed on again.
    async fn run(&mut self, order: Arc<WorkOrder>, mut check: Option<Check>) -> Result<Finish, Broken> {
        let mut stream = AttemptStream::open(self.adapter, order, self.dispatcher.timeouts).await?;
        let mut batch = TokenBatch::new();
        loop {
            let progress = stream.next(&mut batch).await;
            if let Some(check) = check.as_mut().filter(|_| !batch.is_empty()) {
                batch = check.beyond(&batch)?;
            }
            if !batch.is_empty() {
                self.deliver(&batch);
                batch.clear();
                if self.entry.log.len() > LOG_BYTES_MAX {
                    let what = "its answer is longer than a job may hold".to_owned();
                    return Err(Broken::Engine(AdapterError::Protocol { what }));
                }
            }
            // An engine that is always ready still leaves its turns to others.
            consume_budget().await;
            if let Progress::Ended(finish) = progress? {
                if check.is_some_and(|check| !check.is_done()) {
                    return Err(Broken::Differs);
                }
                self.guard.count_spent(spent(&finish, &self.entry.facts, self.guard.tokens_out()));
                return Ok(finish);
            }
        }
    }

    /// Goes on behind what was said.
    async fn go_on(&mut self, order: &WorkOrder, said: &Said) -> Result<Finish, Broken> {
        self.entry.recovers(Recovery { mode: RecoveryMode::Continue, exact: false });
        match recovery::going_on(order, said, self.adapter.capabilities().goes_on_with) {
            Next::Order(order) => {
                let finish = self.run(Arc::new(order), None).await?;
                Ok(recovery::with_said(finish, said))
            }
            Next::End(finish) => Ok(finish),
            Next::Nothing => Err(Broken::CannotGoOn),
        }
    }

    /// Hands what an engine said to the readers; a document is kept for the last event.
    fn deliver(&mut self, batch: &TokenBatch) {
        let facts = &self.entry.facts;
        let document = match (facts.surface, facts.workload()) {
            (Surface::OpenAi, _) | (_, Workload::Completion) => None,
            (Surface::Native, Workload::Embedding | Workload::Rerank) => batch.pieces().last(),
        };
        if let Some(document) = document {
            return self.entry.answered(document.text.to_owned());
        }
        if std::mem::replace(&mut self.first, false) {
            let now = self.dispatcher.clock.now();
            self.entry.first_token(now);
            narrate::streaming(self.entry, now);
        }
        if !self.entry.has_spoken() {
            self.dispatcher.keeper.speaks(self.entry);
        }
        self.guard.count_tokens(u32::try_from(batch.len()).unwrap_or(u32::MAX));
        self.entry.log.append_tokens(batch);
    }
}

/// What an attempt used, by the engine's count, and by ours where it counts nothing.
fn spent(finish: &Finish, facts: &JobFacts, tokens_out: u32) -> Spent {
    let usage = finish.usage;
    let told = |counted: u32, guessed: u32| u64::from(if counted == 0 { guessed } else { counted });
    Spent {
        tokens: told(usage.prompt, facts.prompt_tokens) + told(usage.generated, tokens_out),
        warm: usage.cached.is_some_and(|cached| cached > 0),
    }
}

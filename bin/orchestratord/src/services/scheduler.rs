//! The one owner of the scheduler's state: events in, effects out.
//!
//! It holds the pure core. Everyone else holds a [`SchedulerHandle`] and brings commands, which [`Turns`] hands
//! to it one after the other, so a run could be repeated from its list of events. If it ever panics, the process
//! ends: a half-dead control plane is worse than a restart.
//!
//! [`Turns`]: super::turns::Turns

mod upkeep;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use adapter_host::{SlotGuard, StopWord};
use orchestrator_core::{
    Admission, Assignment, Effect, Event, FailReason, JobEnd, JobId, LeaseId, PoolId, ReplicaId, Scheduler,
    SessionId, SessionRules, SessionView, Timestamp,
};
use tokio::{
    sync::oneshot,
    task::AbortHandle,
    time::{Instant, sleep_until},
};
use tokio_util::task::TaskTracker;

use self::upkeep::Upkeep;
use super::{
    artifacts::Artifacts,
    command::{Answer, Command, Submission},
    dispatch::Dispatcher,
    events,
    handle::SchedulerHandle,
    job::{JobEntry, JobStatus},
    jobs::Jobs,
    keeper::Keeper,
    narrate,
    pools::Pools,
    sessions, turns,
};
use crate::{
    clock::Clock,
    metrics::{CanceledBy, Metrics, Reception},
};

/// What the scheduler works with.
pub(crate) struct SchedulerParts {
    pub(crate) core: Scheduler,
    pub(crate) handle: SchedulerHandle,
    pub(crate) sessions: SessionRules,
    pub(crate) clock: Clock,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) pools: Arc<Pools>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tracker: TaskTracker,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) artifacts: Arc<Artifacts>,
}

/// Does what is due by time, and what was left for it, until the process ends.
pub(crate) async fn run(parts: SchedulerParts) {
    let (handle, clock) = (parts.handle.clone(), parts.clock);
    let seated = Seated::new(parts);
    // Without an owner there is nothing to run for: it has panicked.
    while let Some(due) = handle.turns().look(Owner::wake_for) {
        let due = due.map(|at| clock.instant(at));
        tokio::select! {
            () = handle.alarmed() => {}
            () = sleep_until(due.unwrap_or_else(far_future)), if due.is_some() => {
                handle.turns().tell(Command::Tell(Box::new(Event::Tick)));
            }
        }
        handle.turns().run();
    }
    drop(seated);
}

/// An owner that goes when its task does: it holds what holds it.
struct Seated(SchedulerHandle);

impl Seated {
    fn new(parts: SchedulerParts) -> Self {
        let handle = parts.handle.clone();
        let (running, effects, sessions) = (HashMap::new(), Vec::new(), HashSet::new());
        handle.turns().seat(Owner {
            parts,
            running,
            effects,
            sessions,
            upkeep: Upkeep::default(),
            wakes: None,
        });
        handle.turns().run();
        Self(handle)
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.0.turns().dismiss();
    }
}

fn far_future() -> Instant {
    Instant::now() + std::time::Duration::from_hours(24)
}

pub(super) struct Owner {
    parts: SchedulerParts,
    /// What must be stopped to stop an attempt.
    running: HashMap<LeaseId, Running>,
    effects: Vec<Effect>,
    /// Sessions that the store has.
    sessions: HashSet<SessionId>,
    upkeep: Upkeep,
    /// When its task wakes by itself.
    wakes: Option<Timestamp>,
}

/// An attempt that runs.
struct Running {
    task: AbortHandle,
    stop_word: StopWord,
    entry: Arc<JobEntry>,
    pool: PoolId,
    replica: ReplicaId,
    /// The length of its job's log, and since when it has that, once its node is thought to be silent.
    heard: Option<(usize, Timestamp)>,
}

impl turns::Owner for Owner {
    type Command = Command;

    fn handle(&mut self, command: Command) {
        match command {
            Command::Submit(submission) => self.submit(*submission),
            Command::Cancel(entry, by, reply) => {
                entry.take_back(by);
                self.apply(Event::Cancel(entry.facts.id));
                // Who asked may have gone; the job is canceled all the same.
                reply.send(()).ok();
            }
            Command::Abandon(entry) => {
                entry.take_back(CanceledBy::Storage);
                self.apply(Event::Cancel(entry.facts.id));
                self.parts.keeper.forget(&entry);
                self.parts.jobs.remove(entry.facts.id);
            }
            Command::Recover(recovered) => self.apply(Event::Recover(*recovered)),
            Command::Lost(entry) => self.finish(entry.facts.id, JobEnd::Failed(FailReason::EngineLost)),
            Command::AttemptEnded(lease, outcome, spent) => {
                let attempt = self.running.remove(&lease);
                if let Some((attempt, trace)) = attempt.as_ref().and_then(|it| Some((it, it.entry.trace()?)))
                {
                    trace.attempt_ended(&attempt.entry, self.parts.clock.now(), outcome);
                }
                self.apply(Event::AttemptEnded(lease, outcome, spent));
                if let Some(attempt) = attempt {
                    self.parts.metrics.attempt_ended(&attempt.pool, outcome);
                    // The job may have ended before its attempt did.
                    self.keep_session(attempt.entry.facts.session());
                }
            }
            Command::Tell(event) => self.apply(*event),
            // Who asked may have gone; the operation is under way all the same.
            Command::Begin(pool, operation, reply) => drop(reply.send(self.begin(&pool, operation))),
            Command::Close(scope, deadline, reply) => drop(reply.send(self.close(scope, deadline))),
            Command::NodeIsSilent(replicas, silence) => self.node_is_silent(&replicas, silence),
            Command::Pools(reply) => drop(reply.send(self.parts.core.pools())),
            Command::Position(job, reply) => drop(reply.send(self.parts.core.queue_position(job))),
            Command::Explain(job, reply) => {
                drop(reply.send(self.parts.core.explain(self.parts.clock.now(), job)));
            }
            Command::Session(id, reply) => drop(reply.send(self.session(id))),
            Command::RecoverSession(record) => {
                self.sessions.insert(record.id);
                self.apply(Event::RecoverSession(record));
            }
            Command::SweepSessions => self.sweep_sessions(),
            Command::EndSession(id, reply) => {
                self.end_session(id);
                // Who asked may have gone; the session is given up all the same.
                reply.send(()).ok();
            }
            Command::IsIdle(reply) => drop(reply.send(self.parts.core.is_idle())),
        }
    }

    /// Shows the queues as they are now, and has its task wake in time.
    fn rest(&mut self) {
        self.parts.metrics.queues(self.parts.core.waiting());
        let due = self.parts.core.next_due();
        if due.is_some_and(|due| self.wakes.is_none_or(|wakes| due < wakes)) {
            self.wakes = due;
            self.parts.handle.alarm();
        }
    }
}

impl Drop for Owner {
    /// Its task must see that it is gone.
    fn drop(&mut self) {
        self.parts.handle.alarm();
    }
}

impl Owner {
    /// When its task should wake if nothing else happens; it will.
    fn wake_for(&mut self) -> Option<Timestamp> {
        self.wakes = self.parts.core.next_due();
        self.wakes
    }

    fn submit(&mut self, submission: Submission) {
        let Submission { job, entry, answer, mut on_the_way } = submission;
        if let Some(known) = self.parts.jobs.find(job.id) {
            drop(answer.send(Answer::Known(known)));
            return;
        }
        let now = self.parts.clock.now();
        let id = job.id;
        let mut effects = std::mem::take(&mut self.effects);
        effects.extend(self.parts.core.handle(now, Event::Submit(job)));
        let mut answer = Some(answer);
        for effect in effects.drain(..) {
            match effect {
                Effect::Accept(_, admission) => {
                    entry.accepted(now, admission.clone());
                    self.parts.jobs.insert(Arc::clone(&entry));
                    self.parts.keeper.accepted(&entry, &admission, on_the_way.take());
                    self.count_accepted(&entry, &admission);
                    narrate::accepted(&entry, &admission);
                    send(&mut answer, Answer::Accepted(admission));
                }
                Effect::Reject(rejected, rejection) if rejected == id => {
                    send(&mut answer, Answer::Rejected(rejection));
                }
                other => self.perform(other),
            }
        }
        self.effects = effects;
    }

    fn count_accepted(&self, entry: &JobEntry, admission: &Admission) {
        let served = self.parts.pools.served(&admission.pool);
        let place = self.parts.core.queue_position(entry.facts.id);
        let how = place.map_or(Reception::Dispatched, |_waits| Reception::Queued);
        self.parts.metrics.enqueued(admission, entry.facts.priority, served, how);
        if how == Reception::Queued {
            self.parts.metrics.waits(&entry.facts.requirements);
        }
    }

    fn apply(&mut self, event: Event) {
        let now = self.parts.clock.now();
        let mut effects = std::mem::take(&mut self.effects);
        effects.extend(self.parts.core.handle(now, event));
        for effect in effects.drain(..) {
            self.perform(effect);
        }
        self.effects = effects;
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Dispatch(assignment) => self.dispatch(assignment),
            Effect::Abort(lease) => {
                if let Some(attempt) = self.running.get(&lease) {
                    attempt.task.abort();
                }
            }
            Effect::Finish(job, end) => self.finish(job, end),
            Effect::Evict(lease) => self.evict(lease),
            Effect::Began(pool, _) => self.upkeep.answered(pool, Ok(())),
            Effect::Refused(pool, why) => self.upkeep.answered(pool, Err(why)),
            Effect::Drained(pool, replica) => self.upkeep.emptied(&(pool, replica)),
            Effect::Probe(pool, replica) => self.parts.pools.look_now(&pool, &replica),
            // Only a submit is accepted or rejected, and that has its own path.
            Effect::Accept(..) | Effect::Reject(..) => {}
        }
    }

    fn dispatch(&mut self, assignment: Assignment) {
        let Some(entry) = self.parts.jobs.find(assignment.job) else { return };
        self.parts.metrics.placed(&assignment, &entry.facts.requirements);
        if let Some(trace) = entry.trace() {
            trace.placed(self.parts.clock.now(), entry.status().accepted_at, &assignment);
        }
        let guard = SlotGuard::new(assignment.lease, entry.facts.prompt_tokens, self.parts.handle.clone());
        let (lease, stop_word) = (assignment.lease, guard.stop_word());
        let (pool, replica) = (assignment.pool.clone(), assignment.replica.clone());
        let attempt = Arc::clone(&self.parts.dispatcher).run(Arc::clone(&entry), assignment, guard);
        let task = self.parts.tracker.spawn(attempt).abort_handle();
        self.running.insert(lease, Running { task, stop_word, entry, pool, replica, heard: None });
    }

    fn finish(&mut self, job: JobId, end: JobEnd) {
        let Some(entry) = self.parts.jobs.find(job) else { return };
        if self.parts.keeper.suspends(&entry, end) {
            return;
        }
        let now = self.parts.clock.now();
        // What it used is kept before its end: a crash between the two must not give it back.
        self.keep_session(entry.facts.session());
        let session = self.parts.core.session(now, entry.facts.session());
        let order = entry.order();
        let status = entry.ended(now, end, session.map(|session| session.remaining));
        let pool = status.admission.as_ref().map(|admission| admission.pool.clone());
        let waiting =
            |pool| self.parts.core.waiting().find(|(id, _)| *id == pool).map(|(_, waiting)| waiting);
        let depth = pool.as_ref().and_then(waiting).map_or(0, |waiting| waiting.iter().sum());
        self.count_ended(&entry, &status, end);
        if let Some(trace) = entry.trace() {
            trace.ended(&entry, &status, end);
        }
        let human = narrate::ended(&entry, &status, end);
        entry.log.seal(&events::last(&entry, &status, end, depth, human));
        self.parts.keeper.ended(&entry, now);
        self.parts.artifacts.task_ended(&entry, order);
        self.parts.keeper.swept(self.parts.jobs.ended(&entry, now));
    }

    fn count_ended(&self, entry: &JobEntry, status: &JobStatus, end: JobEnd) {
        let metrics = &self.parts.metrics;
        let served = || status.admission.as_ref().map(|it| (&it.pool, self.parts.pools.served(&it.pool)));
        let series = status.attempt.as_ref().and_then(|attempt| attempt.series.as_deref());
        if let Some(series) = series {
            let usage = status.finish.map(|finish| finish.usage);
            let said = || entry.log.tokens();
            series.used(
                usage.map_or(0, |usage| usage.prompt),
                usage.map_or_else(said, |usage| usage.generated),
            );
        }
        match (end, series) {
            (JobEnd::Completed, Some(series)) => series.decoded(events::decode_ms(status)),
            (JobEnd::Canceled, Some(series)) => metrics.canceled(series, entry.taken_back_by()),
            (JobEnd::Canceled, None) => {
                if let Some((pool, served)) = served() {
                    metrics.canceled_in_line(pool, &served, entry.taken_back_by());
                }
            }
            (JobEnd::Failed(FailReason::Dropped), _) => {
                if let Some((_, served)) = served() {
                    metrics.dropped(&served);
                }
            }
            (JobEnd::Completed | JobEnd::Failed(_), _) => {}
        }
    }

    fn session(&self, id: SessionId) -> Option<SessionView> {
        let now = self.parts.clock.now();
        let of_its_own = || sessions::of_its_own(&*self.job_of(id)?, now, &self.parts.sessions);
        self.parts.core.session(now, id).or_else(of_its_own)
    }

    /// Leaves a session as it is now to the store, if the scheduler keeps it at all.
    fn keep_session(&mut self, id: SessionId) {
        if let Some(record) = self.parts.core.session_record(self.parts.clock.now(), id) {
            self.sessions.insert(id);
            self.parts.keeper.session(&record);
        }
    }

    /// Gives up in the store what the scheduler has forgotten.
    fn sweep_sessions(&mut self) {
        let Self { parts, sessions, .. } = self;
        let now = parts.clock.now();
        sessions.retain(|id| {
            let known = parts.core.session(now, *id).is_some();
            if !known {
                parts.keeper.session_gone(*id);
            }
            known
        });
    }

    fn end_session(&mut self, id: SessionId) {
        self.apply(Event::EndSession(id));
        if self.sessions.remove(&id) {
            self.parts.keeper.session_gone(id);
        }
        if let Some(entry) = self.job_of(id) {
            entry.session_ended();
        }
    }

    /// The job that made this session, by naming none.
    fn job_of(&self, id: SessionId) -> Option<Arc<JobEntry>> {
        let entry = self.parts.jobs.find(JobId::from_u128(id.as_u128()))?;
        (entry.facts.session() == id).then_some(entry)
    }
}

fn send(answer: &mut Option<oneshot::Sender<Answer>>, what: Answer) {
    if let Some(answer) = answer.take() {
        // Who asked may have gone; an accepted job runs all the same.
        drop(answer.send(what));
    }
}

//! The life of one engine, as a function of events and time: when it is started, when it counts as ready,
//! when it is given up, and what an operation does to it.
//!
//! Processes, files and sockets are the shell's: it carries out [`Effect`]s and reports [`Event`]s. That way
//! restarts, storms, deadlines and rollbacks are tested by the thousand, without a process and without waiting.
//!
//! Invariant: at most one process of an engine is wanted at a time.
//! Invariant: a pool is ready only between its engine's first good answer (and token) and its end.
//! Invariant: a reload ends in exactly one of "the new model is committed" and "the old one was started again".

mod operation;
mod restarts;
#[cfg(test)]
mod tests;

use std::time::Duration;

use config_schema::WarmUp;
use pool_registry_types::OperationKind;

pub(crate) use operation::{Busy, Order, Rest};
use operation::{Operation, Step};
use restarts::{Restarts, Verdict};

/// The time since the agent started.
pub(crate) type Moment = Duration;

/// How long an engine that was ready may be silent before it is stopped.
const HUNG_AFTER: Duration = Duration::from_mins(1);
/// So many looks without an answer, and the engine is not ready any more.
const SILENT_LOOKS: u32 = 2;
/// When a refusal is looked at again: somebody may have brought what was missing.
const REFUSED_FOR: Duration = Duration::from_mins(1);

/// Who looks after the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// The agent.
    Agent,
    /// Somebody else: it is only looked at.
    Other,
}

/// What holds for an engine as long as the agent runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) keeper: Keeper,
    pub(crate) warm_up: WarmUp,
    pub(crate) ready_timeout: Duration,
    /// How long an engine that was lost stays down the first time.
    pub(crate) rest_first: Duration,
}

/// Which model an engine is started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one that the agent would come back with.
    Committed,
    /// The one that a reload goes to.
    Candidate,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// What must be there before the engine can be started is there, or is not.
    Prepared(Result<(), NotPrepared>),
    /// The candidate of a reload could be started, or could not.
    Checked(Result<(), String>),
    /// The engine answered; so many streams run there.
    Answered { busy: u32 },
    /// The engine did not answer.
    Silent,
    /// It made its first token, or could not.
    WarmedUp(Result<(), String>),
    /// The candidate's name is kept, or could not be.
    Committed(Result<(), String>),
    /// The process ended. It ends exactly once after each start.
    Exited(String),
    /// What a purge removes is gone, or could not be removed.
    CleanedUp(Result<(), String>),
    /// Nothing, but time passed.
    Tick,
}

/// Why an engine cannot be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotPrepared {
    /// Somebody has to change something.
    Refused(String),
    /// It may work the next time.
    Failed(String),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// See that everything is there; answered by [`Event::Prepared`].
    Prepare(Which),
    /// Start the process, and look at it regularly from then on.
    Spawn(Which),
    /// Stop the process; answered by [`Event::Exited`].
    Stop,
    /// Make one token; answered by [`Event::WarmedUp`].
    WarmUp,
    /// See whether the candidate could be started; answered by [`Event::Checked`].
    Check,
    /// Keep the candidate as the model to come back with; answered by [`Event::Committed`].
    Commit,
    /// Remove what a purge removes; answered by [`Event::CleanedUp`].
    CleanUp,
    /// An operation came to its end.
    Finished(OperationKind, Result<(), String>),
    /// The process ended though nobody had asked for it.
    Lost,
}

/// What follows when a process has stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Then {
    Start,
    StayDown,
    Fail(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Nothing runs, and nothing is to.
    Down,
    /// Nothing runs, because something is wrong that only a person can change.
    Refused { until: Moment },
    /// What must be there is looked at.
    Preparing,
    /// The process runs and loads.
    Loading { until: Moment },
    /// It answers, and makes its first token.
    Warming { until: Moment },
    /// It made one, and its model's name is being kept.
    Committing,
    /// It takes work.
    Ready { since: Moment, silence: Option<Silence> },
    /// It was told to stop.
    Stopping { then: Then },
    /// It ended, and is started again later.
    Resting { until: Moment },
    /// It ended too often.
    Broken { until: Moment },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Silence {
    since: Moment,
    looks: u32,
}

/// One engine.
#[derive(Debug)]
pub(crate) struct Machine {
    rules: Rules,
    phase: Phase,
    which: Which,
    draining: bool,
    busy: u32,
    restarts: Restarts,
    operation: Option<Operation>,
    last_error: Option<String>,
}

impl Machine {
    /// An engine that is not started yet, and what to do first.
    pub(crate) fn new(rules: Rules) -> (Self, Vec<Effect>) {
        let mut machine = Self {
            rules,
            phase: Phase::Down,
            which: Which::Committed,
            draining: false,
            busy: 0,
            restarts: Restarts::new(rules.rest_first),
            operation: None,
            last_error: None,
        };
        let effects = machine.prepare();
        (machine, effects)
    }

    /// Takes in what happened.
    pub(crate) fn handle(&mut self, now: Moment, event: Event) -> Vec<Effect> {
        let mut effects = match event {
            Event::Prepared(outcome) => self.prepared(now, outcome),
            Event::Answered { busy } => self.answered(now, busy),
            Event::Silent => self.silent(now),
            Event::WarmedUp(outcome) => self.warmed_up(now, outcome),
            Event::Committed(outcome) => self.committed(now, outcome),
            Event::Exited(how) => self.exited(now, how),
            Event::Checked(outcome) => self.checked(now, outcome),
            Event::CleanedUp(outcome) => self.finish(outcome),
            Event::Tick => self.time_passed(now),
        };
        effects.extend(self.progress(now));
        effects
    }

    //= ORCH-3003
    fn prepare(&mut self) -> Vec<Effect> {
        self.busy = 0;
        self.phase = Phase::Preparing;
        vec![Effect::Prepare(self.which)]
    }

    fn prepared(&mut self, now: Moment, outcome: Result<(), NotPrepared>) -> Vec<Effect> {
        if self.phase != Phase::Preparing {
            return Vec::new();
        }
        match outcome {
            Ok(()) => {
                self.phase = Phase::Loading { until: now.saturating_add(self.rules.ready_timeout) };
                vec![Effect::Spawn(self.which)]
            }
            Err(NotPrepared::Refused(why)) if self.operation.is_none() => {
                self.last_error = Some(why);
                self.phase = Phase::Refused { until: now + REFUSED_FOR };
                Vec::new()
            }
            Err(NotPrepared::Refused(why) | NotPrepared::Failed(why)) => self.failed(now, why),
        }
    }

    //= ORCH-3002
    fn answered(&mut self, now: Moment, busy: u32) -> Vec<Effect> {
        self.busy = busy;
        match &mut self.phase {
            Phase::Loading { until } => {
                let until = *until;
                if self.rules.keeper == Keeper::Agent && self.rules.warm_up == WarmUp::OneToken {
                    self.phase = Phase::Warming { until };
                    return vec![Effect::WarmUp];
                }
                self.loaded(now)
            }
            Phase::Ready { silence, .. } => {
                *silence = None;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn warmed_up(&mut self, now: Moment, outcome: Result<(), String>) -> Vec<Effect> {
        if !matches!(self.phase, Phase::Warming { .. }) {
            return Vec::new();
        }
        match outcome {
            Ok(()) => self.loaded(now),
            Err(why) => self.stop_then(Then::Fail(format!("the first token failed: {why}"))),
        }
    }

    /// The engine does what it is for. A candidate counts only once its name is kept.
    //= ORCH-3443
    fn loaded(&mut self, now: Moment) -> Vec<Effect> {
        match self.which {
            Which::Candidate => {
                self.phase = Phase::Committing;
                vec![Effect::Commit]
            }
            Which::Committed => self.become_ready(now),
        }
    }

    fn committed(&mut self, now: Moment, outcome: Result<(), String>) -> Vec<Effect> {
        if self.phase != Phase::Committing {
            return Vec::new();
        }
        match outcome {
            Ok(()) => {
                self.which = Which::Committed;
                self.become_ready(now)
            }
            Err(why) => self.stop_then(Then::Fail(why)),
        }
    }

    fn become_ready(&mut self, now: Moment) -> Vec<Effect> {
        self.phase = Phase::Ready { since: now, silence: None };
        self.last_error = None;
        match self.operation.as_mut().map(|operation| &mut operation.step) {
            Some(Step::Switching) => self.finish(Ok(())),
            Some(Step::RollingBack { why }) => {
                let why = std::mem::take(why);
                self.finish(Err(why))
            }
            _ => Vec::new(),
        }
    }

    fn silent(&mut self, now: Moment) -> Vec<Effect> {
        let Phase::Ready { silence, .. } = &mut self.phase else { return Vec::new() };
        let silence = silence.get_or_insert(Silence { since: now, looks: 0 });
        silence.looks = silence.looks.saturating_add(1);
        let silent_for = now.saturating_sub(silence.since);
        if silence.looks >= SILENT_LOOKS {
            self.last_error = Some("the engine does not answer".to_owned());
        }
        if self.rules.keeper == Keeper::Agent && silent_for >= HUNG_AFTER {
            let why = format!("the engine did not answer for {} s", silent_for.as_secs());
            return self.stop_then(Then::Fail(why));
        }
        Vec::new()
    }

    fn exited(&mut self, now: Moment, how: String) -> Vec<Effect> {
        match std::mem::replace(&mut self.phase, Phase::Down) {
            Phase::Stopping { then: Then::Start } => self.prepare(),
            Phase::Stopping { then: Then::StayDown } | Phase::Down => self.gone(),
            Phase::Stopping { then: Then::Fail(why) } => self.failed(now, format!("{why}; {how}")),
            Phase::Loading { .. } | Phase::Warming { .. } | Phase::Committing | Phase::Ready { .. } => {
                let mut effects = vec![Effect::Lost];
                effects.extend(self.failed(now, how));
                effects
            }
            // No process was wanted in these, so none can have ended.
            other @ (Phase::Refused { .. }
            | Phase::Preparing
            | Phase::Resting { .. }
            | Phase::Broken { .. }) => {
                self.phase = other;
                Vec::new()
            }
        }
    }

    /// The start came to nothing, or the engine was lost.
    //= ORCH-3441
    fn failed(&mut self, now: Moment, why: String) -> Vec<Effect> {
        self.busy = 0;
        self.last_error = Some(why.clone());
        if self.which == Which::Candidate {
            return self.roll_back(why);
        }
        let mut effects = Vec::new();
        if let Some(Operation { step: Step::RollingBack { why: first }, .. }) = &self.operation {
            let both = format!("{first}; and the old model failed: {why}");
            effects.extend(self.finish(Err(both)));
        }
        self.phase = match self.restarts.after_failure(now) {
            Verdict::Rest(until) => Phase::Resting { until },
            Verdict::Open { until, failures } => {
                let what =
                    format!("{failures} failures in a short time, the breaker is open; the last: {why}");
                self.last_error = Some(what);
                Phase::Broken { until }
            }
        };
        effects
    }

    fn time_passed(&mut self, now: Moment) -> Vec<Effect> {
        match &self.phase {
            Phase::Loading { until } | Phase::Warming { until }
                if *until <= now && self.rules.keeper == Keeper::Agent =>
            {
                let within = self.rules.ready_timeout.as_millis();
                self.stop_then(Then::Fail(format!("the engine was not ready within {within} ms")))
            }
            Phase::Resting { until } | Phase::Refused { until } if *until <= now => self.prepare(),
            Phase::Broken { until } if *until <= now => {
                self.restarts.half_open();
                self.prepare()
            }
            Phase::Ready { since, silence: None } => {
                self.restarts.well_for(now.saturating_sub(*since));
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Stops the process if there is one, and goes on with `then` when there is none.
    fn stop_then(&mut self, then: Then) -> Vec<Effect> {
        self.busy = 0;
        match &mut self.phase {
            Phase::Stopping { then: before } => {
                *before = then;
                Vec::new()
            }
            Phase::Loading { .. } | Phase::Warming { .. } | Phase::Committing | Phase::Ready { .. } => {
                self.phase = Phase::Stopping { then };
                vec![Effect::Stop]
            }
            Phase::Down
            | Phase::Refused { .. }
            | Phase::Preparing
            | Phase::Resting { .. }
            | Phase::Broken { .. } => match then {
                Then::Start => self.prepare(),
                Then::StayDown | Then::Fail(_) => {
                    self.phase = Phase::Down;
                    self.gone()
                }
            },
        }
    }

    /// When something is due that no event announces.
    pub(crate) fn next_wake(&self) -> Option<Moment> {
        let phase = match &self.phase {
            Phase::Loading { until }
            | Phase::Warming { until }
            | Phase::Resting { until }
            | Phase::Refused { until }
            | Phase::Broken { until } => Some(*until),
            _ => None,
        };
        let operation = self.operation.as_ref().and_then(Operation::due);
        phase.into_iter().chain(operation).min()
    }

    /// Whether the engine takes work.
    pub(crate) fn is_ready(&self) -> bool {
        let Phase::Ready { silence, .. } = &self.phase else { return false };
        silence.is_none_or(|silence| silence.looks < SILENT_LOOKS)
    }

    /// Whether its process runs and answers.
    pub(crate) fn is_live(&self) -> bool {
        self.is_ready() || matches!(self.phase, Phase::Warming { .. } | Phase::Committing)
    }

    /// Whether nothing runs and nothing is going to.
    pub(crate) fn is_down(&self) -> bool {
        self.phase == Phase::Down
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining
    }

    /// Streams that run at the engine, as it told last.
    pub(crate) fn busy(&self) -> u32 {
        self.busy
    }

    /// What went wrong last, while it is not ready.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref().filter(|_| !self.is_ready())
    }

    /// Where it stands, for people and for metrics.
    pub(crate) fn phase(&self) -> &'static str {
        match self.phase {
            Phase::Down => "down",
            Phase::Refused { .. } => "refused",
            Phase::Preparing => "preparing",
            Phase::Loading { .. } => "loading",
            Phase::Warming { .. } | Phase::Committing => "warming",
            Phase::Ready { .. } if self.is_ready() => "ready",
            Phase::Ready { .. } => "silent",
            Phase::Stopping { .. } => "stopping",
            Phase::Resting { .. } => "resting",
            Phase::Broken { .. } => "failed",
        }
    }
}

/// All that [`Machine::phase`] can say.
pub(crate) const PHASES: [&str; 10] = [
    "down",
    "refused",
    "preparing",
    "loading",
    "warming",
    "ready",
    "silent",
    "stopping",
    "resting",
    "failed",
];

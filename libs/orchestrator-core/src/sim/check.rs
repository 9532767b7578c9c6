//! A scheduler under watch: every effect of every step is held against the invariants.
//!
//! [`Checked`] stands where a [`Scheduler`] would stand. The simulation, the model tests and the
//! scripts all drive it, so that each of them checks everything that any of them checks.

mod admission;
mod closing;
mod dispatch;
#[cfg(test)]
mod tests;
mod whole;

use std::fmt;

use super::{
    book::{Book, Claimed, JobNote, Standing},
    closing::DRAINED,
    expect::{Expectation, LOST, Verdict, expect},
    rare::{Rare, Tally},
};
use crate::{
    Admission, Effect, Event, FailReason, JobEnd, JobId, LeaseId, PoolId, ReplicaId, Rules, Scheduler,
    Timestamp,
};

/// How many of the last steps are kept for a report.
const KEPT: usize = 30;

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Its id, as in `.specs/10_core.md`.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

pub(super) type Checks = Result<(), Breach>;

/// Fails with this invariant, unless it holds.
#[expect(clippy::fn_params_excessive_bools, reason = "like assert!, it takes a condition")]
pub(super) fn hold(holds: bool, invariant: &'static str, what: impl FnOnce() -> String) -> Checks {
    if holds { Ok(()) } else { Err(Breach { invariant, what: what() }) }
}

pub(super) fn breach<T>(invariant: &'static str, what: String) -> Result<T, Breach> {
    Err(Breach { invariant, what })
}

#[derive(Debug)]
struct Told {
    now: Timestamp,
    event: Event,
    effects: Vec<Effect>,
}

/// A scheduler whose every step is checked.
#[derive(Debug)]
pub struct Checked {
    pub(super) scheduler: Scheduler,
    pub(super) book: Book,
    pub(super) tally: Tally,
    last: Timestamp,
    effects: Vec<Effect>,
    kept: Vec<Told>,
    steps: usize,
    audit_every: usize,
}

impl Checked {
    /// An empty scheduler under watch. The whole state is audited every `audit_every` steps.
    pub fn new(rules: Rules, audit_every: usize) -> Self {
        Self {
            scheduler: Scheduler::new(rules),
            book: Book::new(rules),
            tally: Tally::default(),
            last: Timestamp::default(),
            effects: Vec::new(),
            kept: Vec::with_capacity(KEPT),
            steps: 0,
            audit_every: audit_every.max(1),
        }
    }

    /// The scheduler itself, to look at.
    pub fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// As [`Scheduler::handle`], checked.
    ///
    /// What is due by itself is handled as a step of its own, so that each effect has one cause.
    pub fn handle(&mut self, now: Timestamp, event: Event) -> Result<&[Effect], Breach> {
        self.effects.clear();
        if event != Event::Tick && self.book.is_due(self.last, now) {
            self.step(now, Event::Tick)?;
        }
        self.step(now, event)?;
        Ok(&self.effects)
    }

    /// The last steps, oldest first, one line each.
    pub fn recent(&self) -> Vec<String> {
        let split = (self.steps % KEPT).min(self.kept.len());
        let (newer, older) = self.kept.split_at(split);
        older.iter().chain(newer).map(ToString::to_string).collect()
    }

    fn step(&mut self, now: Timestamp, event: Event) -> Checks {
        self.step_as_told(now, event, |_| ())
    }

    /// A step whose effects may be tampered with, so that the checks can be checked.
    fn step_as_told(
        &mut self,
        now: Timestamp,
        event: Event,
        tamper: impl FnOnce(&mut Vec<Effect>),
    ) -> Checks {
        let mut expected = expect(&mut self.book, &mut self.tally, now, &event);
        let from = self.effects.len();
        self.effects.extend(self.scheduler.handle(now, event.clone()));
        tamper(&mut self.effects);
        self.last = now;
        self.keep(now, event, from);
        let told = &self.kept[self.steps % KEPT];
        self.steps += 1;
        let effects = &self.effects[from..];
        let mut step = Step {
            book: &mut self.book,
            tally: &mut self.tally,
            now,
            expected: &mut expected,
            newcomer: None,
            stopping: None,
            ended_an_attempt: matches!(told.event, Event::AttemptEnded(..)),
        };
        step.admission(&told.event, effects)?;
        for effect in effects {
            step.effect(effect)?;
        }
        step.nothing_left_out()?;
        self.work_conserving(now)?;
        self.timer_is_set(now)?;
        if self.steps.is_multiple_of(self.audit_every) { self.whole(now) } else { Ok(()) }
    }

    fn keep(&mut self, now: Timestamp, event: Event, from: usize) {
        let slot = self.steps % KEPT;
        if self.kept.len() <= slot {
            self.kept.push(Told { now, event: Event::Tick, effects: Vec::new() });
        }
        let told = &mut self.kept[slot];
        told.now = now;
        told.event = event;
        told.effects.clear();
        told.effects.extend_from_slice(&self.effects[from..]);
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} us: {:?} -> {:?}", self.now.as_micros(), self.event, self.effects)
    }
}

/// One step, while its effects are gone through in order.
struct Step<'a> {
    book: &'a mut Book,
    tally: &'a mut Tally,
    now: Timestamp,
    expected: &'a mut Expectation,
    /// The job that came in by this step.
    newcomer: Option<JobId>,
    /// The attempt that was just stopped; the end of its job must come next.
    stopping: Option<LeaseId>,
    /// Whether this step gives a slot back.
    ended_an_attempt: bool,
}

impl Step<'_> {
    fn effect(&mut self, effect: &Effect) -> Checks {
        if let Some(lease) = self.stopping
            && !matches!(effect, Effect::Finish(..))
        {
            return breach("T4", format!("lease {lease} is aborted, and its job does not end with it"));
        }
        match effect {
            Effect::Accept(job, admission) => self.accept(*job, admission),
            Effect::Reject(_, rejection) => {
                self.tally.reject(&rejection.reason);
                Ok(())
            }
            Effect::Dispatch(assignment) => self.dispatch(assignment),
            Effect::Abort(lease) => self.abort(*lease),
            Effect::Finish(job, end) => self.finish(*job, *end),
            Effect::Probe(pool, replica) => self.probe(pool, replica),
            Effect::Began(..) | Effect::Refused(..) => self.answer(effect),
            Effect::Drained(pool, replica) => self.drained(pool, replica.as_ref()),
            Effect::Evict(lease) => self.evict(*lease),
        }
    }

    fn accept(&mut self, id: JobId, admission: &Admission) -> Checks {
        let Some(line) = self.book.find_pool(&admission.pool) else {
            return breach("T1", format!("job {id} is accepted into no pool: {}", admission.pool));
        };
        let Some(job) = self.newcomer_note(line) else {
            return breach("T1", format!("job {id} is accepted, and nobody asked"));
        };
        let ahead = match self.expected.verdict {
            Some(Verdict::Start) => 0,
            _ => self.book.ahead(line, job.job.priority),
        };
        let claim = Claimed::by(&job.job);
        let comes_back = self.book.promised.iter().any(|(client, ..)| *client == claim);
        self.tally.reach_if(comes_back, Rare::PromiseKept);
        self.book.keep_promises(claim);
        self.book.ledger.enter(&job.job, self.expected.price);
        let account = job.job.session.and_then(|asked| self.book.ledger.account(asked.id));
        let left = account.map(|account| self.book.ledger.remaining(account));
        hold(admission.budget == left, "S3", || {
            format!("job {id} is told {:?}, its session has {left:?}", admission.budget)
        })?;
        self.book.live.push(job);
        self.book.accepted += 1;
        self.tally.accepted += 1;
        let told = admission.queue_position as usize;
        hold(told == ahead, "Q6", || format!("job {id} is told position {told}, it has {ahead}"))
    }

    fn newcomer_note(&mut self, line: usize) -> Option<JobNote> {
        let job = self.expected.submitted.take()?;
        self.newcomer = Some(job.id);
        let standing = Standing::Waiting(line);
        Some(JobNote { job, standing, tried: Vec::new(), earlier: None, adrift: false })
    }

    fn abort(&mut self, lease: LeaseId) -> Checks {
        let Some(index) = self.book.find_lease(lease) else {
            return breach("C4", format!("lease {lease} is aborted and holds no slot"));
        };
        let note = &mut self.book.leases[index];
        if note.aborted {
            return breach("C5", format!("lease {lease} is aborted twice"));
        }
        note.aborted = true;
        self.tally.reach_if(note.evicted.is_some(), Rare::CancelWhileEvicted);
        self.stopping = Some(lease);
        Ok(())
    }

    fn finish(&mut self, id: JobId, end: JobEnd) -> Checks {
        let stopped = self.stopping.take();
        let Some(place) = self.book.find(id) else {
            return breach("T2", format!("job {id} ends ({end:?}) and is not alive"));
        };
        let Some(due) = self.expected.ends.iter().position(|due| *due == (id, end)) else {
            return breach("T7", format!("job {id} ends ({end:?}), which nothing asked for"));
        };
        self.expected.ends.swap_remove(due);
        let note = self.book.live.remove(place);
        self.book.ledger.ended(id, self.now);
        self.book.ended += 1;
        self.tally.end(end);
        if end == JobEnd::Failed(FailReason::Dropped) {
            let interactive = note.job.priority == crate::Priority::Interactive;
            self.tally.reach(if interactive { Rare::DropInteractive } else { Rare::DropBatch });
        }
        let holds = match note.standing {
            Standing::Running(lease) => Some(lease).filter(|it| self.book.find_lease(*it).is_some()),
            Standing::Waiting(_) => None,
        };
        hold(stopped == holds, "C1", || format!("job {id} holds {holds:?}, {stopped:?} is stopped"))
    }

    fn probe(&mut self, pool: &PoolId, replica: &ReplicaId) -> Checks {
        let index = self.book.find_replica(pool, replica);
        let asked = self.expected.probe.take();
        hold(asked.is_some() && asked == index, "P8", || format!("{pool}/{replica} is probed for nothing"))
    }

    fn nothing_left_out(&mut self) -> Checks {
        if let Some(lease) = self.stopping {
            return breach("T4", format!("lease {lease} is aborted, and no job ends with it"));
        }
        if let Some((job, end)) = self.expected.ends.first() {
            let waits = self.book.find(*job).is_some_and(|place| self.book.live[place].line().is_some());
            let in_vain = waits && (*end == DRAINED || *end == LOST);
            let by = if in_vain { "P15" } else { self.expected.ends_by };
            return breach(by, format!("job {job} does not end ({end:?})"));
        }
        self.operations_are_told()?;
        hold(self.expected.probe.is_none(), "P8", || "a replica that was lost is not probed".to_owned())
    }
}

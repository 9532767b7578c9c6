//! What the books know of operations: which scopes are closed, who is evicted, and who waits in vain.

use super::{
    book::{Book, JobNote, Standing},
    expect::{Cause, Expectation, LOST},
    rare::{Rare, Tally},
};
use crate::{
    Effect, Event, FailReason, JobEnd, JobId, LeaseId, Operation, OperationKind, OperationRefusal, PoolId,
    Readiness, ReplicaId, Timestamp,
};

pub(super) const DRAINED: JobEnd = JobEnd::Failed(FailReason::Drained);

/// A pool or a replica that takes nothing new.
#[derive(Debug)]
pub(super) struct HoldNote {
    /// The pool, as an index.
    pub(super) pool: usize,
    pub(super) replica: Option<ReplicaId>,
    pub(super) deadline: Option<Timestamp>,
    /// Its deadline, once that has passed.
    pub(super) passed: Option<Timestamp>,
    /// Whether it was said to be empty.
    pub(super) told: bool,
}

/// Why an attempt is stopped while its job is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evicted {
    Drained,
    Gone,
}

impl Book {
    pub(super) fn find_hold(&self, pool: usize, replica: Option<&ReplicaId>) -> Option<usize> {
        self.holds.iter().position(|hold| hold.pool == pool && hold.replica.as_ref() == replica)
    }

    pub(super) fn operation(&self, pool: usize) -> Option<OperationKind> {
        self.operations.iter().find(|(of, _)| *of == pool).map(|(_, kind)| *kind)
    }

    fn holds_replica(&self, hold: &HoldNote, replica: usize) -> bool {
        let note = &self.replicas[replica];
        let by_name = hold.replica.as_ref().is_none_or(|name| name.as_str() == note.view.replica.as_str());
        note.pool == hold.pool && by_name
    }

    /// Whether a replica may take nothing new.
    pub(super) fn is_closed(&self, replica: usize) -> bool {
        self.holds.iter().any(|hold| self.holds_replica(hold, replica))
    }

    /// Slots in use in a scope.
    pub(super) fn held_slots(&self, hold: &HoldNote) -> usize {
        self.leases.iter().filter(|lease| self.holds_replica(hold, lease.replica)).count()
    }

    pub(super) fn used_in(&self, pool: usize) -> usize {
        self.leases.iter().filter(|lease| self.replicas[lease.replica].pool == pool).count()
    }

    /// Whether a drain of the pool was carried to its deadline, and no reload is about to bring it back.
    fn is_withdrawn(&self, pool: usize) -> bool {
        let over = |hold: &HoldNote| hold.pool == pool && hold.replica.is_none() && hold.passed.is_some();
        self.holds.iter().any(over) && self.operation(pool) != Some(OperationKind::Reload)
    }

    fn may_ever_run(&self, note: &JobNote) -> Vec<usize> {
        let fits = |index: &usize| self.replicas[*index].is_here() && self.suits_note(note, *index);
        (0..self.replicas.len()).filter(fits).collect()
    }

    /// Whether a job that lost what it counted on has nowhere left to go.
    pub(super) fn is_stranded(&self, note: &JobNote, home: usize) -> bool {
        let doubtful = note.adrift || note.earlier.is_some();
        let speaks_never =
            |it: &super::book::ReplicaNote| it.is_here() && it.view.readiness == Readiness::Unseen;
        let awaits = note.tried.is_empty() && self.replicas.iter().any(speaks_never);
        (doubtful || !note.tried.is_empty())
            && self.operation(home) != Some(OperationKind::Reload)
            && !awaits
            && self.may_ever_run(note).is_empty()
    }

    /// Whether a job can only be run by pools that were drained until their deadlines.
    pub(super) fn is_shut_out(&self, note: &JobNote, home: usize) -> bool {
        let places = self.may_ever_run(note);
        let (away, left): (Vec<usize>, Vec<usize>) =
            places.into_iter().partition(|index| self.is_withdrawn(self.replicas[*index].pool));
        left.is_empty() && (self.is_withdrawn(home) || !away.is_empty())
    }

    /// How a waiting job must end by now, if it must.
    pub(super) fn hopeless(&self, note: &JobNote) -> Option<JobEnd> {
        let home = note.line()?;
        if self.is_stranded(note, home) {
            Some(LOST)
        } else {
            self.is_shut_out(note, home).then_some(DRAINED)
        }
    }

    /// Every waiting job that must end by now, and how.
    pub(super) fn all_hopeless(&self) -> Vec<(JobId, JobEnd)> {
        self.live.iter().filter_map(|note| Some((note.job.id, self.hopeless(note)?))).collect()
    }

    /// Enters that attempts on these replicas are to be stopped, and says which of them are told so now.
    pub(super) fn evict(&mut self, why: Evicted, on: &[usize], over: &[(JobId, JobEnd)]) -> Vec<LeaseId> {
        let mut told = Vec::new();
        let Self { leases, live, .. } = self;
        for lease in leases.iter_mut().filter(|lease| on.contains(&lease.replica)) {
            let runs = live.iter().any(|note| note.standing == Standing::Running(lease.id));
            if !runs || over.iter().any(|(job, _)| *job == lease.job) {
                continue;
            }
            if lease.evicted.is_none() {
                told.push(lease.id);
            }
            lease.evicted = lease.evicted.filter(|_| why == Evicted::Drained).or(Some(why));
        }
        told
    }

    /// When the next closed scope is to be empty.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        self.holds.iter().filter(|hold| hold.passed.is_none()).filter_map(|hold| hold.deadline).min()
    }

    /// The deadlines of closed scopes have passed, as far as they were by `at`: says who is evicted and who ends.
    pub(super) fn expire_holds(
        &mut self,
        tally: &mut Tally,
        (now, at): (Timestamp, Timestamp),
        expected: &mut Expectation,
    ) {
        let late =
            |hold: &HoldNote| hold.passed.is_none() && hold.deadline.is_some_and(|deadline| deadline <= at);
        let which: Vec<usize> = (0..self.holds.len()).filter(|index| late(&self.holds[*index])).collect();
        for &index in &which {
            self.holds[index].passed = Some(at);
        }
        let covered = |replica: &usize| which.iter().any(|it| self.holds_replica(&self.holds[*it], *replica));
        let on: Vec<usize> = (0..self.replicas.len()).filter(covered).collect();
        let evicted = self.evict(Evicted::Drained, &on, &expected.ends);
        expected.evicts.extend(evicted);
        let over = |job: &JobId| expected.ends.iter().any(|(ended, _)| ended == job);
        let ends: Vec<_> = self.all_hopeless().into_iter().filter(|(job, _)| !over(job)).collect();
        tally.reach_if(!ends.is_empty(), Rare::ShutOut);
        let stays = |note: &JobNote| {
            let ended = ends.iter().any(|(job, _)| *job == note.job.id);
            !ended && note.line().is_some_and(|line| self.is_withdrawn(line))
        };
        tally.reach_if(self.live.iter().any(stays), Rare::SavedByAnother);
        for (job, _) in &ends {
            self.ledger.ended(*job, now);
        }
        expected.ends.extend(ends);
    }
}

/// An operator does something with a pool.
pub(super) fn operate(
    book: &mut Book,
    tally: &mut Tally,
    now: Timestamp,
    event: &Event,
    expected: &mut Expectation,
) {
    match event {
        Event::Begin { pool, operation } => begin(book, tally, now, (pool, *operation), expected),
        Event::Close { pool, replica, deadline } => {
            let pool = book.name_pool(pool);
            close(book, tally, now, (pool, replica.clone(), Some(*deadline)), expected);
        }
        Event::Open { pool, replica } => {
            let hold = book.find_pool(pool).and_then(|pool| book.find_hold(pool, replica.as_ref()));
            if let Some(hold) = hold {
                book.holds.remove(hold);
            }
            expected.cause = Cause::Opening;
        }
        Event::Settle { pool } => settle(book, tally, pool, expected),
        _ => {}
    }
}

/// An operation is asked for.
fn begin(
    book: &mut Book,
    tally: &mut Tally,
    now: Timestamp,
    (id, operation): (&PoolId, Operation),
    expected: &mut Expectation,
) {
    let Operation { kind, deadline } = operation;
    let refuse = |why| Some(Effect::Refused(id.clone(), why));
    let here = |pool: &usize| book.replicas.iter().any(|it| it.pool == *pool && it.is_here());
    let Some(pool) = book.find_pool(id).filter(here) else {
        expected.answer = refuse(OperationRefusal::UnknownPool);
        return;
    };
    let running = book.used_in(pool);
    match book.operation(pool) {
        Some(OperationKind::Drain) if kind == OperationKind::Drain => tally.reach(Rare::DrainAgain),
        Some(other) => {
            tally.reach(Rare::OperationBusy);
            expected.answer = refuse(OperationRefusal::Busy(other));
            return;
        }
        None if kind == OperationKind::Purge && deadline.is_none() && running > 0 => {
            tally.reach(Rare::PurgeWhileRunning);
            let running = u32::try_from(running).unwrap_or(u32::MAX);
            expected.answer = refuse(OperationRefusal::Running(running));
            return;
        }
        None => {}
    }
    book.operations.retain(|(of, _)| *of != pool);
    book.operations.push((pool, kind));
    expected.answer = Some(Effect::Began(id.clone(), kind));
    match (kind, deadline) {
        (OperationKind::Reload, _) => {}
        (OperationKind::Purge, None) => close(book, tally, now, (pool, None, Some(now)), expected),
        _ => close(book, tally, now, (pool, None, deadline), expected),
    }
}

/// A scope takes nothing new from here on.
fn close(
    book: &mut Book,
    tally: &mut Tally,
    now: Timestamp,
    (pool, replica, deadline): (usize, Option<ReplicaId>, Option<Timestamp>),
    expected: &mut Expectation,
) {
    match book.find_hold(pool, replica.as_ref()) {
        Some(index) => {
            let hold = &mut book.holds[index];
            hold.told = false;
            hold.deadline = match (hold.deadline, deadline) {
                (Some(old), Some(new)) => Some(old.min(new)),
                (old, new) => old.or(new),
            };
        }
        None => book.holds.push(HoldNote { pool, replica, deadline, passed: None, told: false }),
    }
    book.expire_holds(tally, (now, now), expected);
}

/// The operation of a pool is over.
fn settle(book: &mut Book, tally: &mut Tally, id: &PoolId, expected: &mut Expectation) {
    let Some(pool) = book.find_pool(id) else { return };
    let was = book.operation(pool);
    book.operations.retain(|(of, _)| *of != pool);
    if was != Some(OperationKind::Reload) {
        return;
    }
    for place in 0..book.live.len() {
        let at = match book.live[place].standing {
            Standing::Waiting(line) => Some(line),
            Standing::Running(lease) => {
                book.find_lease(lease).map(|index| book.replicas[book.leases[index].replica].pool)
            }
        };
        book.live[place].adrift |= at == Some(pool);
    }
    expected.ends = book.all_hopeless();
    tally.reach_if(expected.ends.iter().any(|(_, end)| *end == LOST), Rare::StrandedByReload);
}

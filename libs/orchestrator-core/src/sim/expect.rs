//! What an event demands, worked out from the books before the scheduler's answer is looked at.
//!
//! [`expect`] also enters the event itself into the books; what the scheduler answers is entered by
//! the checks, effect by effect.

use std::time::Duration;

use super::{
    book::{Book, Hurdle, JobNote, Presence, Standing, hurdle},
    faults::{Turn, verdict as verdict_of},
    rare::{Rare, Tally},
};
use crate::{
    AfterTokens, Event, FailReason, JobEnd, JobId, LeaseId, NewJob, Outcome, Readiness, Recovered,
    RejectReason, Timestamp,
};

/// How long a busy replica rests: unsaid, at least, at most.
const REST: [Duration; 3] = [Duration::from_secs(1), Duration::from_millis(100), Duration::from_secs(30)];

/// What must come of an event.
#[derive(Debug, Default)]
pub(super) struct Expectation {
    /// Jobs that must end, and how. Each is struck out when it does.
    pub(super) ends: Vec<(JobId, JobEnd)>,
    /// The invariant that is broken when one of them does not end.
    pub(super) ends_by: &'static str,
    /// The replica that must be probed.
    pub(super) probe: Option<usize>,
    /// What kind of event it is.
    pub(super) cause: Cause,
    /// A job that waits again since this event.
    pub(super) again: Option<JobId>,
    /// The newcomer.
    pub(super) submitted: Option<NewJob>,
    /// What must become of it.
    pub(super) verdict: Option<Verdict>,
    /// The highest price among the replicas that suit it.
    pub(super) price: u64,
}

/// What kind of event it is, as far as that makes its effects rare.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Cause {
    /// Only time passed.
    Time,
    /// An attempt was lost after tokens, and its job goes on.
    LossAfterTokens,
    #[default]
    Other,
}

/// What must become of a newcomer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It does not come in, whatever the load is.
    Refuse(RejectReason),
    /// There is room for it now.
    Start,
    /// It waits in the line of one of these pools, if it may.
    Wait(Vec<usize>),
}

/// Enters an event, and says what must come of it.
pub(super) fn expect(book: &mut Book, tally: &mut Tally, now: Timestamp, event: &Event) -> Expectation {
    let mut expected = Expectation { ends_by: "T2", ..Expectation::default() };
    if *event != Event::Tick {
        book.ledger.expire(now);
    }
    match event {
        Event::Submit(job) => submit(book, tally, now, job, &mut expected),
        // The random worlds have no earlier process whose sessions could come back; scripts have.
        Event::RecoverSession(_) => {}
        Event::Recover(recovered) => recover(book, tally, (now, recovered), &mut expected),
        Event::Tick => {
            expected.cause = Cause::Time;
            expected.ends_by = "Q5";
            let late = |note: &JobNote| note.job.deadline.is_some_and(|deadline| deadline <= now);
            if book.live.iter().any(|note| late(note) && note.line().is_none()) {
                tally.reach(Rare::DeadlineWhileRunning);
            }
            expected.ends = due(book, tally, now);
            book.ledger.expire(now);
        }
        Event::EndSession(id) => {
            let used = book.ledger.account(*id).is_some_and(|account| book.ledger.live(account) > 0);
            tally.reach_if(used, Rare::SessionEndedInUse);
            book.ledger.forget(*id);
        }
        Event::Cancel(id) => {
            expected.ends_by = "C1";
            expected.ends = ends(book, JobEnd::Canceled, |note| note.job.id == *id);
            let held = book.leases.iter().any(|lease| lease.job == *id && lease.aborted);
            tally.reach_if(expected.ends.is_empty() && held, Rare::CancelWhileAborting);
        }
        Event::AttemptEnded(lease, outcome, spent) => {
            expected.ends_by = "X3";
            let replica = book.find_lease(*lease).map(|index| book.leases[index].replica);
            if let Some(replica) = replica {
                book.ledger.let_go(*lease, replica, verdict_of(*outcome), *spent);
            }
            attempt_ended(book, tally, now, (*lease, *outcome), &mut expected);
            match expected.again {
                Some(_) => book.ledger.again(*lease, now, *spent),
                None => book.ledger.over(*lease, now, *spent),
            }
        }
        Event::ReplicaSeen(view) => {
            let replica = book.see(view);
            if book.replicas[replica].used > view.slots {
                tally.reach(Rare::ShrunkBelowUse);
            }
            expected.ends = ends(book, LOST, |note| note.line().is_some() && book.is_stranded(note));
            tally.reach_if(!expected.ends.is_empty(), Rare::StrandedByChange);
        }
        Event::ReplicaGone(pool, replica) => {
            if let Some(replica) = book.find_replica(pool, replica) {
                replica_gone(book, tally, replica, &mut expected);
            }
        }
        Event::Shutdown => {
            book.closing = true;
            let waiting = |note: &JobNote| note.line().is_some();
            let both = book.live.iter().any(waiting) && !book.live.iter().all(waiting);
            tally.reach_if(both, Rare::ShutdownUnderLoad);
            expected.ends = ends(book, CLOSING, waiting);
        }
        Event::StopRunning => {
            book.closing = true;
            expected.ends = ends(book, CLOSING, |_| true);
        }
    }
    expected
}

/// A job that is in already waits, whatever there is, unless it can never run.
fn recover(
    book: &mut Book,
    tally: &mut Tally,
    (now, recovered): (Timestamp, &Recovered),
    expected: &mut Expectation,
) {
    let Recovered { job, pool, attempts } = recovered;
    if book.find(job.id).is_some() {
        return;
    }
    book.accepted += 1;
    let late = job.deadline.is_some_and(|deadline| deadline <= now);
    let here = |index: usize| book.replicas.iter().any(|it| it.pool == index && it.is_here());
    let line = book.find_pool(pool).filter(|line| here(*line)).unwrap_or(0);
    let waiting = book.live.iter().filter(|note| note.line() == Some(line)).count();
    let price = price(book, job);
    let job = NewJob { max_attempts: job.max_attempts.max(attempts + 1), ..job.clone() };
    let (standing, earlier) = (Standing::Waiting(line), Some(*attempts));
    book.live.push(JobNote { job: job.clone(), standing, tried: Vec::new(), earlier });
    if late || book.closing || book.pools.is_empty() {
        let why_not = if book.closing { CLOSING } else { LOST };
        let end = if late { JobEnd::Failed(FailReason::DeadlinePassed) } else { why_not };
        return expected.ends.push((job.id, end));
    }
    book.ledger.enter(&job, price);
    expected.ends = ends(book, LOST, |note| note.job.id == job.id && book.is_stranded(note));
    tally.reach_if(waiting >= book.rules.capacity as usize, Rare::RecoveredAboveCapacity);
}

fn submit(book: &mut Book, tally: &mut Tally, now: Timestamp, job: &NewJob, expected: &mut Expectation) {
    expected.price = price(book, job);
    let verdict = verdict(book, now, job, expected.price);
    if let Verdict::Refuse(RejectReason::Session(refusal)) = &verdict {
        tally.session(*refusal);
    }
    expected.verdict = Some(verdict);
    expected.submitted = Some(job.clone());
}

/// What is due by now, in the order in which it became due: deadlines, and time that is used up.
fn due(book: &mut Book, tally: &mut Tally, now: Timestamp) -> Vec<(JobId, JobEnd)> {
    let mut ends: Vec<(JobId, JobEnd)> = Vec::new();
    loop {
        let late = |note: &JobNote| note.job.deadline.map(|deadline| (deadline, note.job.id));
        let over = |id: JobId| ends.iter().any(|(ended, _)| *ended == id);
        let deadline = book.live.iter().filter_map(late).filter(|(at, id)| *at <= now && !over(*id)).min();
        let allowance = book.ledger.next_allowance().filter(|(at, _)| *at <= now);
        match (deadline, allowance) {
            (Some((at, id)), other) if other.is_none_or(|(then, _)| at <= then) => {
                book.ledger.ended(id, now);
                ends.push((id, JobEnd::Failed(FailReason::DeadlinePassed)));
            }
            (_, Some((_, lease))) => match book.ledger.extend(lease) {
                None => tally.reach(Rare::TimeExtended),
                Some(id) => {
                    tally.reach(Rare::TimeUsedUp);
                    book.ledger.ended(id, now);
                    ends.push((id, JobEnd::Failed(FailReason::BudgetSpent)));
                }
            },
            (_, None) => return ends,
        }
    }
}

const LOST: JobEnd = JobEnd::Failed(FailReason::EngineLost);
const POISONED: JobEnd = JobEnd::Failed(FailReason::Poisoned);
const CLOSING: JobEnd = JobEnd::Failed(FailReason::ShuttingDown);

fn ends(book: &Book, end: JobEnd, which: impl Fn(&JobNote) -> bool) -> Vec<(JobId, JobEnd)> {
    book.live.iter().filter(|note| which(note)).map(|note| (note.job.id, end)).collect()
}

fn replica_gone(book: &mut Book, tally: &mut Tally, replica: usize, expected: &mut Expectation) {
    book.replicas[replica].presence = Presence::Gone;
    let on_it: Vec<LeaseId> =
        book.leases.iter().filter(|lease| lease.replica == replica).map(|lease| lease.id).collect();
    let runs_there = |note: &JobNote| match note.standing {
        Standing::Running(lease) => on_it.contains(&lease),
        Standing::Waiting(_) => false,
    };
    let stranded = |note: &JobNote| note.line().is_some() && book.is_stranded(note);
    tally.reach_if(book.live.iter().any(stranded), Rare::StrandedByLoss);
    expected.ends = ends(book, LOST, |note| runs_there(note) || stranded(note));
}

fn attempt_ended(
    book: &mut Book,
    tally: &mut Tally,
    now: Timestamp,
    (lease, outcome): (LeaseId, Outcome),
    expected: &mut Expectation,
) {
    let Some(index) = book.find_lease(lease) else {
        // Told twice: nothing may come of it.
        return tally.reach(Rare::DuplicateEnd);
    };
    let lease_note = book.leases.swap_remove(index);
    tally.reach_if(lease_note.aborted && outcome != Outcome::Aborted, Rare::EndWhileAborting);
    let replica = &mut book.replicas[lease_note.replica];
    replica.used = replica.used.saturating_sub(1);
    match outcome {
        Outcome::Lost { .. } | Outcome::TimedOut { .. } if replica.is_here() => {
            replica.presence = Presence::Suspect;
            expected.probe = Some(lease_note.replica);
        }
        Outcome::Busy { retry_after } => {
            replica.rests_until = now + retry_after.unwrap_or(REST[0]).clamp(REST[1], REST[2]);
            tally.reach(Rare::BusyRest);
        }
        _ => {}
    }
    match replica.record.ends(now, lease, outcome) {
        Turn::None => {}
        Turn::Opened => tally.reach(Rare::CircuitOpens),
        Turn::TrialFailed => tally.reach(Rare::TrialFails),
        Turn::TrialSucceeded => tally.reach(Rare::CircuitCloses),
    }
    tally.fault(outcome);
    let Some(place) = book.find_running(lease) else { return };
    if let Some(print) = book.live[place].job.fingerprint
        && verdict_of(outcome) == Some(false)
        && book.breaks.note(now, print, lease_note.replica)
    {
        tally.reach(Rare::Poisoned);
        let like = |note: &JobNote| note.line().is_some() && note.job.fingerprint == Some(print);
        expected.ends_by = "X5";
        expected.ends = ends(book, POISONED, like);
        tally.reach_if(!expected.ends.is_empty(), Rare::PoisonedInLine);
        return expected.ends.push((book.live[place].job.id, POISONED));
    }
    match end_of_attempt(book, now, (place, lease_note.replica), outcome) {
        Some(end) => expected.ends.push((book.live[place].job.id, end)),
        None => {
            let line = book.replicas[lease_note.replica].pool;
            book.live[place].standing = Standing::Waiting(line);
            expected.again = Some(book.live[place].job.id);
            if let Outcome::Lost { tokens_out: 1.. } | Outcome::TimedOut { tokens_out: 1.. } = outcome {
                expected.cause = Cause::LossAfterTokens;
            }
            let same_class = |note: &&JobNote| note.job.priority == book.live[place].job.priority;
            let behind = book.live[place + 1..].iter().filter(same_class);
            tally.reach_if(
                behind.into_iter().any(|note| note.line() == Some(line)),
                Rare::RequeueAheadOfOthers,
            );
        }
    }
}

/// How the job ends with its attempt; `None` when it waits again.
fn end_of_attempt(
    book: &mut Book,
    now: Timestamp,
    (place, replica): (usize, usize),
    outcome: Outcome,
) -> Option<JobEnd> {
    let insists = book.live[place].job.after_tokens == AfterTokens::TryAgain;
    let (tokens, fail) = match outcome {
        Outcome::Completed => return Some(JobEnd::Completed),
        Outcome::Refused => return Some(JobEnd::Failed(FailReason::Refused)),
        Outcome::Aborted => return Some(LOST),
        Outcome::Lost { tokens_out } | Outcome::TimedOut { tokens_out: tokens_out @ 0 } => {
            (Some(tokens_out), LOST)
        }
        Outcome::TimedOut { tokens_out } => (Some(tokens_out), JobEnd::Failed(FailReason::TimedOut)),
        Outcome::Busy { .. } => (None, LOST),
    };
    if let Some(tokens) = tokens {
        if tokens > 0 && !insists {
            return Some(fail);
        }
        book.live[place].tried.push(replica);
        let note = &book.live[place];
        if note.earlier.unwrap_or(0) as usize + note.tried.len() >= note.job.max_attempts as usize {
            return Some(fail);
        }
    }
    if book.is_stranded(&book.live[place]) {
        return Some(fail);
    }
    let print = book.live[place].job.fingerprint;
    if print.is_some_and(|print| book.breaks.refuses(now, print)) {
        return Some(POISONED);
    }
    book.closing.then_some(CLOSING)
}

fn price(book: &Book, job: &NewJob) -> u64 {
    let suits = |index: &usize| book.replicas[*index].is_here() && book.suits(&job.requirements, &[], *index);
    (0..book.replicas.len()).filter(suits).map(|index| book.replicas[index].view.price).max().unwrap_or(0)
}

fn verdict(book: &Book, now: Timestamp, job: &NewJob, price: u64) -> Verdict {
    if book.closing {
        return Verdict::Refuse(RejectReason::ShuttingDown);
    }
    if book.find(job.id).is_some() {
        return Verdict::Refuse(RejectReason::DuplicateId);
    }
    if job.fingerprint.is_some_and(|print| book.breaks.refuses(now, print)) {
        return Verdict::Refuse(RejectReason::Poisoned);
    }
    if job.deadline.is_some_and(|deadline| deadline <= now) {
        return Verdict::Refuse(RejectReason::Deadline { predicted_start: Duration::ZERO });
    }
    let need = &job.requirements;
    let suiting: Vec<usize> = (0..book.replicas.len())
        .filter(|&index| book.replicas[index].is_here() && book.suits(need, &[], index))
        .collect();
    if suiting.is_empty() {
        return Verdict::Refuse(why_nothing_suits(book, job));
    }
    let mut pools: Vec<usize> =
        suiting.iter().filter(|&&it| book.replicas[it].serves()).map(|&it| book.replicas[it].pool).collect();
    if pools.is_empty() {
        let silent = |&index: &usize| book.replicas[index].view.readiness == Readiness::Unreachable;
        let was_there = suiting.iter().any(silent);
        let reason = if was_there { RejectReason::Unreachable } else { RejectReason::Unready };
        return Verdict::Refuse(reason);
    }
    if let Some(refusal) = book.ledger.refusal(job, price) {
        return Verdict::Refuse(RejectReason::Session(refusal));
    }
    if suiting.iter().any(|&index| book.replicas[index].is_open(now)) {
        return Verdict::Start;
    }
    pools.sort_unstable();
    pools.dedup();
    Verdict::Wait(pools)
}

fn why_nothing_suits(book: &Book, job: &NewJob) -> RejectReason {
    let here = || book.replicas.iter().filter(|it| it.is_here());
    if let Some(pin) = &job.requirements.pin_pool
        && here().all(|it| it.view.pool != *pin)
    {
        return RejectReason::UnknownPin;
    }
    let nearest = here().map(|it| hurdle(&job.requirements, &it.view, book.rules.gpu)).max();
    match nearest {
        None => RejectReason::NoPool,
        Some(Hurdle::Context(limit)) => RejectReason::Context { limit },
        Some(Hurdle::Mask | Hurdle::Cpu) => RejectReason::Device,
        Some(Hurdle::Workload) => RejectReason::NoSuchWorkload,
        Some(_) if here().any(|it| it.view.readiness == Readiness::Unseen) => RejectReason::Unready,
        Some(_) => RejectReason::NoSuchModel,
    }
}

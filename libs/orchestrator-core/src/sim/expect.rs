//! What an event demands, worked out from the books before the scheduler's answer is looked at.
//!
//! [`expect`] also enters the event itself into the books; what the scheduler answers is entered by
//! the checks, effect by effect.

use std::time::Duration;

use super::{
    book::{Book, Hurdle, JobNote, LeaseNote, Presence, Standing, hurdle},
    closing::{self, DRAINED, Evicted},
    faults::{Turn, verdict as verdict_of},
    rare::{Rare, Tally},
};
use crate::{
    AfterTokens, Effect, Event, FailReason, JobEnd, JobId, LeaseId, NewJob, Outcome, Readiness, Recovered,
    RejectReason, Requirements, Timestamp,
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
    /// Attempts that must be stopped. Each is struck out when it is.
    pub(super) evicts: Vec<LeaseId>,
    /// What must be said to somebody who wants to begin an operation.
    pub(super) answer: Option<Effect>,
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
    /// An evicted job waits again.
    Eviction,
    /// What was closed is open again.
    Opening,
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
            due(book, tally, now, &mut expected);
            book.ledger.expire(now);
        }
        Event::Begin { .. } | Event::Close { .. } | Event::Open { .. } | Event::Settle { .. } => {
            closing::operate(book, tally, now, event, &mut expected);
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
            expected.ends = book.all_hopeless();
            tally.reach_if(expected.ends.iter().any(|(_, end)| *end == LOST), Rare::StrandedByChange);
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
    book.live.push(JobNote { job: job.clone(), standing, tried: Vec::new(), earlier, adrift: false });
    if late || book.closing || book.pools.is_empty() {
        let why_not = if book.closing { CLOSING } else { LOST };
        let end = if late { JobEnd::Failed(FailReason::DeadlinePassed) } else { why_not };
        return expected.ends.push((job.id, end));
    }
    book.ledger.enter(&job, price);
    let newest = book.live.last().and_then(|note| Some((note.job.id, book.hopeless(note)?)));
    expected.ends.extend(newest);
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
///
/// What happens at the same time happens in this order: deadlines, times used up, closed scopes.
fn due(book: &mut Book, tally: &mut Tally, now: Timestamp, expected: &mut Expectation) {
    loop {
        let ends = &mut expected.ends;
        let late = |note: &JobNote| note.job.deadline.map(|deadline| (deadline, note.job.id));
        let over = |id: JobId| ends.iter().any(|(ended, _)| *ended == id);
        let deadline = book.live.iter().filter_map(late).filter(|(at, id)| *at <= now && !over(*id)).min();
        let allowance = book.ledger.next_allowance().filter(|(at, _)| *at <= now);
        let first = deadline.map(|(at, _)| at).into_iter().chain(allowance.map(|(at, _)| at)).min();
        let expiry = book.next_expiry().filter(|at| *at <= now);
        if let Some(at) = expiry.filter(|at| first.is_none_or(|first| *at < first)) {
            book.expire_holds(tally, (now, at), expected);
            continue;
        }
        match (deadline, allowance) {
            (Some((at, id)), other) if other.is_none_or(|(then, _)| at <= then) => {
                book.ledger.ended(id, now);
                let runs = book.find(id).is_some_and(|place| book.live[place].line().is_none());
                tally.reach_if(runs, Rare::DeadlineWhileRunning);
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
            (_, None) => return,
        }
    }
}

pub(super) const LOST: JobEnd = JobEnd::Failed(FailReason::EngineLost);
const POISONED: JobEnd = JobEnd::Failed(FailReason::Poisoned);
const CLOSING: JobEnd = JobEnd::Failed(FailReason::ShuttingDown);

fn ends(book: &Book, end: JobEnd, which: impl Fn(&JobNote) -> bool) -> Vec<(JobId, JobEnd)> {
    book.live.iter().filter(|note| which(note)).map(|note| (note.job.id, end)).collect()
}

fn replica_gone(book: &mut Book, tally: &mut Tally, replica: usize, expected: &mut Expectation) {
    book.replicas[replica].presence = Presence::Gone;
    expected.evicts = book.evict(Evicted::Gone, &[replica], &[]);
    expected.ends = book.all_hopeless();
    tally.reach_if(expected.ends.iter().any(|(_, end)| *end == LOST), Rare::StrandedByLoss);
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
    if let Outcome::Evicted { .. } = outcome {
        expected.ends_by = "P13";
    }
    note_eviction(book, tally, &lease_note, outcome);
    match end_of_attempt(book, now, (place, &lease_note), outcome) {
        Some(end) => expected.ends.push((book.live[place].job.id, end)),
        None => {
            let line = book.replicas[lease_note.replica].pool;
            book.live[place].standing = Standing::Waiting(line);
            expected.again = Some(book.live[place].job.id);
            if let Outcome::Lost { tokens_out: 1.. } | Outcome::TimedOut { tokens_out: 1.. } = outcome {
                expected.cause = Cause::LossAfterTokens;
            }
            if let Outcome::Evicted { .. } = outcome {
                expected.cause = Cause::Eviction;
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

fn note_eviction(book: &Book, tally: &mut Tally, lease: &LeaseNote, outcome: Outcome) {
    let Outcome::Evicted { tokens_out } = outcome else {
        return tally.reach_if(lease.evicted.is_some(), Rare::EvictionRaced);
    };
    tally.reach_if(tokens_out > 0, Rare::EvictedAfterTokens);
    let opened = lease.evicted == Some(Evicted::Drained) && !book.is_closed(lease.replica);
    tally.reach_if(opened, Rare::EvictedTooLate);
    let back = lease.evicted == Some(Evicted::Gone) && book.replicas[lease.replica].is_here();
    tally.reach_if(back, Rare::BackBeforeEvicted);
}

/// How the job ends with its attempt; `None` when it waits again.
fn end_of_attempt(
    book: &mut Book,
    now: Timestamp,
    (place, lease): (usize, &LeaseNote),
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
        Outcome::Evicted { tokens_out } => {
            let gone = lease.evicted == Some(Evicted::Gone);
            if tokens_out > 0 && !insists {
                return Some(if gone { LOST } else { DRAINED });
            }
            book.live[place].adrift |= gone;
            (None, LOST)
        }
    };
    if let Some(tokens) = tokens {
        if tokens > 0 && !insists {
            return Some(fail);
        }
        book.live[place].tried.push(lease.replica);
        let note = &book.live[place];
        if note.earlier.unwrap_or(0) as usize + note.tried.len() >= note.job.max_attempts as usize {
            return Some(fail);
        }
    }
    let home = book.replicas[lease.replica].pool;
    if book.is_stranded(&book.live[place], home) {
        return Some(fail);
    }
    if book.is_shut_out(&book.live[place], home) {
        return Some(DRAINED);
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
        suiting.iter().filter(|&&it| book.serves(it)).map(|&it| book.replicas[it].pool).collect();
    if pools.is_empty() {
        return Verdict::Refuse(why_none_serves(book, need, &suiting));
    }
    if let Some(refusal) = book.ledger.refusal(job, price) {
        return Verdict::Refuse(RejectReason::Session(refusal));
    }
    if suiting.iter().any(|&index| book.is_open(index, now)) {
        return Verdict::Start;
    }
    pools.sort_unstable();
    pools.dedup();
    Verdict::Wait(pools)
}

/// What is said when some replicas suit a newcomer and none of them takes it.
fn why_none_serves(book: &Book, need: &Requirements, suiting: &[usize]) -> RejectReason {
    let silent = |&index: &usize| {
        [Readiness::Unreachable, Readiness::Offline].contains(&book.replicas[index].view.readiness)
    };
    if need.pin_node.is_some() && suiting.iter().all(silent) {
        return RejectReason::NodeUnavailable;
    }
    let was_there = suiting.iter().any(|index| silent(index) && !book.is_closed(*index));
    if was_there { RejectReason::Unreachable } else { RejectReason::Unready }
}

fn why_nothing_suits(book: &Book, job: &NewJob) -> RejectReason {
    let here = || book.replicas.iter().filter(|it| it.is_here());
    if let Some(pin) = &job.requirements.pin_pool
        && here().all(|it| it.view.pool != *pin)
    {
        return RejectReason::UnknownPin;
    }
    if let Some(node) = &job.requirements.pin_node
        && !here().any(|it| it.view.node.as_ref() == Some(node))
    {
        return RejectReason::NodeUnavailable;
    }
    let nearest = here().map(|it| hurdle(&job.requirements, &it.view, book.rules.gpu)).max();
    match nearest {
        None => RejectReason::NoPool,
        Some(Hurdle::Node) => RejectReason::NodeUnavailable,
        Some(Hurdle::Memory { need, have }) => RejectReason::Vram { need, have },
        Some(Hurdle::Context(limit)) => RejectReason::Context { limit },
        Some(Hurdle::Mask | Hurdle::Cpu) => RejectReason::Device,
        Some(Hurdle::Workload) => RejectReason::NoSuchWorkload,
        Some(_) if here().any(|it| it.view.readiness == Readiness::Unseen) => RejectReason::Unready,
        Some(_) => RejectReason::NoSuchModel,
    }
}

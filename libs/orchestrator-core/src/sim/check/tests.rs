//! A checker that accepts everything finds nothing: here the scheduler's true effects are falsified,
//! one lie at a time, and each lie must be called by the right name.

mod closing;

use std::time::Duration;

use super::*;
use crate::{
    AdmissionPolicy, Affinity, Assignment, Budget, NewJob, Outcome, Priority, Readiness, RejectReason,
    Rejection, ReplicaView, Requirements, Rule, SessionId, SessionRefusal, SessionUse, Share, Spent, Why,
};

const NOW: Timestamp = Timestamp::from_micros(1_000_000);

fn job(number: u128, priority: Priority) -> NewJob {
    let requirements = Requirements::of("m", 1);
    NewJob { max_attempts: 2, size: 1, ..NewJob::of(JobId::from_u128(number), priority, requirements) }
}

fn submit(number: u128) -> Event {
    Event::Submit(job(number, Priority::Interactive))
}

fn batch(number: u128) -> Event {
    Event::Submit(job(number, Priority::Batch))
}

fn replica(name: &str, readiness: Readiness) -> ReplicaView {
    ReplicaView { readiness, ..ReplicaView::ready(PoolId::new("p"), ReplicaId::new(name), "m") }
}

fn lease(number: u64) -> LeaseId {
    LeaseId(number)
}

fn ended_attempt(number: u64, outcome: Outcome) -> Event {
    Event::AttemptEnded(lease(number), outcome, Spent::default())
}

/// One Ready replica with one slot, one draining, and room for two waiting jobs.
fn watched(policy: AdmissionPolicy, events: &[Event]) -> Checked {
    let mut checked = Checked::new(Rules { capacity: 2, policy, ..Rules::default() }, 1);
    let seen = [replica("r0", Readiness::Ready), replica("r1", Readiness::Draining)].map(Event::ReplicaSeen);
    for event in seen.iter().chain(events) {
        checked.handle(NOW, event.clone()).unwrap();
    }
    checked
}

fn start(number: u128, lease: LeaseId, replica: &str, attempt: u32) -> Effect {
    let (pool, replica) = (PoolId::new("p"), ReplicaId::new(replica));
    let why = Box::new(Why { rule: Rule::SlotFreed, considered: 0, candidates: Vec::new() });
    let affinity = Affinity::None;
    Effect::Dispatch(Assignment {
        job: JobId::from_u128(number),
        lease,
        pool,
        replica,
        attempt,
        affinity,
        why,
    })
}

fn finish(number: u128, end: JobEnd) -> Effect {
    Effect::Finish(JobId::from_u128(number), end)
}

/// The invariant that is said to be broken when the effects of `event` are replaced by `lie`.
fn called(mut checked: Checked, event: Event, lie: &[Effect]) -> &'static str {
    called_at(NOW, &mut checked, event, |effects| *effects = lie.to_vec())
}

fn called_at(
    now: Timestamp,
    checked: &mut Checked,
    event: Event,
    tamper: impl FnOnce(&mut Vec<Effect>),
) -> &'static str {
    checked.effects.clear();
    checked.step_as_told(now, event, tamper).unwrap_err().invariant
}

const REJECT: AdmissionPolicy = AdmissionPolicy::Reject;
const DROP: AdmissionPolicy = AdmissionPolicy::DropLru;

#[test]
fn a_lie_about_starting_is_called() {
    let end = || ended_attempt(1, Outcome::Completed);
    let ended = || finish(1, JobEnd::Completed);
    let three = [submit(1), batch(2), submit(3)];
    let lies = [
        ("Q3", vec![ended(), start(2, lease(2), "r0", 1)]),
        ("P1", vec![ended(), start(3, lease(2), "r1", 1)]),
        ("C4", vec![ended(), start(3, lease(1), "r0", 1)]),
        ("X1", vec![ended(), start(3, lease(2), "r0", 2)]),
        ("P2", vec![ended(), start(3, lease(2), "r0", 1), start(2, lease(3), "r0", 1)]),
        ("T4", vec![ended(), start(1, lease(2), "r0", 1)]),
        ("T4", vec![ended(), start(9, lease(2), "r0", 1)]),
        ("T2", vec![ended(), ended()]),
        ("Q8", vec![ended()]),
        ("X3", vec![start(3, lease(2), "r0", 1)]),
    ];
    for (invariant, lie) in lies {
        assert_eq!(called(watched(REJECT, &three), end(), &lie), invariant, "{lie:?}");
    }
    let same_class = watched(REJECT, &[submit(1), batch(2), batch(3)]);
    assert_eq!(called(same_class, end(), &[ended(), start(3, lease(2), "r0", 1)]), "Q2");
}

#[test]
fn a_lie_about_a_cancel_is_called() {
    let cancel = |number| Event::Cancel(JobId::from_u128(number));
    let world = || watched(REJECT, &[submit(1), submit(2)]);
    assert_eq!(called(world(), cancel(1), &[]), "C1");
    assert_eq!(called(world(), cancel(1), &[finish(1, JobEnd::Canceled)]), "C1");
    assert_eq!(called(world(), cancel(1), &[Effect::Abort(lease(1))]), "T4");
    assert_eq!(called(world(), cancel(1), &[finish(1, JobEnd::Completed)]), "T7");
    assert_eq!(called(world(), cancel(2), &[Effect::Abort(lease(7)), finish(2, JobEnd::Canceled)]), "C4");
    let freed = [Effect::Abort(lease(1)), finish(1, JobEnd::Canceled), start(2, lease(2), "r0", 1)];
    assert_eq!(called(world(), cancel(1), &freed), "P2");
    let twice = watched(REJECT, &[submit(1), cancel(1)]);
    assert_eq!(called(twice, cancel(1), &[Effect::Abort(lease(1))]), "C5");
}

#[test]
fn a_lie_about_an_admission_is_called() {
    let full = |policy| watched(policy, &[submit(1), batch(2), batch(3)]);
    let admission = |queue_position| Admission {
        pool: PoolId::new("p"),
        queue_position,
        predicted_start: Duration::ZERO,
        predicted_start_p90: Duration::ZERO,
        on_time_per_mille: None,
        budget: None,
    };
    let accept = |number, position| Effect::Accept(JobId::from_u128(number), admission(position));
    let dropped = JobEnd::Failed(FailReason::Dropped);
    assert_eq!(called(full(REJECT), submit(4), &[accept(4, 0)]), "Q1");
    assert_eq!(called(full(REJECT), submit(4), &[finish(2, dropped), accept(4, 0)]), "Q7");
    assert_eq!(called(full(DROP), submit(4), &[finish(3, dropped), accept(4, 0)]), "Q4");
    assert_eq!(called(full(DROP), submit(4), &[finish(1, dropped), accept(4, 0)]), "Q4");
    assert_eq!(called(full(DROP), submit(4), &[accept(4, 0), finish(2, dropped)]), "Q7");
    assert_eq!(called(full(DROP), submit(4), &[finish(2, dropped), accept(4, 1)]), "Q6");
    assert_eq!(called(full(DROP), submit(4), &[]), "Q7");
    assert_eq!(called(full(DROP), submit(3), &[accept(3, 0)]), "Q7");
    assert_eq!(called(full(DROP), Event::Tick, &[accept(4, 0)]), "T5");
}

#[test]
fn a_lie_about_a_deadline_is_called() {
    let mut late = job(2, Priority::Interactive);
    late.deadline = Some(NOW + Duration::from_secs(1));
    let mut checked = watched(REJECT, &[submit(1), Event::Submit(late)]);
    let then = NOW + Duration::from_secs(1);
    assert_eq!(called_at(then, &mut checked, Event::Tick, Vec::clear), "Q5");
}

#[test]
fn a_lie_about_a_lost_engine_is_called() {
    let world = || {
        let ready = Event::ReplicaSeen(replica("r1", Readiness::Ready));
        watched(REJECT, &[submit(1), ready, submit(2), submit(3)])
    };
    let lost = |tokens_out| ended_attempt(1, Outcome::Lost { tokens_out });
    let probe = Effect::Probe(PoolId::new("p"), ReplicaId::new("r0"));
    let engine_lost = JobEnd::Failed(FailReason::EngineLost);
    assert_eq!(called(world(), lost(0), &[]), "P8");
    assert_eq!(called(world(), lost(0), &[probe.clone(), finish(1, engine_lost)]), "T7");
    assert_eq!(called(world(), lost(0), &[probe.clone(), start(1, lease(3), "r0", 2)]), "P1");
    assert_eq!(called(world(), lost(5), &[probe]), "X3");
}

#[test]
fn a_lie_about_a_circuit_is_called() {
    let mut events = Vec::new();
    for number in 1..=3 {
        let outcome = Outcome::Lost { tokens_out: 5 };
        let seen = Event::ReplicaSeen(replica("r0", Readiness::Ready));
        events.extend([submit(number.into()), ended_attempt(number, outcome), seen]);
    }
    events.push(submit(4));
    assert_eq!(called(watched(REJECT, &events), Event::Tick, &[start(4, lease(4), "r0", 1)]), "P9");
}

#[test]
fn a_lie_about_a_quarantine_is_called() {
    let printed = |number| {
        let mut job = job(number, Priority::Interactive);
        job.fingerprint = Some(7);
        Event::Submit(job)
    };
    let lost = |number| ended_attempt(number, Outcome::Lost { tokens_out: 0 });
    let world = || {
        let ready = Event::ReplicaSeen(replica("r1", Readiness::Ready));
        let end = ended_attempt(2, Outcome::Completed);
        watched(REJECT, &[printed(1), ready, submit(2), printed(3), lost(1), end])
    };
    let probe = Effect::Probe(PoolId::new("p"), ReplicaId::new("r1"));
    let poisoned = |number| finish(number, JobEnd::Failed(FailReason::Poisoned));
    let engine_lost = finish(1, JobEnd::Failed(FailReason::EngineLost));
    assert_eq!(called(world(), lost(3), &[probe.clone(), poisoned(1)]), "X5");
    assert_eq!(called(world(), lost(3), &[probe, engine_lost]), "T7");
    let mut after = world();
    after.handle(NOW, lost(3)).unwrap();
    let admission = Admission {
        pool: PoolId::new("p"),
        queue_position: 0,
        predicted_start: Duration::ZERO,
        predicted_start_p90: Duration::ZERO,
        on_time_per_mille: None,
        budget: None,
    };
    let accept = Effect::Accept(JobId::from_u128(9), admission);
    assert_eq!(called(after, printed(9), &[accept]), "Q7");
}

/// A job of a session that may use 100 tokens in all.
fn of_session(number: u128, tokens: u64) -> NewJob {
    let budget = Budget { tokens: Some(100), ..Budget::default() };
    let session = SessionUse { id: SessionId::from_u128(1), budget: Some(budget), tokens };
    NewJob { session: Some(session), ..job(number, Priority::Interactive) }
}

#[test]
fn a_lie_about_a_budget_is_called() {
    let submit = |number, tokens| Event::Submit(of_session(number, tokens));
    let world = || watched(REJECT, &[submit(1, 60)]);
    let admission = |tokens| Admission {
        pool: PoolId::new("p"),
        queue_position: 0,
        predicted_start: Duration::ZERO,
        predicted_start_p90: Duration::ZERO,
        on_time_per_mille: None,
        budget: Some(crate::Remaining { tokens: Some(tokens), time: None, cost: None }),
    };
    let accept = |tokens| Effect::Accept(JobId::from_u128(2), admission(tokens));
    assert_eq!(called(world(), submit(2, 30), &[accept(11)]), "S3");
    assert_eq!(called(world(), submit(2, 50), &[accept(0)]), "Q7");
    let short = RejectReason::Session(SessionRefusal::Spent(Share::Tokens));
    let refused = Rejection { reason: short, pool: None, retry_after: None };
    assert_eq!(called(world(), submit(2, 50), &[Effect::Reject(JobId::from_u128(2), refused)]), "T5");
}

#[test]
fn a_lie_about_where_a_session_was_is_called() {
    let ready = Event::ReplicaSeen(replica("r1", Readiness::Ready));
    let end = || Event::AttemptEnded(lease(1), Outcome::Completed, Spent::default());
    let world = watched(REJECT, &[Event::Submit(of_session(1, 10)), ready, end()]);
    let mut lied = Vec::new();
    let mut checked = world;
    let invariant = called_at(NOW, &mut checked, Event::Submit(of_session(2, 10)), |effects| {
        for effect in effects.iter_mut() {
            if let Effect::Dispatch(it) = effect {
                lied.push(it.affinity);
                it.affinity = Affinity::Moved;
            }
        }
    });
    assert_eq!((invariant, lied.as_slice()), ("S1", [Affinity::Kept].as_slice()));
}

#[test]
fn the_truth_is_accepted_and_told_in_order() {
    let mut checked = watched(DROP, &[submit(1)]);
    for number in 2..60 {
        checked.handle(NOW, batch(number)).unwrap();
    }
    let recent = checked.recent();
    assert_eq!(recent.len(), KEPT);
    let last = recent.last().unwrap();
    assert!(last.contains(&JobId::from_u128(59).to_string()), "{last}");
    let first = recent.first().unwrap();
    assert!(first.contains(&JobId::from_u128(30).to_string()), "{first}");
}

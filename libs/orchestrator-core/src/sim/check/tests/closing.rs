//! Lies about operations, evictions, nodes and memory.

use super::*;
use crate::{NodeId, Operation, OperationKind, OperationRefusal};

const FAR: Timestamp = Timestamp::from_micros(60_000_000);

fn pool() -> PoolId {
    PoolId::new("p")
}

fn close(replica: Option<&str>, deadline: Timestamp) -> Event {
    Event::Close { pool: pool(), replica: replica.map(ReplicaId::new), deadline }
}

fn begin(kind: OperationKind, deadline: Option<Timestamp>) -> Event {
    Event::Begin { pool: pool(), operation: Operation { kind, deadline } }
}

fn drained(replica: Option<&str>) -> Effect {
    Effect::Drained(pool(), replica.map(ReplicaId::new))
}

fn evicted(tokens_out: u32) -> Event {
    ended_attempt(1, Outcome::Evicted { tokens_out })
}

const SHUT: JobEnd = JobEnd::Failed(FailReason::Drained);

// N09
#[test]
fn a_start_in_a_closed_scope_is_called() {
    for scope in [None, Some("r0")] {
        let end = ended_attempt(1, Outcome::Completed);
        let world = watched(REJECT, &[submit(1), submit(2), close(scope, FAR), end]);
        assert_eq!(called(world, Event::Tick, &[start(2, lease(2), "r0", 1)]), "P10", "{scope:?}");
    }
}

// N13
#[test]
fn a_lie_about_who_may_operate_is_called() {
    let began = |kind| Effect::Began(pool(), kind);
    let busy = |kind| Effect::Refused(pool(), OperationRefusal::Busy(kind));
    let (reload, drain) = (OperationKind::Reload, OperationKind::Drain);
    let fresh = || watched(REJECT, &[submit(1)]);
    assert_eq!(called(fresh(), begin(reload, None), &[]), "P11");
    assert_eq!(called(fresh(), begin(reload, None), &[busy(drain)]), "P11");
    assert_eq!(called(fresh(), begin(reload, None), &[began(drain)]), "P11");
    assert_eq!(called(fresh(), begin(reload, None), &[began(reload), began(reload)]), "P11");
    assert_eq!(called(fresh(), begin(OperationKind::Purge, None), &[began(OperationKind::Purge)]), "P11");
    let reloading = || watched(REJECT, &[submit(1), begin(reload, None)]);
    assert_eq!(called(reloading(), begin(drain, Some(FAR)), &[began(drain)]), "P11");
    assert_eq!(called(reloading(), Event::Tick, &[began(drain)]), "P11");
}

#[test]
fn a_lie_about_what_is_empty_is_called() {
    let world = || watched(REJECT, &[submit(1), close(None, FAR)]);
    let end = || ended_attempt(1, Outcome::Completed);
    let done = || finish(1, JobEnd::Completed);
    assert_eq!(called(world(), end(), &[done()]), "P12");
    assert_eq!(called(world(), end(), &[done(), drained(None), drained(None)]), "P12");
    assert_eq!(called(world(), end(), &[done(), drained(Some("r0"))]), "P12");
    assert_eq!(called(world(), Event::Tick, &[drained(None)]), "P12");
    assert_eq!(called(world(), close(Some("r0"), FAR), &[drained(Some("r0"))]), "P12");
    assert_eq!(called(world(), close(Some("r1"), FAR), &[]), "P12");
}

// N10, N15
#[test]
fn a_lie_about_an_eviction_is_called() {
    let world = || watched(REJECT, &[submit(1)]);
    let evict = |number| Effect::Evict(lease(number));
    assert_eq!(called(world(), close(None, NOW), &[]), "P13");
    assert_eq!(called(world(), close(None, NOW), &[evict(1), evict(1)]), "P13");
    assert_eq!(called(world(), close(None, NOW), &[evict(2)]), "P13");
    assert_eq!(called(world(), close(None, FAR), &[evict(1)]), "P13");
    let gone = Event::ReplicaGone(pool(), ReplicaId::new("r0"));
    assert_eq!(called(world(), gone.clone(), &[]), "P13");
    let told = || watched(REJECT, &[submit(1), close(None, NOW)]);
    assert_eq!(called(told(), gone, &[evict(1)]), "P13");
    assert_eq!(called(told(), evicted(3), &[drained(None)]), "P13");
    assert_eq!(called(told(), evicted(3), &[finish(1, JobEnd::Failed(FailReason::EngineLost))]), "T7");
    // It waits again, and so it neither ends nor has it had an attempt.
    let open = || {
        watched(
            REJECT,
            &[
                submit(1),
                close(Some("r0"), NOW),
                Event::Open { pool: pool(), replica: Some(ReplicaId::new("r0")) },
            ],
        )
    };
    assert_eq!(called(open(), evicted(0), &[finish(1, SHUT)]), "T7");
    assert_eq!(called(open(), evicted(0), &[start(1, lease(2), "r0", 2)]), "X1");
    assert_eq!(called(open(), evicted(0), &[]), "Q8");
}

#[test]
fn a_job_that_waits_in_vain_is_called() {
    let world = || watched(REJECT, &[submit(1), submit(2)]);
    assert_eq!(called(world(), close(None, NOW), &[Effect::Evict(lease(1))]), "P15");
    let reload = begin(OperationKind::Reload, None);
    let other = ["r0", "r1"].map(|name| {
        Event::ReplicaSeen(ReplicaView { models: vec!["new".into()], ..replica(name, Readiness::Ready) })
    });
    let [first, second] = other;
    let reloaded = watched(REJECT, &[submit(1), submit(2), reload, first, second]);
    assert_eq!(called(reloaded, Event::Settle { pool: pool() }, &[]), "P15");
}

#[test]
fn a_start_without_the_memory_or_on_another_node_is_called() {
    let ready = |view: ReplicaView| Event::ReplicaSeen(view);
    let small = ReplicaView { vram_total_bytes: Some(4), ..replica("r1", Readiness::Ready) };
    let mut hungry = job(2, Priority::Interactive);
    hungry.requirements.vram_need = Some(5);
    let world = watched(REJECT, &[submit(1), ready(small), Event::Submit(hungry)]);
    assert_eq!(called(world, Event::Tick, &[start(2, lease(2), "r1", 1)]), "P14");

    let on = |name, node| {
        let node = Some(NodeId::new(node));
        ready(ReplicaView { node, ..replica(name, Readiness::Ready) })
    };
    let mut pinned = job(2, Priority::Interactive);
    pinned.requirements.pin_node = Some(NodeId::new("n0"));
    let world = watched(REJECT, &[on("r0", "n0"), submit(1), on("r1", "n1"), Event::Submit(pinned)]);
    assert_eq!(called(world, Event::Tick, &[start(2, lease(2), "r1", 1)]), "P7");
}

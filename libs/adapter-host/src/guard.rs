//! A slot that cannot leak.

use orchestrator_core::{LeaseId, Outcome};

/// Where the end of an attempt is reported.
pub trait SlotReturn {
    /// The attempt is over and its connection is closed. Must neither block nor fail.
    fn attempt_ended(&self, lease: LeaseId, outcome: Outcome);
}

/// Holds a lease, and reports its end exactly once.
///
/// Keep it beside the stream and drop it after the stream, so that a slot is free only when the
/// engine's connection is closed.
#[derive(Debug)]
pub struct SlotGuard<R: SlotReturn> {
    lease: LeaseId,
    back: Option<R>,
    tokens_out: u32,
}

impl<R: SlotReturn> SlotGuard<R> {
    /// A guard over `lease`.
    pub fn new(lease: LeaseId, back: R) -> Self {
        Self { lease, back: Some(back), tokens_out: 0 }
    }

    /// Readers may have seen `count` more tokens.
    pub fn count_tokens(&mut self, count: u32) {
        self.tokens_out = self.tokens_out.saturating_add(count);
    }

    /// How many tokens readers may have seen.
    pub fn tokens_out(&self) -> u32 {
        self.tokens_out
    }

    /// Reports how the attempt ended.
    pub fn end(mut self, outcome: Outcome) {
        self.report(outcome);
    }

    fn report(&mut self, outcome: Outcome) {
        if let Some(back) = self.back.take() {
            back.attempt_ended(self.lease, outcome);
        }
    }
}

impl<R: SlotReturn> Drop for SlotGuard<R> {
    /// A task that was stopped has been aborted; one that panicked has lost its engine's answer.
    fn drop(&mut self) {
        let outcome = if std::thread::panicking() {
            Outcome::Lost { tokens_out: self.tokens_out }
        } else {
            Outcome::Aborted
        };
        self.report(outcome);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::RefCell,
        panic::{AssertUnwindSafe, catch_unwind},
        rc::Rc,
    };

    use orchestrator_core::{
        AdmissionPolicy, Device, Effect, Event, GpuPolicy, JobId, NewJob, PlacementKind, PoolId, Priority,
        Readiness, ReplicaId, ReplicaView, Requirements, Rules, Scheduler, Timestamp,
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Reports(Rc<RefCell<Vec<Outcome>>>);

    impl SlotReturn for Reports {
        fn attempt_ended(&self, _lease: LeaseId, outcome: Outcome) {
            self.0.borrow_mut().push(outcome);
        }
    }

    /// A lease can only be had from a scheduler that dispatches.
    fn lease() -> LeaseId {
        let rules = Rules {
            capacity: 1,
            policy: AdmissionPolicy::Reject,
            placement: PlacementKind::LeastLoaded,
            gpu: GpuPolicy::VramOnly,
        };
        let mut scheduler = Scheduler::new(rules);
        let view = ReplicaView {
            pool: PoolId::new("p"),
            replica: ReplicaId::new("r"),
            engine: "mock".into(),
            models: vec!["m".into()],
            slots: 1,
            ctx_max: None,
            vram_free_bytes: None,
            device: Device::Unstated,
            readiness: Readiness::Ready,
        };
        scheduler.handle(Timestamp::default(), Event::ReplicaSeen(view));
        let job = NewJob {
            id: JobId::from_u128(1),
            priority: Priority::Batch,
            requirements: Requirements::of("m", 1),
            deadline: None,
            max_attempts: 1,
            size: 1,
            fingerprint: None,
        };
        let mut effects = scheduler.handle(Timestamp::default(), Event::Submit(job));
        effects
            .find_map(|effect| match effect {
                Effect::Dispatch(assignment) => Some(assignment.lease),
                _ => None,
            })
            .unwrap()
    }

    #[test]
    fn an_end_that_was_told_is_reported_once() {
        let reports = Reports::default();
        SlotGuard::new(lease(), reports.clone()).end(Outcome::Completed);
        assert_eq!(*reports.0.borrow(), [Outcome::Completed]);
    }

    #[test]
    fn a_dropped_guard_reports_an_abort() {
        let reports = Reports::default();
        drop(SlotGuard::new(lease(), reports.clone()));
        assert_eq!(*reports.0.borrow(), [Outcome::Aborted]);
    }

    #[test]
    fn a_panic_reports_a_loss_with_the_tokens_that_were_seen() {
        let reports = Reports::default();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let mut guard = SlotGuard::new(lease(), reports.clone());
            guard.count_tokens(3);
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert_eq!(*reports.0.borrow(), [Outcome::Lost { tokens_out: 3 }]);
    }
}

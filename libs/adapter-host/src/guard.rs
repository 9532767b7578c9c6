//! A slot that cannot leak.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use orchestrator_core::{LeaseId, Outcome, Spent};

/// Where the end of an attempt is reported.
pub trait SlotReturn {
    /// The attempt is over and its connection is closed. Must neither block nor fail.
    fn attempt_ended(&self, lease: LeaseId, outcome: Outcome, spent: Spent);
}

/// What an attempt that is stopped from outside counts as; told before its task is stopped.
#[derive(Debug, Clone, Default)]
pub struct StopWord(Arc<AtomicU8>);

const EVICTED: u8 = 1;
const LOST: u8 = 2;

impl StopWord {
    /// Its slot is needed: the job did nothing wrong, and neither did the engine.
    pub fn evict(&self) {
        self.0.store(EVICTED, Ordering::Release);
    }

    /// Its engine is not heard of any more.
    pub fn lose(&self) {
        self.0.store(LOST, Ordering::Release);
    }

    fn outcome(&self, tokens_out: u32) -> Outcome {
        match self.0.load(Ordering::Acquire) {
            EVICTED => Outcome::Evicted { tokens_out },
            LOST => Outcome::Lost { tokens_out },
            _ => Outcome::Aborted,
        }
    }
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
    prompt_tokens: u32,
    counted: Option<Spent>,
    stop_word: StopWord,
}

impl<R: SlotReturn> SlotGuard<R> {
    /// A guard over `lease`, for a prompt of about so many tokens.
    pub fn new(lease: LeaseId, prompt_tokens: u32, back: R) -> Self {
        let stop_word = StopWord::default();
        Self { lease, back: Some(back), tokens_out: 0, prompt_tokens, counted: None, stop_word }
    }

    /// Where to say what the attempt counts as when its task is stopped.
    pub fn stop_word(&self) -> StopWord {
        self.stop_word.clone()
    }

    /// Readers may have seen `count` more tokens.
    pub fn count_tokens(&mut self, count: u32) {
        self.tokens_out = self.tokens_out.saturating_add(count);
    }

    /// How many tokens readers may have seen.
    pub fn tokens_out(&self) -> u32 {
        self.tokens_out
    }

    /// The engine has told what it used. Until it does, what readers have seen is counted, and the prompt
    /// with the first token.
    pub fn count_spent(&mut self, spent: Spent) {
        self.counted = Some(spent);
    }

    /// Reports how the attempt ended.
    pub fn end(mut self, outcome: Outcome) {
        self.report(outcome);
    }

    fn report(&mut self, outcome: Outcome) {
        if let Some(back) = self.back.take() {
            back.attempt_ended(self.lease, outcome, self.spent());
        }
    }

    fn spent(&self) -> Spent {
        let prompt = if self.tokens_out > 0 { self.prompt_tokens } else { 0 };
        let seen = u64::from(prompt) + u64::from(self.tokens_out);
        self.counted.unwrap_or(Spent { tokens: seen, warm: false })
    }
}

impl<R: SlotReturn> Drop for SlotGuard<R> {
    /// A task that was stopped counts as was said; one that panicked has lost its engine's answer.
    fn drop(&mut self) {
        let outcome = if std::thread::panicking() {
            Outcome::Lost { tokens_out: self.tokens_out }
        } else {
            self.stop_word.outcome(self.tokens_out)
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
        Effect, Event, JobId, NewJob, PoolId, Priority, ReplicaId, ReplicaView, Requirements, Rules,
        Scheduler, Timestamp,
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Reports(Rc<RefCell<Vec<(Outcome, u64)>>>);

    impl SlotReturn for Reports {
        fn attempt_ended(&self, _lease: LeaseId, outcome: Outcome, spent: Spent) {
            self.0.borrow_mut().push((outcome, spent.tokens));
        }
    }

    /// A lease can only be had from a scheduler that dispatches.
    fn lease() -> LeaseId {
        let mut scheduler = Scheduler::new(Rules::default());
        let view = ReplicaView::ready(PoolId::new("p"), ReplicaId::new("r"), "m");
        scheduler.handle(Timestamp::default(), Event::ReplicaSeen(view));
        let job = NewJob::of(JobId::from_u128(1), Priority::Batch, Requirements::of("m", 1));
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
        let mut guard = SlotGuard::new(lease(), 5, reports.clone());
        guard.count_tokens(2);
        guard.count_spent(Spent { tokens: 9, warm: true });
        guard.end(Outcome::Completed);
        assert_eq!(*reports.0.borrow(), [(Outcome::Completed, 9)]);
    }

    #[test]
    fn a_dropped_guard_reports_an_abort() {
        let reports = Reports::default();
        drop(SlotGuard::new(lease(), 5, reports.clone()));
        assert_eq!(*reports.0.borrow(), [(Outcome::Aborted, 0)]);
    }

    #[test]
    fn a_task_that_is_stopped_counts_as_was_said_before() {
        type Say = fn(&StopWord);
        let told: [(Say, Outcome); 2] = [
            (StopWord::evict, Outcome::Evicted { tokens_out: 1 }),
            (StopWord::lose, Outcome::Lost { tokens_out: 1 }),
        ];
        for (say, outcome) in told {
            let reports = Reports::default();
            let mut guard = SlotGuard::new(lease(), 5, reports.clone());
            let word = guard.stop_word();
            guard.count_tokens(1);
            say(&word);
            drop(guard);
            assert_eq!(*reports.0.borrow(), [(outcome, 6)]);
        }
    }

    #[test]
    fn a_panic_reports_a_loss_with_the_tokens_that_were_seen() {
        let reports = Reports::default();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let mut guard = SlotGuard::new(lease(), 5, reports.clone());
            guard.count_tokens(3);
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert_eq!(*reports.0.borrow(), [(Outcome::Lost { tokens_out: 3 }, 8)]);
    }
}

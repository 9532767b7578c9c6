//! How often an engine may fail before it is left alone.

use std::{collections::VecDeque, time::Duration};

use super::Moment;

const REST_MAX: Duration = Duration::from_mins(1);
/// An engine that was well for so long starts over.
const WELL_AFTER: Duration = Duration::from_mins(5);
/// More failures than this many within [`STORM_WINDOW`] open the breaker.
const STORM_LIMIT: usize = 5;
const STORM_WINDOW: Duration = Duration::from_mins(10);
/// How long the breaker stays open before one start is tried.
const OPEN_FOR: Duration = Duration::from_mins(10);

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start it again then.
    Rest(Moment),
    /// Leave it alone until then.
    Open {
        until: Moment,
        /// Failures within the window, this one included.
        failures: usize,
    },
}

/// The failures that still count.
#[derive(Debug)]
pub(super) struct Restarts {
    /// The first wait; each further one is twice as long.
    rest_first: Duration,
    recent: VecDeque<Moment>,
    in_a_row: u32,
    half_open: bool,
}

impl Restarts {
    pub(super) fn new(rest_first: Duration) -> Self {
        Self { rest_first, recent: VecDeque::new(), in_a_row: 0, half_open: false }
    }

    //= ORCH-3441
    pub(super) fn after_failure(&mut self, now: Moment) -> Verdict {
        self.recent.retain(|at| now.saturating_sub(*at) < STORM_WINDOW);
        self.recent.push_back(now);
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.half_open || self.recent.len() > STORM_LIMIT {
            return Verdict::Open { until: now + OPEN_FOR, failures: self.recent.len() };
        }
        Verdict::Rest(now + rest(self.rest_first, self.in_a_row))
    }

    /// The breaker lets one start through.
    pub(super) fn half_open(&mut self) {
        self.half_open = true;
    }

    /// The engine has been well for so long.
    pub(super) fn well_for(&mut self, time: Duration) {
        if time >= WELL_AFTER {
            self.forget();
        }
    }

    /// Somebody asked for a fresh start.
    pub(super) fn forget(&mut self) {
        *self = Self::new(self.rest_first);
    }
}

/// The wait after so many failures in a row.
fn rest(first: Duration, in_a_row: u32) -> Duration {
    let doublings = in_a_row.saturating_sub(1).min(6);
    first.saturating_mul(1 << doublings).min(REST_MAX)
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, test_runner::Config};

    use super::*;

    const FIRST: Duration = Duration::from_secs(1);

    //= ORCH-3441 type=test
    #[test]
    fn waits_double_from_one_second_to_one_minute() {
        let waits: Vec<u64> = (1..=9).map(|row| rest(FIRST, row).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    //= ORCH-3441 type=test
    #[test]
    fn the_sixth_failure_in_ten_minutes_opens_the_breaker_and_one_start_is_tried_after_ten() {
        let mut restarts = Restarts::new(FIRST);
        let second = Duration::from_secs;
        for at in 0..5 {
            assert!(matches!(restarts.after_failure(second(at)), Verdict::Rest(_)), "{at}");
        }
        let open = restarts.after_failure(second(5));
        assert_eq!(open, Verdict::Open { until: second(605), failures: 6 });
        restarts.half_open();
        // The old failures do not count any more, but the one try was lost.
        assert_eq!(restarts.after_failure(second(700)), Verdict::Open { until: second(1_300), failures: 1 });
        restarts.half_open();
        restarts.well_for(WELL_AFTER);
        assert_eq!(restarts.after_failure(second(2_000)), Verdict::Rest(second(2_001)));
    }

    proptest! {
        #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

        /// Whatever the times: never more than the limit of restarts within the window.
        #[test]
        fn no_window_has_more_restarts_than_the_limit(gaps in prop::collection::vec(0_u64..400, 1..60)) {
            let mut restarts = Restarts::new(FIRST);
            let (mut now, mut started) = (Duration::ZERO, Vec::new());
            for gap in gaps {
                now += Duration::from_secs(gap);
                match restarts.after_failure(now) {
                    Verdict::Rest(until) => {
                        now = until;
                        started.push(now);
                    }
                    Verdict::Open { until, .. } => {
                        now = until;
                        restarts.half_open();
                    }
                }
            }
            for (index, at) in started.iter().enumerate() {
                // A failure comes before its restart, and the wait between is a minute at most.
                let end = *at + STORM_WINDOW.saturating_sub(REST_MAX);
                let within = started[index..].iter().filter(|it| **it < end);
                prop_assert!(within.count() <= STORM_LIMIT);
            }
        }
    }
}

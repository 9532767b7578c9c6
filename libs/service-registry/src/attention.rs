//! The time in which silence is measured.

use std::time::Duration;

/// When a call comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// In the time that the calls bring.
    pub(crate) now: Duration,
    /// In the time in which silence is measured.
    pub(crate) at: Duration,
}

/// Counts the time in which the process could have heard something.
///
/// A process that was stopped, or a machine that slept, heard nothing, and that is not its nodes' silence. So
/// a gap between two calls is counted as one ordinary gap when it is longer than the calls are apart.
#[derive(Debug, Default)]
pub(crate) struct Attention {
    last: Option<Duration>,
    lag: Duration,
}

impl Attention {
    /// A call comes at `now`, and the next within `every` when all is well.
    //= ORCH-3426
    pub(crate) fn attend(&mut self, now: Duration, every: Duration) -> Moment {
        let last = self.last.unwrap_or(now);
        let now = now.max(last);
        let gap = now.saturating_sub(last);
        if gap > every.saturating_mul(2) {
            self.lag = self.lag.saturating_add(gap.saturating_sub(every));
        }
        self.last = Some(now);
        Moment { now, at: now.saturating_sub(self.lag) }
    }

    /// How much time the process missed.
    pub(crate) fn lag(&self) -> Duration {
        self.lag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attended(calls_ms: &[u64]) -> (u64, u64) {
        let mut attention = Attention::default();
        let every = Duration::from_secs(1);
        let times = calls_ms.iter().map(|ms| attention.attend(Duration::from_millis(*ms), every).at);
        let last = times.last().unwrap();
        (u64::try_from(last.as_millis()).unwrap(), u64::try_from(attention.lag().as_millis()).unwrap())
    }

    // S14
    //= ORCH-3426 type=test
    #[test]
    fn a_pause_of_the_process_counts_as_one_ordinary_gap() {
        assert_eq!(attended(&[5_000, 6_000, 8_000]), (8_000, 0));
        assert_eq!(attended(&[5_000, 6_000, 66_000, 67_000]), (8_000, 59_000));
        assert_eq!(attended(&[5_000, 7_001]), (6_000, 1_001));
    }

    #[test]
    fn a_process_that_is_always_late_still_sees_time_pass() {
        assert_eq!(attended(&[0, 3_000, 6_000, 9_000]), (3_000, 6_000));
    }

    #[test]
    fn the_first_call_is_never_late_and_time_never_goes_back() {
        assert_eq!(attended(&[90_000]), (90_000, 0));
        assert_eq!(attended(&[90_000, 80_000, 91_000]), (91_000, 0));
    }
}

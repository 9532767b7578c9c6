//! Predictions from what was measured: how long a slot is held, hence when the next one is free.
//!
//! Each pool keeps a moving mean and variance of its service times. With `c` slots a place in the
//! queue moves forward every `mean / c`; a job with `k` jobs ahead starts after `k + 1` such moves
//! (the mean of a sum of `k + 1` gaps), and the spread of that sum gives the 90th percentile.

use std::time::Duration;

use crate::time::Timestamp;

/// The weight of the newest measurement: old ones fade within some dozen jobs.
const WEIGHT: f64 = 0.1;
/// The standard normal distribution's 90th percentile.
const Z90: f64 = 1.281_551_6;
/// A client is never told to come back later than this.
const RETRY_MAX: Duration = Duration::from_mins(1);

/// Measured service times of one pool.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServiceTimes {
    mean_us: f64,
    variance_us2: f64,
    count: u64,
    /// Up to here the places that will become free are promised to clients that were turned away.
    promised_until: Timestamp,
}

/// What is known at the moment of a question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Slots of the replicas that serve now.
    pub(crate) slots: u32,
    /// Jobs ahead.
    pub(crate) ahead: u32,
    /// For how long the oldest running attempt has held its slot.
    pub(crate) oldest_running: Duration,
}

impl ServiceTimes {
    /// Takes in one measurement.
    pub(crate) fn measure(&mut self, held: Duration) {
        let sample = micros(held);
        self.count += 1;
        if self.count == 1 {
            self.mean_us = sample;
            self.variance_us2 = 0.0;
            return;
        }
        // The first ones weigh more, so that the mean of two is the mean of two.
        let weight = WEIGHT.max(1.0 / f64::from(u32::try_from(self.count).unwrap_or(u32::MAX)));
        let distance = sample - self.mean_us;
        self.mean_us += weight * distance;
        self.variance_us2 = (1.0 - weight) * (self.variance_us2 + weight * distance * distance);
    }

    /// The mean time for which a slot is held. Before the first end: as long as the oldest has run.
    fn mean_us(&self, load: Load) -> f64 {
        let running = micros(load.oldest_running);
        if self.count == 0 { running } else { self.mean_us }
    }

    /// When a job with `load.ahead` jobs ahead will probably start, and when with 90 %.
    pub(crate) fn start(&self, load: Load) -> (Duration, Duration) {
        let moves = f64::from(load.ahead) + 1.0;
        let slots = f64::from(load.slots.max(1));
        let mean = moves * self.mean_us(load) / slots;
        let spread = moves.sqrt() * self.variance_us2.sqrt() / slots;
        (from_micros(mean), from_micros(mean + Z90 * spread))
    }

    /// When a client that is turned away now should come back: at the next place that is not yet
    /// promised to another one. `spread` in 0..1 tells its jitter of +-20 %.
    pub(crate) fn retry_after(&mut self, now: Timestamp, load: Load, spread: f64) -> Duration {
        let gap = from_micros(self.mean_us(load) / f64::from(load.slots.max(1)));
        let horizon = now + RETRY_MAX;
        self.promised_until = (self.promised_until.max(now) + gap).min(horizon);
        let wait = micros(self.promised_until - now) * (0.8 + 0.4 * spread);
        from_micros(wait).clamp(Duration::from_secs(1), RETRY_MAX)
    }

    /// Whether anything was measured.
    pub(crate) fn is_measured(&self) -> bool {
        self.count > 0
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn from_micros(micros: f64) -> Duration {
    Duration::try_from_secs_f64(micros.max(0.0) / 1e6).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn load(slots: u32, ahead: u32) -> Load {
        Load { slots, ahead, oldest_running: Duration::ZERO }
    }

    #[test]
    fn a_prediction_follows_what_was_measured() {
        let mut times = ServiceTimes::default();
        for _ in 0..50 {
            times.measure(SECOND * 4);
        }
        assert_eq!(times.start(load(2, 0)).0, SECOND * 2);
        assert_eq!(times.start(load(2, 9)).0, SECOND * 20);
        for _ in 0..100 {
            times.measure(SECOND * 8);
        }
        let (start, p90) = times.start(load(2, 0));
        assert!((start.as_secs_f64() - 4.0).abs() < 0.1, "{start:?}");
        assert!(p90 >= start);
    }

    #[test]
    fn clients_that_are_turned_away_get_one_place_each() {
        let mut times = ServiceTimes::default();
        times.measure(SECOND * 4);
        let now = Timestamp::from_micros(7);
        let waits: Vec<_> = (0..4).map(|_| times.retry_after(now, load(1, 5), 0.5).as_secs()).collect();
        assert_eq!(waits, [4, 8, 12, 16]);
        for _ in 0..100 {
            assert!(times.retry_after(now, load(1, 5), 1.0) <= RETRY_MAX);
        }
    }

    #[test]
    fn before_the_first_end_the_oldest_running_job_is_the_measure() {
        let times = ServiceTimes::default();
        let load = Load { slots: 1, ahead: 1, oldest_running: SECOND * 3 };
        assert_eq!(times.start(load).0, SECOND * 6);
        assert!(!times.is_measured());
    }
}

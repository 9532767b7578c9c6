//! What stands before a newcomer, and when it will be worked off.
//!
//! While a job waits, every slot works: the work done until it starts is the work before it, less
//! what the other slots are still busy with at that moment. So the start is that work over the
//! slots; with one slot and exponential times this is the textbook's `(k + 1) * mean`. The sum of many
//! uncertain times is taken as a gamma distribution, which is never negative and has one tail.

use std::time::Duration;

use super::{Uncertain, seconds};

/// The standard normal distribution's 90th percentile.
const Z90: f64 = 1.281_551_6;
/// Interactive arrivals never take all of the slots from batch jobs in a prediction.
const LEFT_FOR_BATCH: f64 = 0.1;
/// The relative variance of all that is left out here (cancels in bursts, uneven slots), as the
/// accuracy worlds show it.
const LEFT_OUT: f64 = 0.006;

/// The work before a newcomer in one pool, or in pools that share it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Backlog {
    /// Slots that work it off.
    pub(crate) slots: f64,
    /// All of it, in seconds of one slot.
    pub(crate) work: Uncertain,
    /// What one slot is still busy with when the newcomer starts on another.
    pub(crate) left_over: Uncertain,
    /// Seconds of one slot that interactive newcomers bring in a second, and their variance.
    pub(crate) overtaking: Uncertain,
    /// The relative variance of the mean on which all of this stands.
    pub(crate) doubt: f64,
}

/// When something will happen: a distribution.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Forecast(Uncertain);

impl Backlog {
    pub(crate) fn add(&mut self, work: Uncertain) {
        self.work.mean += work.mean;
        self.work.variance += work.variance;
    }

    /// Both together, served by the slots of both.
    pub(crate) fn with(self, other: Self) -> Self {
        let plus = |a: Uncertain, b: Uncertain| Uncertain {
            mean: a.mean + b.mean,
            variance: a.variance + b.variance,
        };
        let all = (self.slots + other.slots).max(1.0);
        let mix = |a: f64, b: f64| (a * self.slots + b * other.slots) / all;
        Self {
            slots: self.slots + other.slots,
            work: plus(self.work, other.work),
            left_over: Uncertain {
                mean: mix(self.left_over.mean, other.left_over.mean),
                variance: mix(self.left_over.variance, other.left_over.variance),
            },
            overtaking: plus(self.overtaking, other.overtaking),
            doubt: mix(self.doubt, other.doubt),
        }
    }

    /// When a newcomer starts.
    pub(crate) fn start(&self) -> Forecast {
        let slots = self.slots.max(1.0);
        let speed = (slots - self.overtaking.mean).max(slots * LEFT_FOR_BATCH);
        // With little work before it, the first of the slots to become free decides.
        let first = self.work.mean / (slots * slots);
        let mean = ((self.work.mean - (slots - 1.0) * self.left_over.mean).max(first)) / speed;
        let unknown =
            self.work.variance + (slots - 1.0) * self.left_over.variance + self.overtaking.variance * mean;
        Forecast(Uncertain {
            mean,
            variance: unknown / (speed * speed) + mean * mean * (self.doubt + LEFT_OUT),
        })
    }
}

impl Forecast {
    /// As likely earlier as later.
    pub(crate) fn median(self) -> Duration {
        self.quantile(0.0)
    }

    /// Later only once in ten times.
    pub(crate) fn p90(self) -> Duration {
        self.quantile(Z90).max(self.median())
    }

    /// The same, later by this.
    pub(crate) fn then(self, more: Uncertain) -> Self {
        Self(Uncertain { mean: self.0.mean + more.mean, variance: self.0.variance + more.variance })
    }

    /// The probability, in thousandths, that it is over within `limit`.
    pub(crate) fn within(self, limit: Duration) -> u16 {
        let Uncertain { mean, .. } = self.0;
        let limit = limit.as_secs_f64();
        let Some(ninth) = self.ninth() else { return if mean <= limit { 1000 } else { 0 } };
        let distance = ((limit / mean).cbrt() - (1.0 - ninth)) / ninth.sqrt();
        per_mille(distance)
    }

    /// Wilson and Hilferty: the cube root of a gamma variable is nearly normal.
    fn quantile(self, distance: f64) -> Duration {
        let Some(ninth) = self.ninth() else { return seconds(self.0.mean) };
        let root = 1.0 - ninth + distance * ninth.sqrt();
        // Told in milliseconds: more digits would promise more than is known.
        let exact = seconds(self.0.mean * root.max(0.0).powi(3));
        Duration::from_millis(u64::try_from(exact.as_millis()).unwrap_or(u64::MAX))
    }

    /// One ninth of the relative variance; `None` when everything is certain.
    fn ninth(self) -> Option<f64> {
        let Uncertain { mean, variance } = self.0;
        (mean > 0.0 && variance > 0.0).then(|| (variance / (mean * mean)).min(2.0) / 9.0)
    }
}

/// The normal distribution function, in thousandths.
fn per_mille(distance: f64) -> u16 {
    // A logistic curve with a cubic term is off by less than one thousandth.
    let share = 1.0 / (1.0 + (-1.597_6 * distance - 0.070_56 * distance.powi(3)).exp());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to 1000, and rounded on purpose"
    )]
    let rounded = (share * 1000.0 + 0.5) as u16;
    rounded.min(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_follows_the_normal_distribution() {
        for (distance, share) in [(-9.0, 0), (-1.0, 159), (0.0, 500), (Z90, 900), (2.0, 977), (9.0, 1000)] {
            assert!(per_mille(distance).abs_diff(share) <= 1, "{distance}");
        }
    }

    #[test]
    fn a_probability_is_rounded_to_the_nearest_thousandth() {
        for step in -60_000..60_000_i32 {
            let distance = f64::from(step) / 10_000.0;
            let share = 1.0 / (1.0 + (-1.597_6 * distance - 0.070_56 * distance.powi(3)).exp());
            let told = f64::from(per_mille(distance));
            assert!(told <= share * 1000.0 + 0.5 && told + 1.0 > share * 1000.0 + 0.5, "{distance}");
        }
        assert_eq!(per_mille(f64::NAN), 0);
    }

    #[test]
    fn one_slot_and_unknown_times_give_the_quantiles_of_the_exponential_distribution() {
        let unknown = Uncertain { mean: 10.0, variance: 100.0 };
        let backlog = Backlog { slots: 1.0, work: unknown, ..Backlog::default() };
        let start = backlog.start();
        assert!((start.median().as_secs_f64() - 6.93).abs() < 0.3, "{:?}", start.median());
        assert!((start.p90().as_secs_f64() - 23.0).abs() < 0.5, "{:?}", start.p90());
        assert!(start.within(start.p90()).abs_diff(900) <= 1);
    }

    #[test]
    fn what_overtakes_slows_down() {
        let backlog = Backlog {
            slots: 2.0,
            work: Uncertain { mean: 10.0, variance: 0.0 },
            overtaking: Uncertain { mean: 1.0, variance: 0.0 },
            ..Backlog::default()
        };
        let start = backlog.start().median().as_secs_f64();
        assert!((start - 10.0).abs() < 0.1, "{start}");
    }
}

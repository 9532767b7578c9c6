//! Measured service times of one class of one pool: how long a slot is held, and how much longer.
//!
//! The last measurements are kept as they are, not as a mean alone: what a running attempt still
//! needs depends on the shape of the distribution (under constant times an old attempt is nearly
//! done, under heavy tails it is not). A job's size explains a part of its time where it does. When
//! the newest measurements no longer look like the older ones, the older ones are forgotten at once,
//! so that an engine that became slower is believed within a dozen jobs.

mod arrivals;
mod backlog;
mod promises;

use std::{collections::VecDeque, ops::Range, time::Duration};

pub(crate) use arrivals::{Arrivals, Starters};
pub(crate) use backlog::{Backlog, Forecast};
pub(crate) use promises::{Claim, Pace, Promises};

/// Measurements that are kept.
const KEPT: usize = 128;
/// Measurements that are enough to contradict the older ones.
const RECENT: usize = 12;
/// How many standard errors the newest ones must lie above, or below, the older ones.
const CHANGED: [f64; 2] = [4.0, 2.6];
/// Fewer measurements than these say nothing about a distribution's tail.
const TAIL: usize = 3;

#[derive(Debug, Clone, Copy)]
struct Sample {
    size: f64,
    held: f64,
    /// The measured time over the time that the size explained at the last refresh, in whole [`PARTS`].
    parts: u64,
}

/// In so many parts of one a ratio is counted where sums are kept: whole numbers do not drift.
const PARTS: f64 = 1_048_576.0;
/// Beyond this the sums say nothing. Ratios of some thousands are far below it.
const PARTS_MAX: u64 = 1 << 52;

/// What the ratios of the measurements come to, the newest [`RECENT`] apart from those before them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Level {
    older: u64,
    newest: u64,
}

impl Level {
    /// Whether the mean of the newest measurements may lie far enough from that of so many older ones to
    /// contradict them, which takes 0.4 of the latter. False only if it cannot.
    ///
    /// A ratio lost less than one part when it was cut to whole parts. The thousandth by which the bounds
    /// are wider than 1.4 and 0.6 is far more than what sums of floats can be off by.
    fn may_differ(self, older: usize) -> bool {
        if self.older.max(self.newest) >= PARTS_MAX {
            return true;
        }
        let whole = |number: usize| u128::try_from(number).unwrap_or(u128::MAX);
        let (many, few) = (whole(older), whole(RECENT));
        let (before, newest) = (u128::from(self.older) * few, u128::from(self.newest) * many);
        let lost = many * few;
        (newest + lost) * 1000 > before * 1399 || newest * 1000 < (before + lost) * 601
    }
}

/// A time that is not known exactly, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Uncertain {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

/// Measured service times.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServiceTimes {
    samples: VecDeque<Sample>,
    level: Level,
    base: f64,
    per_unit: f64,
    /// Measured time over the time that the size explains, in ascending order.
    ratios: Vec<f64>,
    /// For each of them, mean and variance of it and all greater ones, as long as those are at least [`TAIL`].
    ///
    /// Every admission asks of every running attempt how much longer it may take, so that must cost neither a
    /// walk over the measurements nor a division more than it has to.
    tails: Vec<Uncertain>,
    /// What an attempt that outlasts nearly all of them still needs at least.
    least_rest: f64,
    ratio: Uncertain,
    held: Uncertain,
    stale: bool,
}

/// What sizes and times of all measurements say together.
struct Moments {
    size: Uncertain,
    held: Uncertain,
    covariance: f64,
}

impl Moments {
    fn of(samples: &VecDeque<Sample>) -> Self {
        let number = count(samples.len()).max(1.0);
        let (mut size, mut held, mut covariance) = (Uncertain::default(), Uncertain::default(), 0.0);
        for sample in samples {
            size.mean += sample.size;
            held.mean += sample.held;
        }
        size.mean /= number;
        held.mean /= number;
        for sample in samples {
            let (of_size, of_held) = (sample.size - size.mean, sample.held - held.mean);
            size.variance += of_size * of_size;
            held.variance += of_held * of_held;
            covariance += of_size * of_held;
        }
        size.variance /= number;
        held.variance /= number;
        Self { size, held, covariance: covariance / number }
    }
}

impl ServiceTimes {
    /// What is assumed while nothing was measured: as long as the oldest attempt has run, and no
    /// knowledge of how much longer that will be.
    pub(crate) fn guess(running: Duration) -> Self {
        let mean = running.as_secs_f64();
        let held = Uncertain { mean, variance: mean * mean };
        let ratio = Uncertain { mean: 1.0, variance: 1.0 };
        Self { base: mean, ratio, held, ..Self::default() }
    }

    /// Takes in one measurement.
    pub(crate) fn measure(&mut self, size: u32, held: Duration) {
        if self.samples.len() == KEPT
            && let Some(oldest) = self.samples.pop_front()
        {
            self.level.older -= oldest.parts;
        }
        let (size, held) = (f64::from(size), held.as_secs_f64());
        let parts = in_parts(held / self.explained(size));
        self.samples.push_back(Sample { size, held, parts });
        self.level.newest += parts;
        let youngest_older = self.samples.len().checked_sub(RECENT + 1);
        if let Some(aged) = youngest_older.and_then(|index| self.samples.get(index)) {
            self.level.newest -= aged.parts;
            self.level.older += aged.parts;
        }
        self.stale = true;
        if self.has_changed() {
            let old = self.samples.len() - self.newest_alike();
            self.samples.drain(..old);
            self.level = self.level_of_all();
        }
    }

    /// The level, worked out anew.
    fn level_of_all(&self) -> Level {
        let older = self.samples.len().saturating_sub(RECENT);
        let sum = |range: Range<usize>| self.samples.range(range).map(|sample| sample.parts).sum();
        Level { older: sum(0..older), newest: sum(older..self.samples.len()) }
    }

    /// Whether anything was measured.
    pub(crate) fn is_measured(&self) -> bool {
        !self.samples.is_empty()
    }

    fn has_changed(&self) -> bool {
        if self.samples.len() < 2 * RECENT {
            return false;
        }
        self.level.may_differ(self.samples.len() - RECENT) && self.differ()
    }

    /// Whether the newest measurements contradict those before them.
    fn differ(&self) -> bool {
        let old = self.samples.len() - RECENT;
        let explained = |sample: &Sample| sample.held / self.explained(sample.size);
        let before = spread(self.samples.range(..old).map(explained));
        let newest = spread(self.samples.range(old..).map(explained));
        let error = (before.variance / count(RECENT)).sqrt();
        let distance = newest.mean - before.mean;
        let bound = if distance > 0.0 { CHANGED[0] } else { CHANGED[1] };
        distance.abs() > bound * error && distance.abs() > 0.4 * before.mean
    }

    /// How many of the newest measurements are most unlike those before them.
    fn newest_alike(&self) -> usize {
        let all = self.samples.len();
        let unlike = |newest: &usize| {
            let mean = |from: usize, to: usize| {
                spread(self.samples.range(from..to).map(|it| it.held / self.explained(it.size))).mean
            };
            let split = all - newest;
            (mean(split, all) - mean(0, split)).abs() * (count(*newest) * count(split)).sqrt()
        };
        (TAIL..=RECENT).max_by(|a, b| unlike(a).total_cmp(&unlike(b))).unwrap_or(RECENT)
    }

    /// Works out what the measurements say. Cheap when there is nothing new.
    pub(crate) fn refresh(&mut self) {
        if !self.stale {
            return;
        }
        self.stale = false;
        let Moments { size, held, covariance } = Moments::of(&self.samples);
        self.held = held;
        let explains = covariance > 0.0 && covariance * covariance > 0.2 * size.variance * held.variance;
        (self.base, self.per_unit) = if explains && self.samples.len() >= RECENT {
            let slope = covariance / size.variance;
            // A negative constant would promise small jobs for nothing.
            let base = held.mean - slope * size.mean;
            if base >= 0.0 { (base, slope) } else { (0.0, held.mean / size.mean) }
        } else {
            (held.mean, 0.0)
        };
        self.refresh_ratios();
        self.level = self.level_of_all();
    }

    fn refresh_ratios(&mut self) {
        let Self { base, per_unit, ratios, samples, tails, .. } = self;
        ratios.clear();
        ratios.extend(samples.iter_mut().map(|sample| {
            let ratio = sample.held / explained(*base, *per_unit, sample.size);
            sample.parts = in_parts(ratio);
            ratio
        }));
        ratios.sort_unstable_by(f64::total_cmp);
        let ratio = spread(ratios.iter().copied());
        tails.clear();
        let (mut number, mut sum, mut squares) = (0.0, 0.0, 0.0);
        tails.extend(ratios.iter().rev().map(|it| {
            let distance = it - ratio.mean;
            number += 1.0;
            sum += distance;
            squares += distance * distance;
            let mean = sum / number;
            let variance = (squares / number - mean * mean).max(0.0);
            Uncertain { mean: ratio.mean + mean, variance }
        }));
        tails.reverse();
        tails.truncate((tails.len() + 1).saturating_sub(TAIL));
        self.least_rest = (ratio.variance.sqrt() / 2.0).max(0.05);
        self.ratio = ratio;
    }

    fn explained(&self, size: f64) -> f64 {
        explained(self.base, self.per_unit, size)
    }

    /// How long a slot is held by `jobs` jobs, one after the other, of this size in sum.
    pub(crate) fn service(&self, jobs: f64, size: f64) -> Uncertain {
        let mean = jobs * self.base + self.per_unit * size;
        let each = if jobs > 0.0 { mean / jobs } else { 0.0 };
        Uncertain { mean, variance: jobs * each * each * self.ratio.variance }
    }

    /// How much longer a slot is held that has been held for so long. `near` is where this stood among the
    /// measurements at the last look, and is brought up to date.
    pub(crate) fn residual_from(&self, near: &mut u8, size: u32, elapsed: Duration) -> Uncertain {
        let whole = self.explained(f64::from(size));
        let elapsed = elapsed.as_secs_f64() / whole;
        if self.ratios.is_empty() {
            return Uncertain { mean: self.base, variance: self.held.variance };
        }
        let shorter = self.shorter(elapsed, usize::from(*near));
        *near = u8::try_from(shorter).unwrap_or(u8::MAX);
        let rest = match self.tails.get(shorter) {
            Some(longer) => Uncertain { mean: longer.mean - elapsed, variance: longer.variance },
            // It outlasts nearly all that was measured: the longer it ran, the longer it may run.
            None => {
                let more = (1.0 - elapsed).max((elapsed - 1.0) / 2.0);
                let mean = more.max(self.least_rest);
                Uncertain { mean, variance: mean * mean }
            }
        };
        Uncertain { mean: rest.mean * whole, variance: rest.variance * whole * whole }
    }

    /// How many ratios are at most this, which were about `near` when it was asked last.
    ///
    /// Little time passes between two looks at an attempt, and each measurement moves the others by one at
    /// most, so that a search is seldom needed.
    fn shorter(&self, elapsed: f64, near: usize) -> usize {
        let ratios = self.ratios.as_slice();
        let too_low = |at: usize| ratios.get(at).is_some_and(|ratio| *ratio <= elapsed);
        let too_high = |at: usize| at > 0 && ratios.get(at - 1).is_none_or(|ratio| *ratio > elapsed);
        let at = near + usize::from(too_low(near)) - usize::from(too_high(near));
        if too_low(at) || too_high(at) { ratios.partition_point(|ratio| *ratio <= elapsed) } else { at }
    }

    /// What is left of an attempt that is looked at at any moment.
    pub(crate) fn left_over(&self) -> Uncertain {
        let Uncertain { mean, variance } = self.held;
        let left = if mean > 0.0 { (mean * mean + variance) / (2.0 * mean) } else { 0.0 };
        Uncertain { mean: left, variance: (variance + mean * mean / 12.0).min(left * left) }
    }

    /// The relative variance of the mean of so few measurements.
    pub(crate) fn doubt(&self) -> f64 {
        if self.samples.is_empty() { 0.0 } else { self.ratio.variance / count(self.samples.len()) }
    }

    /// The time for which a slot is held, whatever the size.
    pub(crate) fn held(&self) -> Uncertain {
        self.held
    }
}

fn explained(base: f64, per_unit: f64, size: f64) -> f64 {
    (base + per_unit * size).max(1e-6)
}

/// A ratio, cut to whole parts.
fn in_parts(ratio: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "never negative, and cut on purpose"
    )]
    let parts = (ratio * PARTS) as u64;
    parts.min(PARTS_MAX)
}

fn spread(values: impl Iterator<Item = f64> + Clone) -> Uncertain {
    let number = count(values.clone().count()).max(1.0);
    let mean = values.clone().sum::<f64>() / number;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / number;
    Uncertain { mean, variance }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

pub(crate) fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value.max(0.0)).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests;

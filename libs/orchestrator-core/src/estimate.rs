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

use std::{collections::VecDeque, time::Duration};

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
}

/// A time that is not known exactly, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Uncertain {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

/// Sums over some of the ratios, of how far they lie from the mean of all, and of the squares of that.
///
/// Every admission asks of every running attempt how much longer it may take, so that must not cost a walk
/// over the measurements.
#[derive(Debug, Clone, Copy, Default)]
struct Tail {
    sum: f64,
    squares: f64,
}

/// Measured service times.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServiceTimes {
    samples: VecDeque<Sample>,
    base: f64,
    per_unit: f64,
    /// Measured time over the time that the size explains, in ascending order.
    ratios: Vec<f64>,
    /// For each of them, what it and all greater ones come to.
    tails: Vec<Tail>,
    ratio: Uncertain,
    held: Uncertain,
    stale: bool,
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
        if self.samples.len() == KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { size: f64::from(size), held: held.as_secs_f64() });
        self.stale = true;
        if self.has_changed() {
            let old = self.samples.len() - self.newest_alike();
            self.samples.drain(..old);
        }
    }

    /// Whether anything was measured.
    pub(crate) fn is_measured(&self) -> bool {
        !self.samples.is_empty()
    }

    fn has_changed(&self) -> bool {
        if self.samples.len() < 2 * RECENT {
            return false;
        }
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
        self.held = spread(self.samples.iter().map(|sample| sample.held));
        let size = spread(self.samples.iter().map(|sample| sample.size));
        let together = self.samples.iter().map(|it| (it.size - size.mean) * (it.held - self.held.mean));
        let covariance = together.sum::<f64>() / count(self.samples.len());
        let explains = covariance > 0.0 && covariance * covariance > 0.2 * size.variance * self.held.variance;
        (self.base, self.per_unit) = if explains && self.samples.len() >= RECENT {
            let slope = covariance / size.variance;
            // A negative constant would promise small jobs for nothing.
            let base = self.held.mean - slope * size.mean;
            if base >= 0.0 { (base, slope) } else { (0.0, self.held.mean / size.mean) }
        } else {
            (self.held.mean, 0.0)
        };
        let mut ratios = std::mem::take(&mut self.ratios);
        ratios.clear();
        ratios.extend(self.samples.iter().map(|sample| sample.held / self.explained(sample.size)));
        ratios.sort_unstable_by(f64::total_cmp);
        self.ratio = spread(ratios.iter().copied());
        self.tails.clear();
        let mut tail = Tail::default();
        self.tails.extend(ratios.iter().rev().map(|ratio| {
            let distance = ratio - self.ratio.mean;
            tail = Tail { sum: tail.sum + distance, squares: tail.squares + distance * distance };
            tail
        }));
        self.tails.reverse();
        self.ratios = ratios;
    }

    fn explained(&self, size: f64) -> f64 {
        (self.base + self.per_unit * size).max(1e-6)
    }

    /// How long a slot is held by `jobs` jobs, one after the other, of this size in sum.
    pub(crate) fn service(&self, jobs: f64, size: f64) -> Uncertain {
        let mean = jobs * self.base + self.per_unit * size;
        let each = if jobs > 0.0 { mean / jobs } else { 0.0 };
        Uncertain { mean, variance: jobs * each * each * self.ratio.variance }
    }

    /// How much longer a slot is held that has been held for so long.
    pub(crate) fn residual(&self, size: u32, elapsed: Duration) -> Uncertain {
        let whole = self.explained(f64::from(size));
        let elapsed = elapsed.as_secs_f64() / whole;
        if self.ratios.is_empty() {
            return Uncertain { mean: self.base, variance: self.held.variance };
        }
        let shorter = self.ratios.partition_point(|ratio| *ratio <= elapsed);
        let longer = self.ratios.len() - shorter;
        let rest = match self.tails.get(shorter) {
            Some(tail) if longer >= TAIL => {
                let mean = tail.sum / count(longer);
                let variance = (tail.squares / count(longer) - mean * mean).max(0.0);
                Uncertain { mean: self.ratio.mean + mean - elapsed, variance }
            }
            // It outlasts nearly all that was measured: the longer it ran, the longer it may run.
            _ => {
                let more = (1.0 - elapsed).max((elapsed - 1.0) / 2.0);
                let mean = more.max(self.ratio.variance.sqrt() / 2.0).max(0.05);
                Uncertain { mean, variance: mean * mean }
            }
        };
        Uncertain { mean: rest.mean * whole, variance: rest.variance * whole * whole }
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

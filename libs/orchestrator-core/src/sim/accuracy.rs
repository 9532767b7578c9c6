//! How true the predictions are: worlds whose service times follow a law, and whose clients obey.
//!
//! The random worlds look for broken rules and have no sense of time. Here time is the point: a
//! population of clients thinks, submits, waits and comes back when it was told to; attempts last as
//! long as a distribution says; some clients cancel, some have deadlines, and in half of the worlds
//! the engine becomes three times slower in the middle. Every prediction is held against what came.

mod world;

use std::{collections::BTreeMap, fmt};

use super::random::Random;
use world::World;

/// How service times are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Law {
    Constant,
    Exponential,
    Lognormal,
    BySize,
}

/// What the predictions of some worlds were worth.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accuracy {
    /// Relative errors in thousandths, of jobs that waited for more than a second, per law.
    errors: BTreeMap<Law, Vec<u32>>,
    /// Waits, and those that were over by their 90th percentile.
    waits: BTreeMap<Law, u64>,
    covered: BTreeMap<Law, u64>,
    /// Clients that came back once, and those that came in then.
    returned: u64,
    let_in: u64,
    /// The sum of the promised probabilities, in thousandths, and what came of them.
    promised: u64,
    deadlines: u64,
    on_time: u64,
}

impl Accuracy {
    /// The median relative error of predicted starts, in per cent, over all laws.
    pub fn median_error(&self) -> f64 {
        median(self.errors.values().flatten().copied().collect())
    }

    /// How many of a hundred waits were over by their 90th percentile.
    pub fn coverage(&self) -> f64 {
        percent(self.covered.values().sum(), self.waits.values().sum())
    }

    /// How many of a hundred obedient clients came in when they first came back.
    pub fn let_in(&self) -> f64 {
        percent(self.let_in, self.returned)
    }

    /// Jobs that waited for more than a second.
    pub fn measured(&self) -> usize {
        self.errors.values().map(Vec::len).sum()
    }

    /// Clients that came back.
    pub fn returned(&self) -> u64 {
        self.returned
    }

    /// Takes in what other worlds have shown.
    pub fn add(&mut self, other: &Self) {
        for (law, errors) in &other.errors {
            self.errors.entry(*law).or_default().extend(errors);
        }
        for (law, waits) in &other.waits {
            *self.waits.entry(*law).or_default() += waits;
        }
        for (law, covered) in &other.covered {
            *self.covered.entry(*law).or_default() += covered;
        }
        self.returned += other.returned;
        self.let_in += other.let_in;
        self.promised += other.promised;
        self.deadlines += other.deadlines;
        self.on_time += other.on_time;
    }
}

impl fmt::Display for Accuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {:>8.1}%  median error of {} predicted starts", self.median_error(), self.measured())?;
        for (law, errors) in &self.errors {
            writeln!(f, "  {:>8.1}%  of {} under {law:?} times", median(errors.clone()), errors.len())?;
        }
        let waits: u64 = self.waits.values().sum();
        writeln!(f, "  {:>8.1}%  of {waits} waits end by their p90", self.coverage())?;
        for (law, waits) in &self.waits {
            let covered = percent(self.covered.get(law).copied().unwrap_or(0), *waits);
            writeln!(f, "  {covered:>8.1}%  of {waits} under {law:?} times")?;
        }
        writeln!(f, "  {:>8.1}%  of {} come in when they first come back", self.let_in(), self.returned)?;
        let told = percent(self.promised / 1000, self.deadlines);
        let kept = percent(self.on_time, self.deadlines);
        writeln!(f, "  {kept:>8.1}%  of {} deadlines are met, {told:.1}% were expected", self.deadlines)
    }
}

fn median(mut errors: Vec<u32>) -> f64 {
    errors.sort_unstable();
    errors.get(errors.len() / 2).map_or(0.0, |error| f64::from(*error) / 10.0)
}

fn percent(part: u64, whole: u64) -> f64 {
    let float = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    if whole == 0 { 0.0 } else { 100.0 * float(part) / float(whole) }
}

/// Lives through so many worlds, one after the other.
pub fn accuracy(seed: u64, worlds: u32) -> Accuracy {
    let mut random = Random::new(seed);
    let mut all = Accuracy::default();
    for number in 0..worlds {
        let law = [Law::Constant, Law::Exponential, Law::Lognormal, Law::BySize][number as usize % 4];
        let mut world = World::new(random.next(), law);
        world.run();
        all.add(&world.found);
    }
    all
}

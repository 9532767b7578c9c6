//! Seeded random runs of the scheduler in simulated time, with every invariant checked at each step.
//!
//! What is hard here (order, bounds, deadlines, cancel, loss of an engine) goes wrong only in
//! combinations that nobody writes down as an example. A run makes up many small worlds of replicas,
//! clients and engines, drives [`crate::Scheduler::handle`] through them by the million, and holds
//! every effect against a second, naive set of books. A broken invariant comes with the seed that
//! shows it again.

mod accuracy;
mod book;
mod check;
mod closing;
mod draw;
mod expect;
mod faults;
mod ledger;
mod operate;
mod random;
mod rare;
mod world;

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use random::Random;
use rare::Tally;
use world::World;

pub use accuracy::{Accuracy, accuracy};
pub use check::{Breach, Checked};

/// Worlds in which each run measures its predictions.
const ACCURACY_WORLDS: u32 = 8;

/// How long to run, and which run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Events to be handled, at least.
    pub events: u64,
    /// What decides everything that happens.
    pub seed: u64,
}

/// What a run met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The seed of the run.
    pub seed: u64,
    /// Events handled.
    pub events: u64,
    /// Worlds lived through.
    pub worlds: u64,
    /// A hash of all effects in their order: the same for the same options.
    pub trace: u64,
    /// What the predictions were worth, in worlds of their own under the same seed.
    pub accuracy: Accuracy,
    tally: Tally,
}

impl Report {
    /// Jobs that came in.
    pub fn accepted(&self) -> u64 {
        self.tally.accepted
    }

    /// Jobs that were turned away.
    pub fn rejected(&self) -> u64 {
        self.tally.rejected.total()
    }

    /// States in which a mistake would hide and to which this run never came. A run that is long
    /// enough to be trusted has none.
    pub fn never_reached(&self) -> Vec<&'static str> {
        self.tally.never_reached()
    }

    /// Takes in the report of another run.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.worlds += other.worlds;
        self.trace ^= other.trace.rotate_left(1);
        self.accuracy.add(&other.accuracy);
        self.tally.add_all(&other.tally);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, events, worlds, trace, accuracy, tally } = self;
        writeln!(f, "seed {seed}: {events} events in {worlds} worlds, trace {trace:016x}")?;
        write!(f, "accepted\n  {:>9}  jobs\nrejected\n{}", tally.accepted, tally.rejected)?;
        write!(f, "predictions\n{accuracy}")?;
        write!(f, "ended\n{}faults\n{}rare states\n{}", tally.ended, tally.faults, tally.rare)
    }
}

/// A broken invariant, and how to see it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The seed of the run.
    pub seed: u64,
    /// The event, counted from the start of the run.
    pub step: u64,
    /// What is broken.
    pub breach: Breach,
    /// The last steps before it, oldest first.
    pub recent: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, event {}: {}", self.seed, self.step, self.breach)?;
        self.recent.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl std::error::Error for Violation {}

/// Runs world after world until so many events were handled.
///
/// # Errors
/// The first broken invariant.
pub fn run(options: &Options) -> Result<Report, Violation> {
    let Options { events, seed } = *options;
    let mut random = Random::new(seed);
    let mut trace = std::hash::DefaultHasher::new();
    let accuracy = accuracy(seed, ACCURACY_WORLDS);
    let mut report = Report { seed, events: 0, worlds: 0, trace: 0, accuracy, tally: Tally::default() };
    while report.events < events {
        let mut world = World::new(random.next());
        let length = random.between(3_000, 20_000).min(events - report.events);
        if let Err(breach) = world.run(length) {
            let step = report.events + world.events;
            return Err(Violation { seed, step, breach, recent: world.checked.recent() });
        }
        report.events += world.events;
        report.worlds += 1;
        report.tally.add_all(world.tally());
        world.trace.finish().hash(&mut trace);
    }
    report.trace = trace.finish();
    Ok(report)
}

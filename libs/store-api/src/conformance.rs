//! The suite of the seam: what every store must keep, whatever it is made of.
//!
//! A store is opened, written, abandoned as by a crash and opened again; a naive model says what must be
//! found. The same runs go through [`Hostile`], which loses answers, so that whoever writes has to cope with
//! not knowing.

mod hostile;
mod model;
mod rules;

use std::sync::Arc;

use async_trait::async_trait;

pub use hostile::Hostile;
use model::Model;

use crate::{Applied, Change, OwnerId, Store, commit_surely};

/// Gives the suite its stores.
#[async_trait]
pub trait StoreHarness: Send + Sync {
    /// An empty store that nobody else has.
    async fn fresh(&self) -> Arc<dyn Store>;

    /// The same store after its process died without a word.
    async fn after_a_crash(&self, store: Arc<dyn Store>) -> Arc<dyn Store>;
}

/// A rule that a store broke.
pub type Broken = String;

/// Runs the whole suite; `seeds` random lives of `changes` changes each follow the single rules.
///
/// # Errors
/// The first rule that the store broke.
pub async fn run(harness: &dyn StoreHarness, seeds: u64, changes: usize) -> Result<(), Broken> {
    rules::all(harness).await?;
    for seed in 0..seeds {
        let told = |what| format!("seed {seed}: {what}");
        life(harness, seed, changes, Answers::Kept).await.map_err(told)?;
        life(harness, seed, changes, Answers::Lost).await.map_err(told)?;
    }
    Ok(())
}

/// Whether the store's answers arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    Kept,
    Lost,
}

/// A random life of a store, against the model.
async fn life(harness: &dyn StoreHarness, seed: u64, changes: usize, answers: Answers) -> Result<(), Broken> {
    let mut random = Random(seed);
    let mut model = Model::default();
    let mut store = harness.fresh().await;
    let mut owner = OwnerId(1);
    let mut written = 0;
    while written < changes {
        let mut batch: Vec<Change> =
            (0..=random.below(6)).map(|_| model.some_change(&mut random, owner)).collect();
        if answers == Answers::Lost {
            // Only a batch that touches each thing once is the same when it is written twice.
            once_each(&mut batch);
        }
        written += batch.len();
        let expected: Vec<Applied> = batch.iter().map(|change| model.apply(change)).collect();
        let found = match answers {
            Answers::Kept => store.commit(&batch).await,
            Answers::Lost => {
                let hostile = Hostile::new(Arc::clone(&store), random.next());
                commit_surely(&hostile, &batch).await
            }
        };
        equal("commit", &found, &Ok(expected))?;
        if random.below(10) == 0 {
            store = harness.after_a_crash(store).await;
            owner = OwnerId(owner.0 + 1);
            let most = 1 + random.index(8);
            equal("claim", &store.claim(owner, most).await, &Ok(model.claim(owner, most)))?;
        }
        if random.below(10) == 0 {
            model.compare(&*store, &mut random).await?;
        }
    }
    model.compare(&*store, &mut random).await
}

/// Drops what touches a thing that an earlier change of the batch touches.
fn once_each(batch: &mut Vec<Change>) {
    let mut touched = Vec::new();
    batch.retain(|change| {
        let thing = match change {
            Change::Accept(new) => Ok(new.key),
            Change::Note { job, .. }
            | Change::Append { job, .. }
            | Change::End { job, .. }
            | Change::Trim { job, .. }
            | Change::Forget { job, .. } => Ok(*job),
            Change::Put { record, .. } | Change::Remove(record) => Err(record.clone()),
        };
        let new = !touched.contains(&thing);
        touched.push(thing);
        new
    });
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), Broken> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: found {found:?}, expected {expected:?}"))
}

/// Numbers that differ from seed to seed and not from run to run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn index(&mut self, bound: u64) -> usize {
        usize::try_from(self.below(bound)).unwrap_or(0)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

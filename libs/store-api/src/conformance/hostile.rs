//! A store whose answers get lost, before or after it has written.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::Random;
use crate::{
    Applied, Change, JobKey, OwnerId, Rank, Segment, Shelf, Store, StoreError, StoredJob, StoredRecord,
};

/// Loses half of the answers to commits; half of those batches are written all the same.
#[derive(Debug)]
pub struct Hostile {
    store: Arc<dyn Store>,
    state: Mutex<u64>,
}

impl Hostile {
    /// Over a store that is well.
    pub fn new(store: Arc<dyn Store>, seed: u64) -> Self {
        Self { store, state: Mutex::new(seed) }
    }

    fn draw(&self) -> u64 {
        let mut state = self.state.lock();
        let mut random = Random(*state);
        let drawn = random.below(4);
        *state = random.0;
        drawn
    }
}

#[async_trait]
impl Store for Hostile {
    async fn commit(&self, changes: &[Change]) -> Result<Vec<Applied>, StoreError> {
        match self.draw() {
            0 => Err(StoreError::Unknown),
            1 => self.store.commit(changes).await.and(Err(StoreError::Unknown)),
            _ => self.store.commit(changes).await,
        }
    }

    async fn claim(&self, owner: OwnerId, most: usize) -> Result<Vec<StoredJob>, StoreError> {
        self.store.claim(owner, most).await
    }

    async fn ended(&self, before: Option<Rank>, most: usize) -> Result<Vec<StoredJob>, StoreError> {
        self.store.ended(before, most).await
    }

    async fn stream(&self, job: JobKey) -> Result<Vec<Segment>, StoreError> {
        self.store.stream(job).await
    }

    async fn records(&self, on: Shelf) -> Result<Vec<StoredRecord>, StoreError> {
        self.store.records(on).await
    }
}

//! Whose stream stands where, known by heart: without it each reader would look through all jobs of the file.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use store_api::JobKey;

/// The ranks of the jobs that have a stream. The writer keeps it, and everybody may ask.
#[derive(Debug, Clone, Default)]
pub(crate) struct Streams {
    ranks: Arc<RwLock<HashMap<JobKey, i64>>>,
}

impl Streams {
    /// The rank of a job that has a stream.
    pub(crate) fn rank_of(&self, job: JobKey) -> Option<i64> {
        self.ranks.read().unwrap_or_else(PoisonError::into_inner).get(&job).copied()
    }

    /// What is in the file now: a job's rank when it has a stream.
    pub(crate) fn set(&self, jobs: impl Iterator<Item = (JobKey, Option<i64>)>) {
        let mut ranks = self.ranks.write().unwrap_or_else(PoisonError::into_inner);
        for (job, rank) in jobs {
            match rank {
                Some(rank) => ranks.insert(job, rank),
                None => ranks.remove(&job),
            };
        }
    }
}

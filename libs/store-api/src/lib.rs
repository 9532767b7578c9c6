//! The seam between the server and what remembers its jobs: what is remembered, and how it may fail.
//!
//! Operations are batches of domain changes, not rows: one batch is one commit, so whatever waits together
//! is paid for once, in a file as well as in a shared database. Each live job has an owner and a fence; a
//! change under an older fence is refused, so that nobody who was thought dead can write into what somebody
//! else has taken over. The embedded store has one owner at a time and keeps the same rules.
//!
//! What a body means is for the server to know: here it is bytes that come back as they went in.
//!
//! Invariant: what [`Store::commit`] has answered with `Ok` is there after any crash.
//! Invariant: a batch is there as a whole or not at all.
//! Invariant: a job ends once; after its end nothing but [`Change::Forget`] touches it.
#![warn(missing_docs)]

mod change;
mod commit;
mod error;
mod memory;
mod stored;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use change::{Applied, Change, NewJob};
pub use commit::commit_surely;
pub use error::StoreError;
pub use memory::MemoryStore;
pub use stored::{
    Body, Fence, JobKey, OwnerId, Rank, RecordKey, Segment, Shelf, StoredJob, StoredRecord, WallMillis,
};

use async_trait::async_trait;

/// What remembers jobs, and the few other things that must outlive the process.
#[async_trait]
pub trait Store: std::fmt::Debug + Send + Sync + 'static {
    /// Applies the changes in their order, in one commit, and answers each of them.
    async fn commit(&self, changes: &[Change]) -> Result<Vec<Applied>, StoreError>;

    /// Takes over live jobs that no live owner has, the oldest first, at most so many. Their fences rise.
    async fn claim(&self, owner: OwnerId, most: usize) -> Result<Vec<StoredJob>, StoreError>;

    /// Ended jobs, the newest first, accepted before the one of this rank, at most so many.
    async fn ended(&self, before: Option<Rank>, most: usize) -> Result<Vec<StoredJob>, StoreError>;

    /// What was kept of a job's stream, in its order.
    async fn stream(&self, job: JobKey) -> Result<Vec<Segment>, StoreError>;

    /// All records of a shelf, by name.
    async fn records(&self, on: Shelf) -> Result<Vec<StoredRecord>, StoreError>;
}

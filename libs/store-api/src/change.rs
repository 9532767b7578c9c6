//! What may be written, and what a store answers.

use crate::stored::{Body, Fence, JobKey, OwnerId, Rank, RecordKey, Segment, WallMillis};

/// One thing to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A job comes in.
    Accept(NewJob),
    /// How far a job is; it replaces the note before it.
    Note {
        /// The job.
        job: JobKey,
        /// Its owner's fence.
        fence: Fence,
        /// What is to be known after a crash.
        note: Body,
        /// Readers may see events with ids below this. It never falls.
        ids_reserved: u32,
    },
    /// A further part of a job's stream.
    Append {
        /// The job.
        job: JobKey,
        /// Its owner's fence.
        fence: Fence,
        /// The part. One with the same first id replaces nothing.
        segment: Segment,
    },
    /// A job ends. What was asked for gives way to what became of it.
    End {
        /// The job.
        job: JobKey,
        /// Its owner's fence.
        fence: Fence,
        /// When.
        at: WallMillis,
        /// What became of it.
        body: Body,
    },
    /// The stream of an ended job is given up; how it ended is kept.
    Trim {
        /// The job.
        job: JobKey,
        /// Its owner's fence.
        fence: Fence,
    },
    /// A job is given up with all that was kept of it.
    Forget {
        /// The job.
        job: JobKey,
        /// Its owner's fence.
        fence: Fence,
    },
    /// A thing other than a job, as it is now.
    Put {
        /// Which one.
        record: RecordKey,
        /// What is to be known of it.
        body: Body,
    },
    /// A thing other than a job is gone.
    Remove(RecordKey),
}

/// A job that comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Its id.
    pub key: JobKey,
    /// Who takes it in.
    pub owner: OwnerId,
    /// What was asked for.
    pub body: Body,
}

/// What became of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is written, or was already.
    Done,
    /// The job is in, and [`Fence::FIRST`] is its fence as long as nobody else claims it. The same owner that asks again gets the same answer.
    Accepted {
        /// Under which its owner writes.
        fence: Fence,
        /// Its place in the order of acceptance.
        rank: Rank,
    },
    /// Another owner has taken in a job of this id, or it has ended.
    Known,
    /// The job is unknown, has ended, or belongs to a later owner. Nothing was written.
    Stale,
}

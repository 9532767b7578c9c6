//! What may happen: the only way into the scheduler.

use std::time::Duration;

use crate::{
    ids::{JobId, LeaseId, PoolId, ReplicaId, SessionId},
    job::NewJob,
    operation::Operation,
    sessions::SessionRecord,
    time::Timestamp,
    view::ReplicaView,
};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A client asks for a job.
    Submit(NewJob),
    /// A job that was accepted before the server started comes back.
    Recover(Recovered),
    /// A session of an earlier process comes back, before its jobs do.
    RecoverSession(Box<SessionRecord>),
    /// A client takes a job back.
    Cancel(JobId),
    /// A dispatched attempt is over and its connection is closed. Sent exactly once per lease.
    AttemptEnded(LeaseId, Outcome, Spent),
    /// A replica was looked at, for the first time or again.
    ReplicaSeen(ReplicaView),
    /// A replica no longer exists. Its running jobs are evicted.
    ReplicaGone(PoolId, ReplicaId),
    /// An operation on a pool shall begin. Answered by [`crate::Effect::Began`] or
    /// [`crate::Effect::Refused`], once.
    Begin {
        /// The pool.
        pool: PoolId,
        /// What is to be done with it.
        operation: Operation,
    },
    /// A pool, or a replica of it, takes nothing new from this step on, also when it appears only later.
    Close {
        /// The pool.
        pool: PoolId,
        /// The replica; the whole pool without it.
        replica: Option<ReplicaId>,
        /// When what still runs there is evicted.
        deadline: Timestamp,
    },
    /// What was closed takes work again. The whole pool and each of its replicas are closed and opened
    /// apart from each other.
    Open {
        /// The pool.
        pool: PoolId,
        /// The replica; the whole pool without it.
        replica: Option<ReplicaId>,
    },
    /// The operation on a pool is over; another may begin. What is closed stays so.
    Settle {
        /// The pool.
        pool: PoolId,
    },
    /// A client gives a session up. Its running jobs go on.
    EndSession(SessionId),
    /// Time passed; deadlines are due.
    Tick,
    /// The server is going down: nothing new, nothing waits any longer.
    Shutdown,
    /// The server will not wait any longer for what still runs.
    StopRunning,
}

/// A job that was accepted before the server started. Nothing refuses it any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The job, with the deadline that is left of it.
    pub job: NewJob,
    /// The pool in whose line it waited.
    pub pool: PoolId,
    /// Attempts that it had.
    pub attempts: u32,
}

/// What an attempt used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Tokens of the prompt and of the answer, as far as they were computed for this job.
    pub tokens: u64,
    /// Whether the engine had the beginning of the prompt in its cache.
    pub warm: bool,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The engine finished.
    Completed,
    /// The attempt was stopped because the scheduler said so.
    Aborted,
    /// The engine, or the way to it, died.
    Lost {
        /// Tokens that readers may have seen.
        tokens_out: u32,
    },
    /// Nothing came in time. Before the first token this is a loss.
    TimedOut {
        /// Tokens that readers may have seen.
        tokens_out: u32,
    },
    /// The engine had no room after all.
    Busy {
        /// What it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// The engine says that the request is wrong.
    Refused,
    /// The attempt was stopped because its replica is drained or gone.
    Evicted {
        /// Tokens that readers may have seen.
        tokens_out: u32,
    },
}

//! What the shell must do: the only way out of the scheduler.

use std::time::Duration;

use crate::{
    explain::{Rule, Why},
    ids::{JobId, LeaseId, PoolId, ReplicaId},
    job::JobEnd,
    operation::{OperationKind, OperationRefusal},
    sessions::{Remaining, SessionRefusal},
};

/// Something to be done, in the order in which it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Answer the client: the job is accepted.
    Accept(JobId, Admission),
    /// Answer the client: the job is not accepted, and leaves no trace.
    Reject(JobId, Rejection),
    /// Start an attempt.
    Dispatch(Assignment),
    /// Close the connection of an attempt, then report its end.
    Abort(LeaseId),
    /// Write the terminal event of a job. Said exactly once per accepted job.
    Finish(JobId, JobEnd),
    /// Look at this replica now: something went wrong with it.
    Probe(PoolId, ReplicaId),
    /// An operation on a pool has begun.
    Began(PoolId, OperationKind),
    /// An operation on a pool does not begin.
    Refused(PoolId, OperationRefusal),
    /// A pool, or a replica of it, that was closed holds no slot any more. Said once per
    /// [`crate::Event::Close`], unless the scope was closed again or opened before.
    Drained(PoolId, Option<ReplicaId>),
    /// Stop an attempt for no fault of its job or its engine, then report its end as
    /// [`crate::Outcome::Evicted`], unless it ended by itself before. Said once per lease at most.
    Evict(LeaseId),
}

/// What an accepted client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The pool whose queue or slot it got.
    pub pool: PoolId,
    /// Jobs ahead of it, over both classes; 0 is next.
    pub queue_position: u32,
    /// When it will probably start.
    pub predicted_start: Duration,
    /// When it will have started with a probability of 90 %.
    pub predicted_start_p90: Duration,
    /// The probability, in thousandths, that it is done by its deadline; `None` when it has none, and
    /// while nothing was measured.
    pub on_time_per_mille: Option<u16>,
    /// What its session's budget has left, this job's share taken off; `None` without a session.
    pub budget: Option<Remaining>,
}

/// An attempt to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The job.
    pub job: JobId,
    /// The slot that it holds, given back by [`crate::Event::AttemptEnded`].
    pub lease: LeaseId,
    /// The pool that runs it.
    pub pool: PoolId,
    /// The engine that runs it.
    pub replica: ReplicaId,
    /// 1 for the first attempt. One that met a busy engine does not count.
    pub attempt: u32,
    /// Whether its session was here before.
    pub affinity: Affinity,
    /// How the choice was made.
    pub why: Box<Why>,
}

impl Assignment {
    /// One that was made before the server started, as far as it is still known.
    pub fn of_earlier_process(job: JobId, (pool, replica): (PoolId, ReplicaId), attempt: u32) -> Self {
        let why = Why { rule: Rule::Recovered, considered: 0, candidates: Vec::new() };
        let affinity = Affinity::None;
        Self { job, lease: LeaseId(0), pool, replica, attempt, affinity, why: Box::new(why) }
    }
}

/// How a job's session stands to the replica that it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Affinity {
    /// It has no session, or its session was nowhere yet.
    None,
    /// Its session was here last.
    Kept,
    /// Its session was elsewhere last.
    Moved,
}

/// What a refused client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub reason: RejectReason,
    /// The pool that it is about, where there is one.
    pub pool: Option<PoolId>,
    /// When trying again makes sense, from what was measured.
    pub retry_after: Option<Duration>,
}

/// Why a job is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RejectReason {
    /// There is no pool at all.
    NoPool,
    /// No pool is called like the pin.
    UnknownPin,
    /// No pool serves this model under the request's conditions.
    NoSuchModel,
    /// The model is served, but not for this kind of work.
    NoSuchWorkload,
    /// The model is served, but never with so much context.
    Context {
        /// The most that there is.
        limit: u32,
    },
    /// The model is served, but only on devices that the request or the policy rules out.
    Device,
    /// What could serve it is not Ready, or is closed.
    Unready,
    /// What could serve it was Ready and is not reachable now.
    Unreachable,
    /// The node that it is pinned to is unknown, or nobody answers there.
    NodeUnavailable,
    /// The model is served, but only where there is less memory than the job needs.
    Vram {
        /// What the job needs, in bytes.
        need: u64,
        /// The most that there is.
        have: u64,
    },
    /// It would start only after its deadline.
    Deadline {
        /// When it would start.
        predicted_start: Duration,
    },
    /// The queue is full.
    QueueFull,
    /// The queue is full, and holds nothing that may be dropped for this job.
    NothingToDrop,
    /// A live job has this id.
    DuplicateId,
    /// Its like broke the engines that it met.
    Poisoned,
    /// Its session refuses it.
    Session(SessionRefusal),
    /// The server is going down.
    ShuttingDown,
}

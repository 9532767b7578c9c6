//! What the scheduler is asked and told.

use std::{sync::Arc, time::Duration};

use orchestrator_core::{
    Admission, Event, JobId, LeaseId, NewJob, Operation, OperationRefusal, Outcome, PoolId, PoolSummary,
    Recovered, Rejection, ReplicaId, SessionId, SessionRecord, SessionView, Spent, Timestamp, Why,
};
use tokio::sync::oneshot;

use super::job::{JobEntry, OnTheWay};
use crate::metrics::CanceledBy;

/// A pool, or one replica of it.
pub(crate) type Scope = (PoolId, Option<ReplicaId>);

/// The answer to an operation that is to begin; who is let in also hears when nothing runs any more.
pub(crate) type Begun = Result<oneshot::Receiver<()>, OperationRefusal>;

/// How much is known of the silence of some replicas' node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It may be nothing.
    Suspected,
    /// The node counts as offline; a stream that says nothing either for so long is lost.
    Certain(Duration),
}

/// What the scheduler is asked or told.
pub(crate) enum Command {
    Submit(Box<Submission>),
    Cancel(Arc<JobEntry>, CanceledBy, oneshot::Sender<()>),
    /// A job's client was told that it did not come in.
    Abandon(Arc<JobEntry>),
    /// A job of an earlier process comes back.
    Recover(Box<Recovered>),
    /// A job of an earlier process is over: readers have tokens that no engine says again.
    Lost(Arc<JobEntry>),
    AttemptEnded(LeaseId, Outcome, Spent),
    Tell(Box<Event>),
    /// Something is to be done to a pool as a whole.
    Begin(PoolId, Operation, oneshot::Sender<Begun>),
    /// A pool or a replica takes nothing new.
    Close(Scope, Timestamp, oneshot::Sender<oneshot::Receiver<()>>),
    /// These replicas' node is not heard of.
    NodeIsSilent(Vec<(PoolId, ReplicaId)>, Silence),
    Pools(oneshot::Sender<Vec<PoolSummary>>),
    Position(JobId, oneshot::Sender<Option<u32>>),
    Explain(JobId, oneshot::Sender<Option<Why>>),
    /// A session of an earlier process comes back.
    RecoverSession(Box<SessionRecord>),
    /// Time to give up sessions that are forgotten.
    SweepSessions,
    Session(SessionId, oneshot::Sender<Option<SessionView>>),
    EndSession(SessionId, oneshot::Sender<()>),
    IsIdle(oneshot::Sender<bool>),
}

/// What a submission is answered.
pub(crate) enum Answer {
    Accepted(Admission),
    Rejected(Rejection),
    /// A job with this id is known already.
    Known(Arc<JobEntry>),
}

/// A job that wants to come in.
pub(crate) struct Submission {
    pub(crate) job: NewJob,
    pub(crate) entry: Arc<JobEntry>,
    pub(crate) answer: oneshot::Sender<Answer>,
    pub(crate) on_the_way: Option<OnTheWay>,
}

/// The scheduler does not take any more now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

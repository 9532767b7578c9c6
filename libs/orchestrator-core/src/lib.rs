//! The pure heart: which job runs where, and when, as one function of time and event.
//!
//! [`Scheduler::handle`] takes what happened and the time at which it happened, and returns what the
//! shell must do. It has no clock, no socket, no runtime and no serializer, so that a run can be
//! repeated from its list of events, and so that everything that is hard here (order, bounds,
//! deadlines, cancel, loss of an engine) is a test of one function, run by the million.
//!
//! Invariant: no effect depends on anything but the events handled so far.
//! Invariant: an accepted job ends exactly once; after its end no effect names it.
//! Invariant: a slot is taken by a lease and freed only by that lease's own end.
#![warn(missing_docs)]

mod breaker;
mod effect;
mod estimate;
mod event;
mod explain;
mod fit;
mod ids;
mod job;
mod lease;
mod operation;
mod placement;
mod pool;
mod quarantine;
mod queue;
mod rules;
mod scheduler;
mod seats;
mod sessions;
mod time;
mod view;

#[cfg(feature = "sim")]
pub mod sim;

pub use breaker::Circuit;
pub use effect::{Admission, Affinity, Assignment, Effect, RejectReason, Rejection};
pub use event::{Event, Outcome, Recovered, Spent};
pub use explain::{Candidate, Rule, Verdict, Why};
pub use fit::{Misfit, Requirements, Workload};
pub use ids::{JobId, LeaseId, NodeId, PoolId, ReplicaId, SessionId};
pub use job::{AfterTokens, Claimant, FailReason, IllegalStep, JobEnd, JobState, JobStep, NewJob, Priority};
pub use operation::{Closed, Operation, OperationKind, OperationRefusal};
pub use pool::{PoolSummary, ReplicaSummary};
pub use rules::{AdmissionPolicy, GpuPolicy, PlacementKind, Rules, SessionRules};
pub use scheduler::Scheduler;
pub use sessions::{
    Budget, Remaining, SessionRecord, SessionRefusal, SessionSpent, SessionUse, SessionView, Share,
};
pub use time::Timestamp;
pub use view::{Device, Loaded, Readiness, ReplicaView};

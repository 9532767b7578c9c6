//! Which nodes are there, and which of their engines take work.
//!
//! The registry is told what nodes said, by whom and when, and returns what that changed. It keeps no clock: each
//! call brings the time since the process started, on the monotonic clock.
//!
//! Invariant: a node's name has one live owner.
//! Invariant: the heartbeats that are taken in grow in `(incarnation, seq)`, within one owner of a name.
//! Invariant: a node goes offline by silence alone, and the process's own lag is not silence.
//! Invariant: no more than half of the nodes go offline within a minute, unless an alarm stood for as long.
//! Invariant: what a removed node had is gone in the same step.
#![warn(missing_docs)]

mod attention;
mod availability;
mod change;
mod endpoint;
mod life;
mod network;
mod node;
mod refusal;
mod registry;
mod rules;
mod steadiness;

pub use availability::{Availability, ModelPlaces, NodePlaces};
pub use change::{AlarmEnd, Change, MassSilence, Registration, Removal, ReplicaKey};
pub use endpoint::{Endpoint, Scheme, check_address, check_endpoint};
pub use network::{MalformedNetwork, Network};
pub use node::{Contact, Node, NodeStatus, Replica};
pub use refusal::Refusal;
pub use registry::{Polled, Registry};
pub use rules::Rules;

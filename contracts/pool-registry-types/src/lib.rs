//! What nodes and the control plane tell each other, on the wire.
//!
//! A node registers, sends heartbeats, and is told to drain, reload or purge a pool; a control plane may
//! also ask it. The three lifecycle requests have the same shape when a client sends them to the control
//! plane. These types decide nothing, but each can tell whether it is sound: [`Fault`] names the field.
#![warn(missing_docs)]

mod check;
mod lifecycle;
mod node;
mod report;

pub use check::Fault;
pub use lifecycle::{
    DrainPool, OperationKind, OperationState, OperationView, PoolAnswer, PurgePool, ReloadPool,
};
pub use node::{GpuView, Heartbeat, HeartbeatAnswer, NodeCapabilities, NodeRegistered, RegisterNode};
pub use report::{PoolReport, PoolReports, PoolStatus};

/// How often a node that is well is heard of, in milliseconds.
pub const HEARTBEAT_MS: u64 = 10_000;

//! Between the scheduler's decision and an engine's dialect.
//!
//! The scheduler says "this job, on that replica, with this lease". Here the replica's adapter is
//! found, the stream is opened and watched, and the lease is given back, whatever happens.
//!
//! Invariant: for each [`SlotGuard`] exactly one end is reported, also when its task is aborted or panics.
//! It decides nothing: how a failure is answered is the scheduler's business.
#![warn(missing_docs)]

mod attempt;
mod bindings;
mod guard;

pub use attempt::{AttemptStream, Timeouts, outcome_of};
pub use bindings::Bindings;
pub use guard::{SlotGuard, SlotReturn, StopWord};

//! The relay: one event log per job, written once, read by anyone at any time.
//!
//! A job's stream is an append-only log of frames that are ready for the wire. Whoever writes encodes
//! each event once; whoever reads holds a cursor into the bytes. A late reader starts at the front, a
//! resumed one after the event that it names, a slow one falls behind: none of them costs the engine,
//! the writer or another reader anything.

mod body;
mod frame;
mod ids;
#[cfg(all(test, feature = "shuttle"))]
mod interleavings;
mod log;
mod stored;

pub(crate) use body::{EventBody, first_bytes};
pub(crate) use ids::IDS_PER_LIFE;
pub(crate) use log::{Cursor, Detail, Framing, JobLog, LastEvent, Resume, ResumeError, Said, Shown};
pub(crate) use stored::{Hole, Part};

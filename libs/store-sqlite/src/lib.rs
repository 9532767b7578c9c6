//! The store in one folder: SQLite with one writer, group commit, and a checksum on each record.
//!
//! One thread owns the connection that writes. It takes all that waits into one transaction, so a slow disk
//! makes batches larger and not the line longer, and what waited together leaves with one sync. Which
//! jobs there are, and under which fence, it knows by heart; the file is read when it is opened, and for
//! streams of jobs that ended long ago.
//!
//! Invariant: an answer leaves after the transaction's log is on the disk, not before.
//! Invariant: what is read was written: each record carries the checksum of its key and its content.
//! Invariant: a folder has one owner at a time.
#![warn(missing_docs)]

mod apply;
mod error;
mod open;
mod read;
mod record;
mod repair;
mod schema;
mod streams;
mod wal;
mod writer;

pub use open::{OpenError, SqliteStore};
pub use repair::{RepairReport, repair};

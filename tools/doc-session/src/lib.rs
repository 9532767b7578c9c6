//! Runs what the Markdown pages tell their readers to type.
//!
//! A page is believed, so a page that rots does harm. Its sessions are therefore typed by a test, word for word,
//! against the programs as they are built.
//!
//! Invariant: whatever a page starts has ended when its session has.
//! Invariant: nothing is written outside of the folder that the page gets.

mod compare;
mod group;
mod server;
mod session;

pub use compare::matches;
pub use session::{Difference, Report, run};

//! Downloads model files: outbound policy, resume, bounds and digest.
//!
//! A model is a file of many gigabytes from a server that nobody here controls, over a network that drops
//! connections. So a download says where it may go before it goes there, goes on where it stopped, ends at
//! its bounds, and counts only when the digest of the whole file is known.
//!
//! Invariant: no connection is made to an address that the policy was not asked about.
//! Invariant: a file under its final name is whole, flushed, and has the digest that its name says.
#![warn(missing_docs)]

mod answer;
mod digest;
mod error;
mod fetch;
mod line;
mod partial;
mod policy;

pub use digest::Digest;
pub use error::FetchError;
pub use fetch::{Fetch, Fetched, Fetcher, Progress, Timing};
pub use policy::{Policy, Refused, Transport};

//! An engine without a GPU and without a model: for trying the server out, and for tests.
//!
//! [`MockAdapter`] runs in the server's own process and answers with plain words that follow from the
//! prompt and the seed alone. A [`Script`] makes one of its answers go wrong in a chosen way.
#![warn(missing_docs)]

mod adapter;
mod once;
mod relay;
mod script;
mod stream;
mod vectors;
#[cfg(feature = "wire")]
pub mod wire;
mod words;

pub use adapter::{MockAdapter, MockConfig, MockCounts};
pub use script::Script;

//! The agent of a GPU node, as a library for its own binary and tests.
//!
//! What is hard is a function without clock or process: [`machine`] decides when an engine is started, ready,
//! given up or rolled back, and [`plan`] what it is started with. Around them stand a task per pool
//! ([`pool`]), a process between each engine and the agent ([`babysit`]), and the words to the control plane
//! ([`registrar`]) and from it ([`api`]).

mod adapters;
mod api;
mod app;
pub mod babysit;
mod child;
mod clock;
pub mod config;
mod error;
mod gate;
mod gpu;
mod link;
mod machine;
mod metrics;
mod models;
mod plan;
mod pool;
mod provision;
mod registrar;
mod state;

pub use app::{App, Fittings, StartRefused};
pub use gpu::{Gpus, Reading};
pub use http_server::listen;

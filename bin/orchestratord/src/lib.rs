//! The control plane of llama-orch, as a library for its own binary and tests.
//!
//! Data flows one way: gate, desk ([`api`]), queue and placement (`orchestrator-core`, owned by
//! [`services`]), dispatch, adapter, relay. The only way back is one small event.

mod adapters;
mod api;
mod app;
mod clock;
pub mod config;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gate;
mod metrics;
pub mod process;
mod relay;
mod services;
mod settings;
mod state;
mod sync;

pub use api::{Document, RouteFacts, openapi, openapi_of_all, route_table};
pub use app::{App, StartRefused};
pub use http_server::{Workers, listen};

//! The seam between the orchestrator and an engine: one trait, what it takes, what it yields, how it fails.
//!
//! Everything above this crate speaks of jobs, pools and queues; everything below it speaks one
//! engine's dialect. Here the two meet, so this crate knows neither. An adapter has three duties:
//! say what it can do, say how its engine is, and turn a [`WorkOrder`] into a [`TokenStream`].
//!
//! Invariant: dropping a [`TokenStream`] cancels the work at the engine; there is no second way.
//! Invariant: a stream yields text, then exactly one [`Finish`] or one [`AdapterError`], then nothing.
//! It retries nothing and queues nothing: those are decisions, and decisions are made above.
#![warn(missing_docs)]

mod batch;
mod error;
mod order;
mod report;
mod stream;
mod timer;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use batch::{Piece, TokenBatch};
pub use error::{AdapterError, SilencePhase};
pub use order::{
    CacheUse, Generate, Input, Message, OutputShape, PassedOn, Prompt, Relay, Role, Route, Sampling,
    UsageEvent, Work, WorkOrder, Workload,
};
pub use report::{Capabilities, EngineReport, GoesOnWith};
pub use stream::{Finish, FinishReason, Progress, TokenStream, Usage, next};
pub use timer::LazyTimer;

use std::{fmt, sync::Arc};

use async_trait::async_trait;

/// One engine, seen from above.
#[async_trait]
pub trait WorkerAdapter: fmt::Debug + Send + Sync + 'static {
    /// What this kind of engine can do, known without asking it.
    fn capabilities(&self) -> Capabilities;

    /// Asks the engine how it is. Bounded in time by the adapter; an error means "not usable now".
    async fn probe(&self) -> Result<EngineReport, AdapterError>;

    /// Starts the work. Dropping the returned stream cancels it at the engine.
    async fn submit(&self, order: Arc<WorkOrder>) -> Result<Box<dyn TokenStream>, AdapterError>;
}

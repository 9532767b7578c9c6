//! Traces: W3C context in and out, and finished spans to an OTLP collector.
//!
//! Whoever traces hands over spans that have ended, with their times, so that nothing is open while work is
//! done and a token costs nothing. Spans wait in a queue with a bound, and one task sends them.
//!
//! Invariant: nothing here waits for a collector but the task that sends, and that only within bounds.
#![warn(missing_docs)]

mod context;
mod exporter;
mod queue;
mod sampling;
#[cfg(feature = "sink")]
pub mod sink;
mod span;

pub use context::{TRACEPARENT, TRACESTATE, TraceContext};
pub use exporter::{Exports, Service, Tracer, Unusable};
pub use opentelemetry::{
    KeyValue,
    trace::{SpanId, TraceId},
};
pub use queue::Fate;
pub use span::{Kind, Span, words};

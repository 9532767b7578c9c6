//! What every HTTP adapter shares, so that an adapter is only its engine's dialect.
//!
//! An adapter names a path, a body and a [`Dialect`]; this crate connects, checks the answer, cuts the
//! event stream into events, joins characters that were cut, watches for silence, and closes the
//! connection when the stream is dropped. Small questions (health, slots) go through one tuned client.
//!
//! Invariant: nothing that an engine sends is believed: redirects, encodings, endless lines and
//! endless bodies are refused, and what is quoted in a message is cut and cleaned first.
#![warn(missing_docs)]

mod answer;
mod body;
mod client;
mod headers;
mod hold_back;
mod json;
pub mod openai;
#[cfg(any(test, feature = "recording"))]
pub mod recording;
mod redact;
mod scan;
mod sse;
mod stream;
mod transport;
mod utf8;
mod whole;

pub use client::{EngineHttp, HttpTimeouts, StreamRefused};
pub use headers::order_headers;
pub use hold_back::HoldBack;
pub use json::ByteString;
pub use redact::excerpt;
pub use scan::{Member, Scanner};
pub use sse::{LINE_BYTES_MAX, LineTooLong, SseDecoder};
pub use stream::{Dialect, EventStream, TextSink};
pub use utf8::Utf8Joiner;
pub use whole::{WholeReader, WholeStream};

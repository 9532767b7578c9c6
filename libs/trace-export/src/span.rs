//! A span that has ended.

use std::{str::FromStr, time::SystemTime};

use opentelemetry::{
    Array, InstrumentationScope, KeyValue, StringValue, Value,
    trace::{SpanContext, SpanKind, Status, TraceFlags, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::context::TraceContext;

/// Which side of a conversation a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It was asked for by somebody else.
    Server,
    /// It asks somebody else.
    Client,
    /// Neither.
    Internal,
}

/// A span that has ended.
#[derive(Debug, Clone)]
pub struct Span {
    /// What was done: one of few.
    pub name: &'static str,
    /// Which side of a conversation it is.
    pub kind: Kind,
    /// Its own place.
    pub context: TraceContext,
    /// What caused it; a `Server`'s parent is in another process.
    pub parent: Option<opentelemetry::trace::SpanId>,
    /// From when.
    pub start: SystemTime,
    /// Until when.
    pub end: SystemTime,
    /// What else is known of it. No prompt, no text of an engine and no secret.
    pub attributes: Vec<KeyValue>,
    /// The code of the error that it ended with.
    pub error: Option<&'static str>,
}

/// An attribute that is a list of words.
pub fn words<const N: usize>(key: &'static str, words: [&'static str; N]) -> KeyValue {
    KeyValue::new(key, Value::Array(Array::String(words.into_iter().map(StringValue::from).collect())))
}

impl Span {
    pub(crate) fn into_data(self, scope: &InstrumentationScope) -> SpanData {
        let Self { name, kind, context, parent, start, end, mut attributes, error } = self;
        let state = context.tracestate().and_then(|state| TraceState::from_str(state).ok());
        let flags = TraceFlags::new(context.flags());
        let state = state.unwrap_or_default();
        if let Some(code) = error {
            attributes.push(KeyValue::new("error.type", code));
        }
        SpanData {
            span_context: SpanContext::new(context.trace_id(), context.span_id(), flags, false, state),
            parent_span_is_remote: parent.is_some() && kind == Kind::Server,
            parent_span_id: parent.unwrap_or(opentelemetry::trace::SpanId::INVALID),
            span_kind: match kind {
                Kind::Server => SpanKind::Server,
                Kind::Client => SpanKind::Client,
                Kind::Internal => SpanKind::Internal,
            },
            name: name.into(),
            start_time: start,
            // Two clocks may have told them.
            end_time: end.max(start),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: error.map_or(Status::Unset, Status::error),
            instrumentation_scope: scope.clone(),
        }
    }
}

//! The trace that a request belongs to, as its headers say, and since when it is here.

use std::sync::Arc;

use api_types::ErrorCode;
use axum::{
    extract::{Request, State},
    http::request::Parts,
    middleware::Next,
    response::Response,
};
use http_server::CorrelationId;
use orchestrator_core::Timestamp;
use trace_export::{KeyValue, Kind, Span, TraceContext};

use crate::{
    error::ApiError,
    gate::ReceivedAt,
    services::{Traces, on_behalf},
};

/// What a request says of its trace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Incoming {
    /// The place from which it was sent.
    pub(crate) from: Option<Arc<TraceContext>>,
    /// When its head was here; noted only when there is a collector.
    pub(crate) received: Option<Timestamp>,
}

impl Incoming {
    //= ORCH-3331
    pub(super) fn of(parts: &Parts) -> Self {
        let received = parts.extensions.get::<ReceivedAt>().map(|received| received.0);
        Self { from: TraceContext::of_request(&parts.headers).map(Arc::new), received }
    }
}

/// An operation whose requests are spans.
#[derive(Clone)]
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    pub(super) traces: Option<Traces>,
}

/// Carries an operation out in its trace, so that the nodes' agents hear of it, too.
//= ORCH-3338
pub(super) async fn operation(State(of): State<Operation>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let from = TraceContext::of_request(&parts.headers);
    let Some(traces) = &of.traces else {
        // Nobody records here, but perhaps there.
        return on_behalf(from, next.run(Request::from_parts(parts, body))).await;
    };
    let place = traces.tracer.enter(from.as_ref());
    let started =
        parts.extensions.get::<ReceivedAt>().map_or_else(|| traces.clock.now(), |received| received.0);
    let correlation = parts.extensions.get::<CorrelationId>().map(CorrelationId::shared);
    let method = parts.method.to_string();
    let response = on_behalf(Some(place.clone()), next.run(Request::from_parts(parts, body))).await;
    if place.is_sampled() {
        let status = response.status();
        let mut attributes = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", of.path),
            KeyValue::new("http.response.status_code", i64::from(status.as_u16())),
        ];
        attributes.extend(correlation.map(|id| KeyValue::new("correlation_id", id.to_string())));
        traces.tracer.tell(vec![Span {
            name: of.name,
            kind: Kind::Server,
            parent: from.map(|from| from.span_id()),
            context: place,
            start: traces.clock.wall(started),
            end: traces.clock.wall(traces.clock.now()),
            attributes,
            error: error(&response),
        }]);
    }
    response
}

/// The code of an answer that is an error.
fn error(response: &Response) -> Option<&'static str> {
    let failed = response.status().is_client_error() || response.status().is_server_error();
    let code = response.extensions().get::<ApiError>().map_or(ErrorCode::Internal, |error| error.body().code);
    failed.then_some(code.as_str())
}

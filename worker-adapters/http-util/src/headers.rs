//! The headers that name a piece of work in the engine's world.
//!
//! A name that no header may hold is left out: it must neither break the request nor split it in two.

use adapter_api::WorkOrder;
use http::{HeaderName, HeaderValue};

/// `X-Request-Id` and, where there is a trace, `traceparent` and `tracestate`.
pub fn order_headers(order: &WorkOrder) -> Vec<(HeaderName, HeaderValue)> {
    let trace = order.trace.as_deref();
    let named = [
        ("x-request-id", Some(&order.request_id)),
        ("traceparent", trace.map(|trace| &trace.traceparent)),
        ("tracestate", trace.and_then(|trace| trace.tracestate.as_ref())),
    ];
    named
        .into_iter()
        .filter_map(|(name, value)| {
            let value = HeaderValue::from_str(value?).ok()?;
            Some((HeaderName::from_static(name), value))
        })
        .collect()
}

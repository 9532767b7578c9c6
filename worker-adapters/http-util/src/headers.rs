//! The headers that name a piece of work in the engine's world.
//!
//! A name that no header may hold is left out: it must neither break the request nor split it in two.

use adapter_api::WorkOrder;
use http::{HeaderName, HeaderValue};

/// `X-Request-Id` and, where there is one, `traceparent`.
pub fn order_headers(order: &WorkOrder) -> Vec<(HeaderName, HeaderValue)> {
    let named = [("x-request-id", Some(&order.request_id)), ("traceparent", order.traceparent.as_ref())];
    named
        .into_iter()
        .filter_map(|(name, value)| {
            let value = HeaderValue::from_str(value?).ok()?;
            Some((HeaderName::from_static(name), value))
        })
        .collect()
}

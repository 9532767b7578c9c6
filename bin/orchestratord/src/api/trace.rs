//! The trace that a request belongs to.

use std::sync::Arc;

use axum::http::HeaderMap;

/// The W3C trace context, if it looks like one: `00-<32 hex>-<16 hex>-<2 hex>`.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<Arc<str>> {
    let given = headers.get("traceparent")?.to_str().ok()?;
    let lengths: Vec<_> = given.split('-').map(str::len).collect();
    let hex = given.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    (hex && lengths == [2, 32, 16, 2]).then(|| given.into())
}

//! The name of a request in every answer and every log line.

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

/// A correlation id: the client's own if it is harmless, else a fresh one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorrelationId(Arc<str>);

impl CorrelationId {
    /// The id of a request with these headers.
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get("x-correlation-id").and_then(|value| value.to_str().ok());
        match given.filter(|id| is_harmless(id)) {
            Some(id) => Self(id.into()),
            None => {
                let mut text = Uuid::encode_buffer();
                Self(Arc::from(&*Uuid::new_v4().hyphenated().encode_lower(&mut text)))
            }
        }
    }

    /// It as the value of `X-Correlation-Id`, for the answer.
    pub fn header(&self) -> HeaderValue {
        // It holds visible ASCII only, by its own rule.
        HeaderValue::from_str(&self.0).unwrap_or_else(|_invalid| HeaderValue::from_static("invalid"))
    }

    /// Its text, for what outlives the request.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Short, and free of what could break a log line or a terminal.
fn is_harmless(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    // X12
    #[test]
    fn a_harmless_id_is_kept_and_any_other_is_replaced() {
        let of = |id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-correlation-id", HeaderValue::from_str(id).unwrap());
            CorrelationId::of(&headers).to_string()
        };
        assert_eq!(of("req-7.a_B"), "req-7.a_B");
        for bad in ["", "a b", "a{\"b\":1}", &"x".repeat(65)] {
            assert!(Uuid::parse_str(&of(bad)).is_ok(), "{bad}");
        }
    }
}

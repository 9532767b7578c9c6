//! What the adapter sends to its engine, and what it makes of answers that are no stream.
#![cfg(test)]

mod probe;
mod refusals;
mod requests;

use std::time::Duration;

use adapter_api::{Input, WorkOrder};
use http_util::{EngineHttp, HttpTimeouts};
use llamacpp_http::LlamaCpp;

/// An adapter for the engine at `url`.
fn adapter(url: &str, key: Option<&str>) -> LlamaCpp {
    let timeouts = HttpTimeouts {
        connect: Duration::from_secs(5),
        question: Duration::from_secs(5),
        silence: Duration::from_secs(10),
    };
    LlamaCpp::new(EngineHttp::new(url.parse().unwrap(), key, timeouts).unwrap())
}

/// An order that leaves all that can be left to the engine.
fn plain_order() -> WorkOrder {
    mock::wire::plain_order(Input::text("Count:"))
}

//! What the adapter sends to its engine, and what it makes of answers that are no stream.
#![cfg(test)]

mod probe;
mod refusals;
mod requests;

use std::{sync::Arc, time::Duration};

use adapter_api::{
    AdapterError, Finish, Input, Progress, Sampling, TokenBatch, WorkOrder, WorkerAdapter, next,
};
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
    WorkOrder {
        request_id: "r-1".into(),
        model: "m".into(),
        input: Input::text("Count:"),
        max_tokens: 5,
        sampling: Sampling::default(),
        traceparent: None,
    }
}

/// Submits an order and takes its answer to the end.
async fn run(adapter: &LlamaCpp, order: WorkOrder) -> Result<(String, Finish), AdapterError> {
    let mut stream = adapter.submit(Arc::new(order)).await?;
    let (mut text, mut batch) = (String::new(), TokenBatch::new());
    loop {
        batch.clear();
        let progress = next(stream.as_mut(), &mut batch).await?;
        text.extend(batch.pieces().map(|piece| piece.text));
        if let Progress::Ended(finish) = progress {
            return Ok((text, finish));
        }
    }
}

//! The suite of the seam, run against an engine that plays llama.cpp's answers byte by byte.
#![cfg(test)]

use std::{sync::Arc, time::Duration};

use adapter_api::conformance::{API_KEY, Behaviour, run};
use http_util::{EngineHttp, HttpTimeouts};
use llamacpp_http::LlamaCpp;
use mock::wire::{Act, Persona, Script, WireHarness, answer};

fn refusal(behaviour: Behaviour) -> Script {
    let (status, kind, message) = match behaviour {
        Behaviour::Refuses => ("400 Bad Request", "invalid_request_error", "the grammar is\\nwrong"),
        Behaviour::Busy => ("503 Service Unavailable", "unavailable_error", "no slot available"),
        _ => ("503 Service Unavailable", "unavailable_error", "Loading model"),
    };
    let body = format!(r#"{{"error":{{"code":0,"message":"{message}","type":"{kind}"}}}}"#);
    vec![Act::Send(answer(status, &body).into_bytes()), Act::Close]
}

#[tokio::test]
async fn llamacpp_keeps_the_promises_of_an_adapter() {
    let harness = WireHarness::new(Persona::llamacpp(2), refusal, |url| {
        let timeouts = HttpTimeouts {
            connect: Duration::from_secs(5),
            question: Duration::from_secs(5),
            silence: Duration::from_secs(1),
        };
        Arc::new(LlamaCpp::new(EngineHttp::new(url.parse().unwrap(), Some(API_KEY), timeouts).unwrap()))
    });
    run(&harness).await;
    // Each behaviour once, and the one that is dropped while it is well.
    assert_eq!(harness.engines(), Behaviour::ALL.len() + 1);
    let with_key = harness.seen().iter().filter(|seen| seen.head.contains(API_KEY)).count();
    assert_eq!(with_key, harness.engines());
}

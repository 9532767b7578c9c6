//! The suite of the seam, run against an engine that plays TGI's answers byte by byte.
#![cfg(test)]

use std::{sync::Arc, time::Duration};

use adapter_api::conformance::{API_KEY, Behaviour, run};
use http_util::{EngineHttp, HttpTimeouts};
use mock::wire::{Act, Persona, Script, WireHarness, answer, body_end, stream_head};
use tgi_http::Tgi;

/// This engine says no inside a stream that began well.
fn refusal(behaviour: Behaviour) -> Script {
    let event = match behaviour {
        Behaviour::Refuses => {
            r#"{"error":"Input validation error: `inputs` cannot be empty","error_type":"validation"}"#
        }
        Behaviour::Busy => r#"{"error":"Model is overloaded","error_type":"overloaded"}"#,
        _ => {
            let unhealthy =
                answer("503 Service Unavailable", r#"{"error":"unhealthy","error_type":"healthcheck"}"#);
            return vec![Act::Send(unhealthy.into_bytes()), Act::Close];
        }
    };
    vec![stream_head(), Act::Chunk(format!("data: {event}\n\n").into_bytes()), body_end()]
}

#[tokio::test]
async fn tgi_keeps_the_promises_of_an_adapter() {
    let harness = WireHarness::new(Persona::tgi(), refusal, |url| {
        let timeouts = HttpTimeouts {
            connect: Duration::from_secs(5),
            question: Duration::from_secs(5),
            silence: Duration::from_secs(1),
        };
        Arc::new(Tgi::new(EngineHttp::new(url.parse().unwrap(), Some(API_KEY), timeouts).unwrap()))
    });
    run(&harness).await;
    // Each behaviour once, and the one that is dropped while it is well.
    assert_eq!(harness.engines(), Behaviour::ALL.len() + 1);
    let with_key = harness.seen().iter().filter(|seen| seen.head.contains(API_KEY)).count();
    assert_eq!(with_key, harness.engines());
}

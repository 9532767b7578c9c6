//! The suite of the seam, run against an engine that plays vLLM's answers byte by byte.
#![cfg(test)]

use std::{sync::Arc, time::Duration};

use adapter_api::conformance::{API_KEY, Behaviour, run};
use http_util::{EngineHttp, HttpTimeouts};
use mock::wire::{Act, Persona, Script, WireHarness, answer};
use vllm_http::Vllm;

const REFUSED: &str = "{\"error\":{\"message\":\"the grammar is wrong\",\"type\":\"BadRequestError\",\"param\":null,\"code\":400}}";
const BUSY: &str = "{\"error\":{\"message\":\"The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.\",\"type\":\"Service Unavailable\",\"param\":null,\"code\":503}}";
const LOADING: &str = "{\"error\":{\"message\":\"Service is unhealthy\",\"type\":\"x\",\"code\":503}}";

fn refusal(behaviour: Behaviour) -> Script {
    let said = match behaviour {
        Behaviour::Refuses => answer("400 Bad Request", REFUSED),
        Behaviour::Busy => answer("503 Service Unavailable", BUSY),
        _ => answer("503 Service Unavailable", LOADING),
    };
    vec![Act::Send(said.into_bytes()), Act::Close]
}

#[tokio::test]
async fn vllm_keeps_the_promises_of_an_adapter() {
    let harness = WireHarness::new(Persona::vllm(), refusal, |url| {
        let timeouts = HttpTimeouts {
            connect: Duration::from_secs(5),
            question: Duration::from_secs(5),
            silence: Duration::from_secs(1),
        };
        Arc::new(Vllm::new(EngineHttp::new(url.parse().unwrap(), Some(API_KEY), timeouts).unwrap()))
    });
    run(&harness).await;
    // Each behaviour once, and the one that is dropped while it is well.
    assert_eq!(harness.engines(), Behaviour::ALL.len() + 1);
    let with_key = harness.seen().iter().filter(|seen| seen.head.contains(API_KEY)).count();
    assert_eq!(with_key, harness.engines());
}

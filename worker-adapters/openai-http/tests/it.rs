//! What is sent to the engine, and what is learnt from it.
#![cfg(test)]

use std::time::Duration;

use adapter_api::{AdapterError, Input, WorkOrder, WorkerAdapter};
use http_util::{EngineHttp, HttpTimeouts};
use mock::wire::{Persona, ScriptedEngine, conversation, every_wish, plain_order, seen_of, wishing};
use openai_http::OpenAi;
use serde_json::{Value, json};

fn adapter(engine: &ScriptedEngine) -> OpenAi {
    let timeouts = HttpTimeouts {
        connect: Duration::from_secs(5),
        question: Duration::from_secs(5),
        silence: Duration::from_secs(10),
    };
    OpenAi::new(EngineHttp::new(engine.url().parse().unwrap(), None, timeouts).unwrap())
}

async fn engine() -> ScriptedEngine {
    ScriptedEngine::start_as(Persona::openai()).await.unwrap()
}

/// The path and the body that the engine sees.
async fn sent(order: WorkOrder) -> (String, Value) {
    let engine = engine().await;
    let seen = seen_of(&engine, &adapter(&engine), order).await.unwrap();
    assert_eq!(seen.header("x-request-id"), Some("r-1"));
    (seen.path().to_owned(), serde_json::from_str(&seen.body).unwrap())
}

#[tokio::test]
async fn an_order_without_wishes_leaves_sampling_to_the_engine() {
    let (path, body) = sent(plain_order(Input::text("Count:"))).await;
    assert_eq!(path, "/v1/completions");
    let wanted = json!({"model": "org/scripted", "prompt": "Count:", "max_tokens": 5, "stream": true,
        "stream_options": {"include_usage": true}});
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn every_wish_of_an_order_becomes_its_field_and_nothing_else_does() {
    let (_, body) = sent(wishing(Input::text("a\0\u{2028}😀\""), every_wish())).await;
    let wanted = json!({"model": "org/scripted", "prompt": "a\0\u{2028}😀\"", "max_tokens": 5, "stream": true,
        "stream_options": {"include_usage": true}, "seed": 7, "temperature": 0.5, "top_p": 0.25,
        "presence_penalty": 0.75, "frequency_penalty": -0.5, "stop": [" 4", "\n\""]});
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn a_conversation_goes_to_the_route_that_knows_the_template() {
    let (input, turns) = conversation();
    let (path, body) = sent(plain_order(input)).await;
    assert_eq!(path, "/v1/chat/completions");
    let wanted = json!({"model": "org/scripted", "messages": turns, "max_tokens": 5, "stream": true,
        "stream_options": {"include_usage": true}});
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn a_server_that_knows_only_its_models_is_usable() {
    let engine = engine().await;
    let report = adapter(&engine).probe().await.unwrap();
    assert_eq!(report.models, ["org/scripted", "scripted"]);
    assert_eq!((report.version, report.ctx_max, report.slots_total), (None, None, None));
}

#[tokio::test]
async fn what_a_server_tells_beyond_its_models_is_kept() {
    let persona =
        Persona::openai().saying("/health", "{}").saying("/version", r#"{"version":"1.2"}"#).saying(
            "/v1/models",
            r#"{"data":[{"id":"a","meta":{"n_ctx":8192}},{"id":"b","max_model_len":4096}]}"#,
        );
    let engine = ScriptedEngine::start_as(persona).await.unwrap();
    let report = adapter(&engine).probe().await.unwrap();
    assert_eq!((report.version.as_deref(), report.ctx_max), (Some("1.2"), Some(4_096)));
    assert_eq!(report.models, ["a", "b"]);
}

#[tokio::test]
async fn a_server_without_a_model_or_with_nonsense_is_not_usable() {
    let unfit = |body| Persona::openai().saying("/v1/models", body);
    let engine = ScriptedEngine::start_as(unfit(r#"{"data":[]}"#)).await.unwrap();
    assert!(matches!(adapter(&engine).probe().await, Err(AdapterError::Unreachable { .. })));
    let engine = ScriptedEngine::start_as(unfit("<html>")).await.unwrap();
    assert!(matches!(adapter(&engine).probe().await, Err(AdapterError::Protocol { .. })));
}

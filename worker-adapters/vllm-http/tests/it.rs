//! What is sent to the engine, and what is learnt from it.
#![cfg(test)]

use std::time::Duration;

use adapter_api::{AdapterError, Input, WorkOrder, WorkerAdapter};
use http_util::{EngineHttp, HttpTimeouts};
use mock::wire::{
    Act, Persona, ScriptedEngine, answer, body_end, conversation, every_wish, plain_order, run_order,
    seen_of, stream_head, wishing,
};
use serde_json::{Value, json};
use vllm_http::Vllm;

fn adapter(engine: &ScriptedEngine) -> Vllm {
    let timeouts = HttpTimeouts {
        connect: Duration::from_secs(5),
        question: Duration::from_secs(5),
        silence: Duration::from_secs(10),
    };
    Vllm::new(EngineHttp::new(engine.url().parse().unwrap(), None, timeouts).unwrap())
}

async fn engine() -> ScriptedEngine {
    ScriptedEngine::start_as(Persona::vllm()).await.unwrap()
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
    let wanted = json!({"model": "scripted", "prompt": "Count:", "max_tokens": 5, "stream": true,
        "stream_options": {"include_usage": true}});
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn every_wish_of_an_order_becomes_its_field_and_nothing_else_does() {
    let (_, body) = sent(wishing(Input::text("a\0\u{2028}😀\""), every_wish())).await;
    let wanted = json!({"model": "scripted", "prompt": "a\0\u{2028}😀\"", "max_tokens": 5, "stream": true,
        "stream_options": {"include_usage": true}, "seed": 7, "temperature": 0.5, "top_p": 0.25, "top_k": 40,
        "min_p": 0.125, "repetition_penalty": 1.25, "presence_penalty": 0.75, "frequency_penalty": -0.5,
        "stop": [" 4", "\n\""]});
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn a_conversation_goes_to_the_route_that_knows_the_template() {
    let (input, turns) = conversation();
    let (path, body) = sent(plain_order(input)).await;
    assert_eq!(path, "/v1/chat/completions");
    let wanted = json!({"model": "scripted", "messages": turns, "max_tokens": 5, "stream": true,
        "stream_options": {"include_usage": true}});
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn a_probe_tells_what_the_engine_serves_and_how_much_of_it_works() {
    let engine = engine().await;
    let report = adapter(&engine).probe().await.unwrap();
    assert_eq!(report.version.as_deref(), Some("0.32.0"));
    assert_eq!(report.models, ["scripted", "/models/scripted-hf", "scripted-hf"]);
    assert_eq!((report.slots_total, report.slots_busy, report.ctx_max), (None, Some(3), Some(4_096)));
}

#[tokio::test]
async fn a_recorded_list_of_models_gives_the_context() {
    let persona = Persona::vllm().saying("/v1/models", include_str!("transcripts/models.json"));
    let engine = ScriptedEngine::start_as(persona).await.unwrap();
    let report = adapter(&engine).probe().await.unwrap();
    assert_eq!(report.models[0], "tiny-counter");
    assert_eq!(report.ctx_max, Some(4_096));
}

#[tokio::test]
async fn an_engine_that_hides_its_numbers_is_still_usable_and_one_without_health_is_not() {
    let hidden = Persona::vllm().without("/metrics").without("/version");
    let engine = ScriptedEngine::start_as(hidden).await.unwrap();
    let report = adapter(&engine).probe().await.unwrap();
    assert_eq!((report.slots_busy, report.version), (None, None));
    let engine = ScriptedEngine::start_as(Persona::vllm().without("/health")).await.unwrap();
    assert!(matches!(adapter(&engine).probe().await, Err(AdapterError::Unreachable { .. })));
}

#[tokio::test]
async fn a_recorded_refusal_keeps_the_engines_reason() {
    let engine = engine().await;
    let said = answer("400 Bad Request", include_str!("transcripts/prompt_too_long.json"));
    engine.push(vec![Act::Send(said.into_bytes()), Act::Close]);
    let error = run_order(&adapter(&engine), plain_order(Input::text("Count:"))).await.unwrap_err();
    let AdapterError::Refused { message } = &error else { panic!("{error:?}") };
    assert!(message.starts_with("This model's maximum context length is 4096 tokens."), "{message}");
}

/// An answer whose events carry this id.
fn answer_with_id(id: &str) -> Vec<Act> {
    let event = |choices: &str| {
        Act::Chunk(format!("data: {{\"id\":\"{id}\",\"choices\":[{choices}]}}\n\n").into_bytes())
    };
    vec![
        stream_head(),
        event(r#"{"index":0,"text":" 1","finish_reason":null}"#),
        event(r#"{"index":0,"text":"","finish_reason":"stop"}"#),
        Act::Chunk(b"data: [DONE]\n\n".to_vec()),
        body_end(),
    ]
}

// E21
#[tokio::test]
async fn an_answer_under_another_jobs_name_is_refused_once_names_are_echoed() {
    let engine = ScriptedEngine::start_as(Persona::vllm()).await.unwrap();
    let adapter = adapter(&engine);
    let ask = async |id: &str| {
        engine.push(answer_with_id(id));
        run_order(&adapter, plain_order(Input::text("p"))).await.map(|(text, _)| text)
    };
    // As long as nothing was echoed, a gateway's own names are as good as any.
    assert_eq!(ask("cmpl-gateway-7").await.unwrap(), " 1");
    assert_eq!(ask("cmpl-r-1").await.unwrap(), " 1");
    let mixed_up = ask("cmpl-r-2").await.unwrap_err();
    assert!(
        matches!(&mixed_up, AdapterError::Protocol { what } if what.contains("another job")),
        "{mixed_up:?}"
    );
    assert_eq!(ask("cmpl-r-1-0").await.unwrap(), " 1");
}

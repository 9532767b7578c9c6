//! What is sent to the engine, and what is learnt from it.
#![cfg(test)]

use std::{sync::Arc, time::Duration};

use adapter_api::{
    AdapterError, Finish, Input, Message, Progress, Role, Sampling, TokenBatch, WorkOrder, WorkerAdapter,
    next,
};
use http_util::{EngineHttp, HttpTimeouts};
use mock::wire::{Act, Persona, ScriptedEngine, answer};
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

fn order(input: Input) -> WorkOrder {
    WorkOrder {
        request_id: "r-1".into(),
        model: "scripted".into(),
        input,
        max_tokens: 5,
        sampling: Sampling::default(),
        traceparent: None,
    }
}

fn full() -> Sampling {
    Sampling {
        seed: Some(7),
        temperature: Some(0.5),
        top_p: Some(0.25),
        top_k: Some(40),
        stop: vec![" 4".to_owned(), "\n\"".to_owned()],
    }
}

/// Submits an order and takes its answer to the end.
async fn run(adapter: &Vllm, order: WorkOrder) -> Result<(String, Finish), AdapterError> {
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

/// The path and the body that the engine sees.
async fn sent(order: WorkOrder) -> (String, Value) {
    let engine = engine().await;
    let adapter = adapter(&engine);
    adapter.probe().await.unwrap();
    run(&adapter, order).await.unwrap();
    let seen = engine.seen().remove(0);
    assert!(seen.head.to_lowercase().contains("\r\nx-request-id: r-1\r\n"), "{}", seen.head);
    let path = seen.head.split(' ').nth(1).unwrap().to_owned();
    (path, serde_json::from_str(&seen.body).unwrap())
}

fn chat() -> Input {
    Input::Chat(vec![
        Message::new(Role::System, "be brief"),
        Message::new(Role::User, "hi \"you\""),
        Message::new(Role::Assistant, "yes?"),
        Message::new(Role::Tool, "42"),
    ])
}

fn turns() -> Value {
    json!([
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi \"you\""},
        {"role": "assistant", "content": "yes?"},
        {"role": "tool", "content": "42"},
    ])
}

#[tokio::test]
async fn an_order_without_wishes_leaves_sampling_to_the_engine() {
    let (path, body) = sent(order(Input::text("Count:"))).await;
    assert_eq!(path, "/v1/completions");
    let wanted = json!({"model": "scripted", "prompt": "Count:", "max_tokens": 5, "stream": true,
        "stream_options": {"include_usage": true}});
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn every_wish_of_an_order_becomes_its_field_and_nothing_else_does() {
    let (_, body) = sent(WorkOrder { sampling: full(), ..order(Input::text("a\0\u{2028}😀\"")) }).await;
    let wanted = json!({"model": "scripted", "prompt": "a\0\u{2028}😀\"", "max_tokens": 5, "stream": true,
        "stream_options": {"include_usage": true}, "seed": 7, "temperature": 0.5, "top_p": 0.25, "top_k": 40,
        "stop": [" 4", "\n\""]});
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn a_conversation_goes_to_the_route_that_knows_the_template() {
    let (path, body) = sent(order(chat())).await;
    assert_eq!(path, "/v1/chat/completions");
    let wanted = json!({"model": "scripted", "messages": turns(), "max_tokens": 5, "stream": true,
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
    let error = run(&adapter(&engine), order(Input::text("Count:"))).await.unwrap_err();
    let AdapterError::Refused { message } = &error else { panic!("{error:?}") };
    assert!(message.starts_with("This model's maximum context length is 4096 tokens."), "{message}");
}

//! What is sent to the engine, and what is learnt from it.
#![cfg(test)]

use std::{sync::Arc, time::Duration};

use adapter_api::{
    AdapterError, Finish, Input, Message, Progress, Role, Sampling, TokenBatch, WorkOrder, WorkerAdapter,
    next,
};
use http_util::{EngineHttp, HttpTimeouts};
use mock::wire::{Persona, ScriptedEngine};
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
async fn run(adapter: &OpenAi, order: WorkOrder) -> Result<(String, Finish), AdapterError> {
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
    let wanted = json!({"model": "org/scripted", "prompt": "Count:", "max_tokens": 5, "stream": true,
        "stream_options": {"include_usage": true}});
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn every_wish_of_an_order_becomes_its_field_and_nothing_else_does() {
    let (_, body) = sent(WorkOrder { sampling: full(), ..order(Input::text("a\0\u{2028}😀\"")) }).await;
    let wanted = json!({"model": "org/scripted", "prompt": "a\0\u{2028}😀\"", "max_tokens": 5, "stream": true,
        "stream_options": {"include_usage": true}, "seed": 7, "temperature": 0.5, "top_p": 0.25,
        "stop": [" 4", "\n\""]});
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn a_conversation_goes_to_the_route_that_knows_the_template() {
    let (path, body) = sent(order(chat())).await;
    assert_eq!(path, "/v1/chat/completions");
    let wanted = json!({"model": "org/scripted", "messages": turns(), "max_tokens": 5, "stream": true,
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

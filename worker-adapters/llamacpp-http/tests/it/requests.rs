//! What is sent: exactly the typed fields, and exactly the headers that have a meaning.

use std::sync::Arc;

use adapter_api::{AdapterError, Generate, Input, OutputShape, PassedOn, Sampling, Work, WorkOrder};
use mock::wire::{Persona, ScriptedEngine, Seen, conversation, every_wish, order_of, run_order};
use serde_json::{Value, json};

use crate::{adapter, plain_order};

async fn sent(key: Option<&str>, order: WorkOrder) -> Seen {
    let engine = ScriptedEngine::start(1).await.unwrap();
    run_order(&adapter(&engine.url(), key), order).await.unwrap();
    engine.seen().remove(0)
}

fn header_names(seen: &Seen) -> Vec<String> {
    let lines = seen.head.lines().skip(1).filter(|line| !line.is_empty());
    let mut names: Vec<String> = lines.map(|line| line.split(':').next().unwrap().to_lowercase()).collect();
    names.sort();
    names
}

fn header<'a>(seen: &'a Seen, name: &str) -> &'a str {
    seen.header(name).unwrap_or_else(|| panic!("no header {name} in {:?}", seen.head))
}

fn fixed_fields() -> Value {
    json!({
        "stream": true,
        "cache_prompt": true,
        "sse_ping_interval": 2,
        "response_fields": [
            "index", "content", "stop", "stop_type", "tokens_predicted", "tokens_evaluated", "truncated",
            "timings/cache_n", "timings/predicted_ms",
        ],
    })
}

fn with(fields: Value) -> Value {
    let mut all = fixed_fields();
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    all.as_object_mut().unwrap().extend(fields);
    all
}

#[tokio::test]
async fn an_order_without_wishes_leaves_sampling_to_the_engine() {
    let seen = sent(None, plain_order()).await;
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(body, with(json!({"prompt": "Count:", "n_predict": 5})));
}

#[tokio::test]
async fn every_wish_of_an_order_becomes_its_field_and_nothing_else_does() {
    let text = Input::text("a \"b\"\r\n\0\u{2028}é😀 \",\"n_predict\":9999");
    let generate = Generate {
        sampling: Sampling {
            seed: Some(u64::from(u32::MAX)),
            temperature: Some(0.0),
            top_k: Some(0),
            ..every_wish()
        },
        shape: OutputShape::Json,
        ..Generate::from(text, u32::MAX)
    };
    let seen = sent(None, order_of(Work::Generate(generate))).await;
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    let wanted = with(json!({
        "prompt": "a \"b\"\r\n\0\u{2028}é😀 \",\"n_predict\":9999",
        "n_predict": u32::MAX,
        "seed": u32::MAX,
        "temperature": 0.0,
        "top_p": 0.25,
        "top_k": 0,
        "min_p": 0.125,
        "presence_penalty": 0.75,
        "frequency_penalty": -0.5,
        "repeat_penalty": 1.25,
        "stop": [" 4", "\n\""],
        "json_schema": {},
    }));
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn only_headers_with_a_meaning_are_sent() {
    let seen = sent(None, plain_order()).await;
    assert!(seen.head.starts_with("POST /completion HTTP/1.1\r\n"));
    let plain = ["accept", "content-length", "content-type", "host", "x-request-id"];
    assert_eq!(header_names(&seen), plain);
    assert_eq!(header(&seen, "content-type"), "application/json");
    assert_eq!(header(&seen, "accept"), "text/event-stream");
    assert_eq!(header(&seen, "x-request-id"), "r-1");
}

#[tokio::test]
async fn a_key_and_a_trace_context_are_passed_on() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let passed_on = PassedOn { traceparent: trace.into(), tracestate: Some("a=1,b=2".into()) };
    let order = WorkOrder { trace: Some(Arc::new(passed_on)), ..plain_order() };
    let seen = sent(Some("k-1"), order).await;
    let all = [
        "accept",
        "authorization",
        "content-length",
        "content-type",
        "host",
        "traceparent",
        "tracestate",
        "x-request-id",
    ];
    assert_eq!(header_names(&seen), all);
    // The scheme is case-sensitive for this engine.
    assert_eq!(header(&seen, "authorization"), "Bearer k-1");
    assert_eq!((header(&seen, "traceparent"), header(&seen, "tracestate")), (trace, "a=1,b=2"));
}

#[tokio::test]
async fn a_name_that_no_header_may_hold_is_left_out_and_splits_nothing() {
    let order = WorkOrder { request_id: "r\r\nX-Conversation-Id: 1".into(), ..plain_order() };
    let seen = sent(None, order).await;
    assert_eq!(header_names(&seen), ["accept", "content-length", "content-type", "host"]);
}

#[tokio::test]
async fn an_engine_behind_a_path_is_asked_below_that_path() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let refused = run_order(&adapter(&format!("{}/llm/", engine.url()), None), plain_order()).await;
    // The scripted engine serves the bare path only, so that being refused shows where was asked.
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("404"), "{said}");
    assert!(engine.seen().is_empty());
}

fn chat() -> WorkOrder {
    mock::wire::plain_order(conversation().0)
}

#[tokio::test]
async fn a_conversation_is_put_into_the_models_shape_by_the_engine() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    run_order(&adapter(&engine.url(), None), chat()).await.unwrap();
    let body: Value = serde_json::from_str(&engine.seen()[0].body).unwrap();
    assert_eq!(body["prompt"], "<user>hi</user><assistant>");
}

#[tokio::test]
async fn a_template_that_the_engine_cannot_apply_ends_the_work_before_it_begins() {
    let table = [
        (Persona::llamacpp(1).without("/apply-template"), "404"),
        (Persona::llamacpp(1).saying("/apply-template", "[]"), "/apply-template answered no JSON"),
    ];
    for (persona, reason) in table {
        let engine = ScriptedEngine::start_as(persona).await.unwrap();
        let error = run_order(&adapter(&engine.url(), None), chat()).await.unwrap_err();
        assert!(
            matches!(error, AdapterError::Protocol { .. }) && error.to_string().contains(reason),
            "{error}"
        );
        assert!(engine.seen().is_empty());
    }
}

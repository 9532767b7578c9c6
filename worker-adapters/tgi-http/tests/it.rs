//! What is sent to the engine, and what is learnt from it.
#![cfg(test)]

use std::{sync::Arc, time::Duration};

use adapter_api::{
    AdapterError, Finish, Input, Message, Progress, Role, Sampling, TokenBatch, WorkOrder, WorkerAdapter,
    next,
};
use http_util::{EngineHttp, HttpTimeouts};
use mock::wire::{Act, Persona, ScriptedEngine, Voice, answer};
use serde_json::{Value, json};
use tgi_http::Tgi;

fn adapter(engine: &ScriptedEngine) -> Tgi {
    let timeouts = HttpTimeouts {
        connect: Duration::from_secs(5),
        question: Duration::from_secs(5),
        silence: Duration::from_secs(10),
    };
    Tgi::new(EngineHttp::new(engine.url().parse().unwrap(), None, timeouts).unwrap())
}

async fn engine() -> ScriptedEngine {
    ScriptedEngine::start_as(Persona::tgi()).await.unwrap()
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
async fn run(adapter: &Tgi, order: WorkOrder) -> Result<(String, Finish), AdapterError> {
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
    let chat = matches!(order.input, Input::Chat(_));
    let voice = if chat { Voice::OPENAI } else { Voice::TGI };
    engine.push(voice.completion(&[" ok"], mock::wire::Ending::Eos));
    assert_eq!(run(&adapter, order).await.unwrap().0, " ok");
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

async fn parameters(sampling: Sampling) -> Value {
    let (path, body) = sent(WorkOrder { sampling, ..order(Input::text("Count:")) }).await;
    assert_eq!((path.as_str(), &body["inputs"]), ("/generate_stream", &json!("Count:")));
    assert_eq!(body.as_object().unwrap().len(), 2);
    body["parameters"].clone()
}

#[tokio::test]
async fn an_order_without_wishes_leaves_sampling_to_the_engine() {
    assert_eq!(parameters(Sampling::default()).await, json!({"max_new_tokens": 5, "details": true}));
}

#[tokio::test]
async fn every_wish_of_an_order_becomes_its_parameter() {
    let wanted = json!({"max_new_tokens": 5, "details": true, "do_sample": true, "seed": 7,
        "temperature": 0.5, "top_p": 0.25, "top_k": 40, "stop": [" 4", "\n\""]});
    assert_eq!(parameters(full()).await, wanted);
}

#[tokio::test]
async fn greedy_is_said_by_leaving_out_all_that_would_sample() {
    let greedy = json!({"max_new_tokens": 5, "details": true, "seed": 7});
    let plain = || Sampling { stop: vec![], ..full() };
    assert_eq!(parameters(Sampling { temperature: Some(0.0), ..plain() }).await, greedy);
    assert_eq!(parameters(Sampling { top_p: Some(0.0), ..plain() }).await, greedy);
}

#[tokio::test]
async fn limits_that_limit_nothing_are_left_out() {
    let sampling = Sampling { top_p: Some(1.0), top_k: Some(0), ..Sampling::default() };
    assert_eq!(parameters(sampling).await, json!({"max_new_tokens": 5, "details": true}));
}

#[tokio::test]
async fn a_conversation_goes_to_the_route_that_knows_the_template() {
    let sampling = Sampling { top_p: Some(1.0), ..Sampling::default() };
    let (path, body) = sent(WorkOrder { sampling, ..order(chat()) }).await;
    assert_eq!(path, "/v1/chat/completions");
    let wanted = json!({"model": "tgi", "messages": turns(), "max_tokens": 5, "stream": true,
        "stream_options": {"include_usage": true}});
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn a_recorded_answer_to_info_gives_model_context_and_slots() {
    let persona = Persona::tgi().saying("/info", include_str!("transcripts/info.json"));
    let engine = ScriptedEngine::start_as(persona).await.unwrap();
    let report = adapter(&engine).probe().await.unwrap();
    assert_eq!(report.version.as_deref(), Some("3.3.6-dev0"));
    assert_eq!(report.models, ["/models/tiny-counter-hf", "tiny-counter-hf"]);
    assert_eq!((report.slots_total, report.slots_busy, report.ctx_max), (Some(128), None, Some(2_048)));
}

#[tokio::test]
async fn each_status_has_its_meaning() {
    let table = [
        (
            "429 Too Many Requests",
            r#"{"error":"Model is overloaded","error_type":"overloaded"}"#,
            AdapterError::Busy { retry_after: None },
        ),
        (
            "422 Unprocessable Entity",
            r#"{"error":"Input validation error: no","error_type":"validation"}"#,
            AdapterError::Refused { message: "Input validation error: no".to_owned() },
        ),
        (
            "424 Failed Dependency",
            r#"{"error":"Request failed during generation: x","error_type":"generation"}"#,
            AdapterError::Failed { message: "Request failed during generation: x".to_owned() },
        ),
        (
            "401 Unauthorized",
            "",
            AdapterError::Unreachable { reason: "the engine wants another API key".to_owned() },
        ),
        (
            "400 Bad Request",
            "Failed to parse the request body",
            AdapterError::Refused { message: "it answered 400".to_owned() },
        ),
    ];
    for (status, body, wanted) in table {
        let engine = engine().await;
        engine.push(vec![Act::Send(answer(status, body).into_bytes()), Act::Close]);
        let error = run(&adapter(&engine), order(Input::text("Count:"))).await.unwrap_err();
        assert_eq!(error, wanted, "{status}");
    }
}

//! What is sent to the engine, and what is learnt from it.
#![cfg(test)]

use std::time::Duration;

use adapter_api::{AdapterError, Input, Sampling, WorkOrder, WorkerAdapter};
use http_util::{EngineHttp, HttpTimeouts};
use mock::wire::{
    Act, Ending, Persona, ScriptedEngine, Voice, answer, conversation, every_wish, plain_order, run_order,
    seen_of, wishing,
};
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

/// The path and the body that the engine sees, which speaks with this voice.
async fn sent(voice: Voice, order: WorkOrder) -> (String, Value) {
    let engine = engine().await;
    engine.push(voice.completion(&[" ok"], Ending::Eos));
    let seen = seen_of(&engine, &adapter(&engine), order).await.unwrap();
    assert_eq!(seen.header("x-request-id"), Some("r-1"));
    (seen.path().to_owned(), serde_json::from_str(&seen.body).unwrap())
}

async fn parameters(sampling: Sampling) -> Value {
    let (path, body) = sent(Voice::TGI, wishing(Input::text("Count:"), sampling)).await;
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
        "temperature": 0.5, "top_p": 0.25, "top_k": 40, "frequency_penalty": -0.5,
        "repetition_penalty": 1.25, "stop": [" 4", "\n\""]});
    assert_eq!(parameters(every_wish()).await, wanted);
}

#[tokio::test]
async fn greedy_is_said_by_leaving_out_all_that_would_sample() {
    let greedy = json!({"max_new_tokens": 5, "details": true, "seed": 7});
    let plain = || Sampling { stop: vec![], frequency_penalty: None, repeat_penalty: None, ..every_wish() };
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
    let (input, turns) = conversation();
    let (path, body) = sent(Voice::OPENAI, wishing(input, sampling)).await;
    assert_eq!(path, "/v1/chat/completions");
    let wanted = json!({"model": "tgi", "messages": turns, "max_tokens": 5, "stream": true,
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
        let error = run_order(&adapter(&engine), plain_order(Input::text("Count:"))).await.unwrap_err();
        assert_eq!(error, wanted, "{status}");
    }
}

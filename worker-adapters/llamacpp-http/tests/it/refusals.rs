//! What each answer that is not a stream means.

use std::time::Duration;

use adapter_api::{AdapterError, Input, Sampling, WorkerAdapter};
use mock::wire::{Act, ScriptedEngine, answer, run_order, wishing};

use crate::{adapter, plain_order};

const PROMPT_TOO_LONG: &str = include_str!("../transcripts/prompt_too_long.json");

/// What the adapter makes of this status and this body.
async fn meaning(status: &str, body: &str) -> AdapterError {
    meaning_of(&answer(status, body)).await
}

async fn meaning_of(bytes: &str) -> AdapterError {
    let engine = ScriptedEngine::start(1).await.unwrap();
    engine.push(vec![Act::Send(bytes.as_bytes().to_vec()), Act::Close]);
    run_order(&adapter(&engine.url(), None), plain_order()).await.unwrap_err()
}

fn said(message: &str, kind: &str) -> String {
    format!(r#"{{"error":{{"code":1,"message":"{message}","type":"{kind}"}}}}"#)
}

fn busy(retry_after: Option<u64>) -> AdapterError {
    AdapterError::Busy { retry_after: retry_after.map(Duration::from_secs) }
}

// E08
#[tokio::test]
async fn each_status_has_its_meaning() {
    let unavailable = |message| said(message, "unavailable_error");
    let message = |text: &str| text.to_owned();
    let table = [
        (
            "400 Bad Request",
            said("no", "invalid_request_error"),
            AdapterError::Refused { message: message("no") },
        ),
        (
            "401 Unauthorized",
            said("Invalid API Key", "authentication_error"),
            AdapterError::Unreachable { reason: message("the engine wants another API key") },
        ),
        (
            "403 Forbidden",
            message("denied"),
            AdapterError::Unreachable { reason: message("the engine wants another API key") },
        ),
        ("429 Too Many Requests", message("slow down"), busy(None)),
        (
            "500 Internal Server Error",
            said("boom", "server_error"),
            AdapterError::Failed { message: message("boom") },
        ),
        (
            "501 Not Implemented",
            said("off", "not_supported_error"),
            AdapterError::Failed { message: message("off") },
        ),
        (
            "503 Service Unavailable",
            unavailable("Loading model"),
            AdapterError::Unreachable { reason: message("Loading model") },
        ),
        ("503 Service Unavailable", unavailable("no slot available"), busy(None)),
    ];
    for (status, body, wanted) in table {
        assert_eq!(meaning(status, &body).await, wanted, "{status} {body}");
    }
}

#[tokio::test]
async fn an_unknown_route_is_a_broken_protocol_and_not_the_requests_fault() {
    let error = meaning("404 Not Found", &said("File Not Found", "not_found_error")).await;
    let AdapterError::Protocol { what } = &error else { panic!("{error:?}") };
    assert!(what.contains("404") && what.contains("File Not Found"), "{what}");
    assert!(error.is_retriable());
}

#[tokio::test]
async fn the_engines_wish_to_wait_is_passed_on() {
    let asked = |status: &str, wish: &str| {
        answer(status, &said("no slot available", "unavailable_error")).replacen(
            "\r\n",
            &format!("\r\nRetry-After: {wish}\r\n"),
            1,
        )
    };
    assert_eq!(meaning_of(&asked("429 Too Many Requests", "7")).await, busy(Some(7)));
    assert_eq!(meaning_of(&asked("503 Service Unavailable", " 0 ")).await, busy(Some(0)));
    for unreadable in ["soon", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "99999999999999999999999"] {
        assert_eq!(meaning_of(&asked("429 Too Many Requests", unreadable)).await, busy(None), "{unreadable}");
    }
}

#[tokio::test]
async fn a_recorded_refusal_keeps_the_engines_reason() {
    let error = meaning("400 Bad Request", PROMPT_TOO_LONG).await;
    let message =
        "request (20000 tokens) exceeds the available context size (4096 tokens), try increasing it";
    assert_eq!(error, AdapterError::Refused { message: message.to_owned() });
}

// E07
#[tokio::test]
async fn a_good_status_with_json_instead_of_a_stream_is_a_broken_protocol() {
    for body in [said("late", "server_error"), r#"{"content":" 0 1","stop":true}"#.to_owned(), String::new()]
    {
        let error = meaning("200 OK", &body).await;
        assert!(matches!(error, AdapterError::Protocol { .. }), "{body}: {error:?}");
    }
}

#[tokio::test]
async fn a_long_dirty_reason_is_cut_and_cleaned() {
    let long = format!("one\\r\\ntwo\\u001b[31m {}", "é".repeat(5_000));
    let AdapterError::Refused { message } = meaning("400 Bad Request", &said(&long, "x")).await else {
        panic!("a 400 is a refusal");
    };
    assert!(message.starts_with("one  two"));
    assert!(message.len() <= 600, "{} bytes", message.len());
    assert!(!message.chars().any(char::is_control));
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_unreachable() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let adapter = adapter(&engine.url(), None);
    run_order(&adapter, plain_order()).await.unwrap();
    drop(engine);
    // Listening ends with the task that listens, which ends soon.
    let gone = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            match run_order(&adapter, plain_order()).await {
                Err(AdapterError::Unreachable { reason }) => return reason,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    });
    assert!(gone.await.unwrap().contains("no connection"));
    assert!(matches!(adapter.probe().await, Err(AdapterError::Unreachable { .. })));
}

// A stop text is a client's text as much as a prompt is.
#[tokio::test]
async fn no_text_of_a_client_shows_in_an_error_of_ours() {
    let stop = vec!["secret-stop".to_owned()];
    let order = wishing(Input::text("Count:"), Sampling { stop, ..Sampling::default() });
    for bytes in
        ["HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/?Count:secret-stop\r\n\r\n", "nonsense\r\n\r\n"]
    {
        let engine = ScriptedEngine::start(1).await.unwrap();
        engine.push(vec![Act::Send(bytes.as_bytes().to_vec()), Act::Close]);
        let error = run_order(&adapter(&engine.url(), Some("k-secret")), order.clone()).await.unwrap_err();
        let shown = format!("{error:?} {error}");
        assert!(!shown.contains("secret") && !shown.contains("Count:"), "{shown}");
    }
}

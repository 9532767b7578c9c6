//! Several engines, of which some are bad: what is tried where, and what is not tried again.

use std::time::Duration;

use mock::wire::{Act, Ending, ScriptedEngine, completion, stream_head, token};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{TestApp, engine_task, text_of};

/// A server over so many engines of one slot each, all of them ready.
async fn fleet(count: usize) -> (TestApp, Vec<ScriptedEngine>) {
    let mut engines = Vec::new();
    for _ in 0..count {
        engines.push(ScriptedEngine::start(1).await.unwrap());
    }
    let pools: Vec<_> = engines
        .iter()
        .enumerate()
        .map(|(index, engine)| format!("p{index}=llamacpp+{}", engine.url()))
        .collect();
    let app = TestApp::with(&[("ORCHD_POOLS", &pools.join(","))]).await;
    while app.get_json("/v2/meta/capabilities").await["engines"].as_array().unwrap().len() < count {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (app, engines)
}

fn task(prompt: &str) -> Value {
    let mut task = engine_task();
    task["prompt"] = json!(prompt);
    task
}

// E22
//= ORCH-3062 type=test
#[tokio::test]
async fn an_engine_that_is_well_by_its_own_word_and_fails_all_requests_gets_a_pause() {
    let (app, engines) = fleet(1).await;
    let engine = &engines[0];
    for number in 0..3 {
        engine.push(vec![stream_head(), token(" a", 1), Act::Reset]);
        let id = app.submit(&task(&format!("try {number}"))).await;
        assert_eq!(app.events(&id).await.last().unwrap().data["code"], "WORKER_RESET");
        // It answers the look that follows, as if nothing were wrong.
        let looked_at = engine.connections();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(engine.connections() >= looked_at);
    }
    let waits = app.submit(&task("another")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(engine.seen().len(), 3, "nothing is sent to it while its circuit is open");
    let why = app.get_json(&format!("/v2/tasks/{waits}/explain")).await;
    assert_eq!(why["choice"]["candidates"][0]["verdict"], "circuit_open", "{why}");
    assert_eq!(text_of(&app.events(&waits).await), " ok", "after the pause one request is tried");
    assert_eq!(engine.seen().len(), 4);
    app.finish().await;
}

// E23
//= ORCH-3063 type=test
#[tokio::test]
async fn a_request_that_breaks_two_engines_meets_no_third_one() {
    let (app, engines) = fleet(3).await;
    for engine in &engines {
        engine.push(vec![Act::Reset]);
    }
    let id = app.submit(&task("poison")).await;
    let error = app.events(&id).await.last().unwrap().data.clone();
    assert_eq!((&error["code"], &error["retriable"]), (&json!("POISONED"), &json!(false)), "{error}");
    let seen = || engines.iter().map(|engine| engine.seen().len()).sum::<usize>();
    assert_eq!(seen(), 2);
    let again = app.post("/v2/tasks", &task("poison")).await;
    assert_eq!(again.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(again.json::<Value>().await.unwrap()["code"], "POISONED");
    assert_eq!(seen(), 2);
    // What is harmless finds an engine, though one of them still has its bad answer ready.
    let harmless = app.submit(&task("harmless")).await;
    assert_eq!(text_of(&app.events(&harmless).await), " ok");
    app.finish().await;
}

// E20
#[tokio::test]
async fn an_engine_that_overlooks_a_cancel_gets_its_next_job_when_it_has_room_again() {
    let (app, engines) = fleet(1).await;
    let engine = &engines[0];
    engine.push(vec![stream_head(), token(" a", 1), Act::UntilGone]);
    // Its slot is still taken, although its client is gone: it says so, and how long.
    let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    engine.push(vec![Act::Send(busy.as_bytes().to_vec()), Act::Close]);
    engine.push(completion(&[" at last"], Ending::Eos));
    let first = app.submit(&task("first")).await;
    app.until_state(&first, "running").await;
    while engine.completions() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(app.cancel(&first).await, StatusCode::NO_CONTENT);
    let second = app.submit(&task("second")).await;
    assert_eq!(text_of(&app.events(&second).await), " at last");
    assert_eq!(app.get_json(&format!("/v2/tasks/{second}")).await["attempts"], 1);
    assert_eq!(engine.gone(), 1, "the connection of the canceled job was closed");
    app.finish().await;
}

//= ORCH-3030 type=test
#[tokio::test]
async fn an_engine_that_cannot_go_on_in_a_conversation_is_not_blamed_for_it() {
    let (a, b) = (
        ScriptedEngine::start_as(mock::wire::Persona::openai()).await.unwrap(),
        ScriptedEngine::start_as(mock::wire::Persona::openai()).await.unwrap(),
    );
    let pools = format!("a=openai+{},b=openai+{}", a.url(), b.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    while app.get_json("/v2/meta/capabilities").await["engines"].as_array().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let said = r#"data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}"#;
    a.push(vec![
        stream_head(),
        Act::Chunk(format!("{said}\n\n").into_bytes()),
        Act::Pause(Duration::from_millis(30)),
        Act::Reset,
    ]);
    let task = json!({"model_ref": "scripted", "messages": [{"role": "user", "content": "hi"}],
        "on_engine_loss": "continue", "determinism": "best_effort",
        "placement": {"mode": "prefer", "prefer_pools": ["a"]}});
    let id = app.submit(&task).await;
    let events = app.events(&id).await;
    assert_eq!(text_of(&events), "Hel");
    assert_eq!(events.last().unwrap().data["code"], "WORKER_RESET");
    assert!(b.seen().is_empty(), "it is not asked for what it cannot do");
    // It takes the next job at once: nothing is held against it.
    let next = json!({"model_ref": "scripted", "prompt": "p",
        "placement": {"mode": "pin", "pin_pool_id": "b"}});
    let next = app.submit(&next).await;
    assert_eq!(text_of(&app.events(&next).await), " ok");
    app.finish().await;
}

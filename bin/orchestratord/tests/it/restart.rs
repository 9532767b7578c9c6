//! Going down: what waits is told, what runs may finish, and nothing hangs.

use std::time::{Duration, Instant};

use mock::wire::{Act, Ending, ScriptedEngine, body_end, last, open_ended, stream_head, token};
use serde_json::json;

use crate::support::{TestApp, engine_task, parse, text_of};

// H31
#[tokio::test]
async fn a_shutdown_lets_running_jobs_finish_and_tells_waiting_ones() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    engine.push(vec![
        stream_head(),
        token(" a", 1),
        Act::Pause(Duration::from_millis(400)),
        token(" b", 2),
        last(Ending::Eos, 2),
        body_end(),
    ]);
    let pools = format!("default=llamacpp+{}", engine.url());
    let mut app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    let running = app.submit(&engine_task()).await;
    app.until_state(&running, "running").await;
    let waiting = app.submit(&engine_task()).await;
    let (client, base) = (app.client.clone(), app.url(""));
    let read = |id: String| {
        let request = client.get(format!("{base}/v2/tasks/{id}/events"));
        tokio::spawn(async move { request.send().await.unwrap().text().await.unwrap() })
    };
    let (running, waiting) = (read(running), read(waiting));
    tokio::time::sleep(Duration::from_millis(100)).await;
    app.stop().await;
    let running = parse(&running.await.unwrap());
    assert_eq!(text_of(&running), " a b");
    assert_eq!(running.last().unwrap().name, "end");
    let waiting = parse(&waiting.await.unwrap());
    let error = &waiting.last().unwrap().data;
    assert_eq!((&error["code"], &error["retriable"]), (&json!("WORKER_RESET"), &json!(true)));
}

#[tokio::test]
async fn a_shutdown_does_not_wait_longer_than_its_grace() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    engine.push(open_ended(&[" a"]));
    let pools = format!("default=llamacpp+{}", engine.url());
    let mut app = TestApp::with(&[("ORCHD_POOLS", &pools), ("ORCHD_SHUTDOWN_GRACE_MS", "300")]).await;
    let id = app.submit(&engine_task()).await;
    app.until_state(&id, "running").await;
    let request = app.client.get(app.url(&format!("/v2/tasks/{id}/events")));
    let reading = tokio::spawn(async move { request.send().await.unwrap().text().await.unwrap() });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    app.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let events = parse(&reading.await.unwrap());
    assert_eq!(text_of(&events), " a");
    assert_eq!(events.last().unwrap().data["code"], "WORKER_RESET");
    assert_eq!(engine.gone(), 1);
}

//! Waiting: order, bounds, and what a client is told about them.

use std::time::Duration;

use mock::wire::{Act, Ending, ScriptedEngine, body_end, completion, last, stream_head, token};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{TestApp, engine_task, text_of};

/// A server with one engine of one slot, and so many places to wait.
async fn one_slot(capacity: &str, policy: &str) -> (TestApp, ScriptedEngine) {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let pools = format!("default=llamacpp+{}", engine.url());
    let settings = [
        ("ORCHD_POOLS", pools.as_str()),
        ("ORCHD_ADMISSION_CAPACITY", capacity),
        ("ORCHD_ADMISSION_POLICY", policy),
    ];
    (TestApp::with(&settings).await, engine)
}

/// An answer that ends when its client has left.
fn held() -> Vec<Act> {
    vec![stream_head(), token(" held", 1), Act::UntilGone]
}

fn task(priority: &str) -> Value {
    let mut task = engine_task();
    task["priority"] = json!(priority);
    task
}

//= ORCH-2103 type=test
//= ORCH-3004 type=test
#[tokio::test]
async fn interactive_jobs_run_before_batch_jobs_and_each_class_in_its_order() {
    let (app, engine) = one_slot("10", "reject").await;
    engine.push(held());
    let first = app.submit(&task("batch")).await;
    app.until_state(&first, "running").await;
    let mut ids = Vec::new();
    for (priority, position) in [("batch", 0), ("interactive", 0), ("batch", 2), ("interactive", 1)] {
        let response = app.post("/v2/tasks", &task(priority)).await;
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["queue_position"], position, "{priority}");
        assert!(body["predicted_start_ms"].as_u64().is_some());
        ids.push(body["job_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(app.get_json(&format!("/v2/tasks/{}", ids[2])).await["queue_position"], 3);
    assert_eq!(app.get_json("/v2/pools/default/health").await["metrics"]["queue_depth"], 4);
    assert_eq!(app.cancel(&first).await, StatusCode::NO_CONTENT);
    let mut started = Vec::new();
    for id in &ids {
        let view = app.until_state(id, "completed").await;
        started.push((view["started_at"].as_str().unwrap().to_owned(), id.clone()));
    }
    started.sort();
    let order: Vec<_> = engine.seen()[1..].iter().map(|seen| request_id(&seen.head)).collect();
    assert_eq!(order, [&ids[1], &ids[3], &ids[0], &ids[2]].map(Clone::clone));
    app.finish().await;
}

fn request_id(head: &str) -> String {
    let line = head.lines().find_map(|line| line.strip_prefix("x-request-id: "));
    line.expect("every order names its job").to_owned()
}

// H14
//= ORCH-2007 type=test
//= ORCH-3005 type=test
#[tokio::test]
async fn a_full_queue_answers_at_once_with_a_computed_time() {
    let (app, engine) = one_slot("1", "reject").await;
    engine.push(held());
    let running = app.submit(&task("batch")).await;
    app.until_state(&running, "running").await;
    let waiting = app.submit(&task("interactive")).await;
    let mut waits = Vec::new();
    for _ in 0..2 {
        let response = app.post("/v2/tasks", &task("interactive")).await;
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        let retry_after: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        let backoff: u64 = response.headers()["x-backoff-ms"].to_str().unwrap().parse().unwrap();
        let body: Value = response.json().await.unwrap();
        assert_eq!((&body["code"], &body["policy_label"]), (&json!("ADMISSION_REJECT"), &json!("reject")));
        assert_eq!((&body["retriable"], &body["pool_id"]), (&json!(true), &json!("default")));
        assert_eq!(body["retry_after_ms"], backoff);
        assert_eq!(retry_after, backoff.div_ceil(1_000));
        assert!(retry_after >= 1);
        waits.push(backoff);
    }
    assert_eq!(app.cancel(&waiting).await, StatusCode::NO_CONTENT);
    assert_eq!(app.post("/v2/tasks", &task("interactive")).await.status(), StatusCode::ACCEPTED);
    assert_eq!(app.cancel(&running).await, StatusCode::NO_CONTENT);
    app.finish().await;
}

//= ORCH-3005 type=test
#[tokio::test]
async fn under_drop_lru_the_oldest_batch_job_makes_room_and_its_reader_is_told() {
    let (app, engine) = one_slot("2", "drop-lru").await;
    engine.push(held());
    let running = app.submit(&task("batch")).await;
    app.until_state(&running, "running").await;
    let oldest = app.submit(&task("batch")).await;
    let younger = app.submit(&task("batch")).await;
    let newcomer = app.submit(&task("interactive")).await;
    let events = app.events(&oldest).await;
    assert_eq!(text_of(&events), "");
    let error = &events.last().unwrap().data;
    assert_eq!((&error["code"], &error["retriable"]), (&json!("QUEUE_FULL_DROP_LRU"), &json!(true)));
    assert_eq!(app.get_json(&format!("/v2/tasks/{younger}")).await["state"], "queued");
    // Now the queue holds one of each class; another batch job drops the batch one, never the other.
    let second = app.submit(&task("batch")).await;
    assert_eq!(app.get_json(&format!("/v2/tasks/{younger}")).await["state"], "failed");
    assert_eq!(app.get_json(&format!("/v2/tasks/{newcomer}")).await["state"], "queued");
    let third = app.submit(&task("interactive")).await;
    assert_eq!(app.get_json(&format!("/v2/tasks/{second}")).await["state"], "failed");
    let refused = app.post("/v2/tasks", &task("batch")).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "QUEUE_FULL_DROP_LRU");
    app.cancel(&running).await;
    app.until_state(&newcomer, "completed").await;
    app.until_state(&third, "completed").await;
    app.finish().await;
}

// H15
#[tokio::test]
async fn a_deadline_that_passes_in_the_queue_ends_the_job_and_it_never_runs() {
    let (app, engine) = one_slot("10", "reject").await;
    engine.push(held());
    let running = app.submit(&task("batch")).await;
    app.until_state(&running, "running").await;
    let mut late = task("interactive");
    late["deadline_ms"] = json!(150);
    let late = app.submit(&late).await;
    let events = app.events(&late).await;
    assert_eq!(events.last().unwrap().data["code"], "DEADLINE_UNMET");
    assert_eq!(events.last().unwrap().data["retriable"], false);
    app.cancel(&running).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(engine.seen().len(), 1);
    app.finish().await;
}

// H16
#[tokio::test]
async fn a_deadline_that_passes_while_running_stops_the_engine() {
    let (app, engine) = one_slot("10", "reject").await;
    engine.push(held());
    let mut task = engine_task();
    task["deadline_ms"] = json!(200);
    let id = app.submit(&task).await;
    let events = app.events(&id).await;
    assert_eq!(text_of(&events), " held");
    assert_eq!(events.last().unwrap().data["code"], "DEADLINE_UNMET");
    app.finish().await;
    assert_eq!(engine.gone(), 1);
}

//= ORCH-3008 type=test
#[tokio::test]
async fn an_idle_pool_takes_the_work_that_waits_at_a_busy_one() {
    let (slow, quick) = (ScriptedEngine::start(1).await.unwrap(), ScriptedEngine::start(1).await.unwrap());
    let pools = format!("a=llamacpp+{},b=llamacpp+{}", slow.url(), quick.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    while app.get_json("/v2/meta/capabilities").await["engines"].as_array().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    slow.push(held());
    quick.push(vec![
        stream_head(),
        token(" soon", 1),
        Act::Pause(Duration::from_millis(300)),
        last(Ending::Eos, 1),
        body_end(),
    ]);
    for _ in 0..4 {
        quick.push(completion(&[" done"], Ending::Eos));
    }
    let held = app.submit(&engine_task()).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(app.submit(&engine_task()).await);
    }
    for id in &ids {
        assert_eq!(app.until_state(id, "completed").await["placement"]["pool_id"], "b");
    }
    assert_eq!(app.cancel(&held).await, StatusCode::NO_CONTENT);
    app.finish().await;
}

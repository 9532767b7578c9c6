//! What outlives the process: accepted tasks, their streams, their ends.

use std::time::Duration;

use mock::wire::{Act, Ending, ScriptedEngine, body_end, completion, last, open_ended, stream_head, token};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    daemon::Daemon,
    support::{engine_task, mock_task, parse, text_of},
};

/// A server with one engine of one slot, on a state folder.
async fn on(state: &TempDir, engine: &ScriptedEngine) -> Daemon {
    let pools = format!("default=llamacpp+{}", engine.url());
    Daemon::start(state.path(), &[("ORCHD_POOLS", &pools), ("ORCHD_ADMISSION_CAPACITY", "50")]).await
}

fn task(priority: &str) -> Value {
    let mut task = engine_task();
    task["priority"] = json!(priority);
    task
}

/// The answer that comes before anything is said: the engine thinks until its client is gone.
fn thinking() -> Vec<Act> {
    vec![Act::UntilGone]
}

//= ORCH-3405 type=test
//= ORCH-3406 type=test
#[tokio::test]
async fn what_waited_when_the_server_was_killed_runs_in_its_order_and_class() {
    // S01
    let (state, engine) = (TempDir::new().unwrap(), ScriptedEngine::start(1).await.unwrap());
    engine.push(thinking());
    let server = on(&state, &engine).await;
    let running = server.submit(&task("batch")).await;
    server.until_state(&running, "running").await;
    let mut ids = Vec::new();
    for priority in ["batch", "interactive", "batch", "interactive"] {
        ids.push(server.submit(&task(priority)).await);
    }
    server.kill();
    let before = engine.seen().len();
    let server = on(&state, &engine).await;
    for id in ids.iter().chain([&running]) {
        let view = server.until_state(id, "completed").await;
        assert_eq!(view["text"], " ok", "{view}");
    }
    // The one that had started without a token goes first among its class: it was accepted first.
    let order: Vec<_> = engine.seen()[before..].iter().map(|seen| request_id(&seen.head)).collect();
    assert_eq!(order, [&ids[1], &ids[3], &running, &ids[0], &ids[2]].map(Clone::clone));
    let list = server.get_json("/v2/tasks?limit=10").await;
    let listed: Vec<_> = list["tasks"].as_array().unwrap().iter().map(|it| it["job_id"].clone()).collect();
    let newest_first: Vec<_> = ids.iter().rev().chain([&running]).map(|id| json!(id)).collect();
    assert_eq!(listed, newest_first);
}

fn request_id(head: &str) -> String {
    let line = head.lines().find_map(|line| line.strip_prefix("x-request-id: "));
    line.expect("the engine is told the id").to_owned()
}

//= ORCH-3406 type=test
#[tokio::test]
async fn a_task_of_which_readers_had_tokens_ends_as_a_lost_engine_would_end_it() {
    let (state, engine) = (TempDir::new().unwrap(), ScriptedEngine::start(1).await.unwrap());
    engine.push(open_ended(&[" a", " b", " c"]));
    let server = on(&state, &engine).await;
    let id = server.submit(&engine_task()).await;
    let seen = server.first_events(&id, 4).await;
    // Longer than it takes until what was said is kept.
    sleep(Duration::from_millis(600)).await;
    server.kill();
    let server = on(&state, &engine).await;
    let view = server.until_state(&id, "failed").await;
    assert_eq!((&view["error"]["code"], &view["error"]["retriable"]), (&json!("WORKER_RESET"), &json!(true)));
    assert_eq!(view["text"], " a b c");
    let whole = server.stream(&id, None).await;
    assert!(whole.starts_with(&seen), "{whole}");
    let events = parse(&whole);
    let terminal = &events.last().unwrap();
    assert_eq!((&terminal.data["attempts"], &terminal.data["tokens_out"]), (&json!(1), &json!(3)));
    // Ids that readers may have had of what was lost are not used again.
    assert_eq!(events.iter().filter(|event| event.name == "token").count(), 3);
    assert!(terminal.id >= 1 << 21, "{}", terminal.id);
    // Whoever had more than was kept goes on behind it.
    let rest = parse(&server.stream(&id, Some(9)).await);
    assert_eq!(rest.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["metrics", "error"]);
    assert_eq!(engine.seen().iter().filter(|seen| seen.head.starts_with("POST")).count(), 1);
}

//= ORCH-3406 type=test
#[tokio::test]
async fn a_task_that_asked_for_it_is_started_anew_or_gone_on_with() {
    for (way, expected, text) in
        [("restart", "discard_before_id", " ok"), ("continue", "discard_after_id", " a b")]
    {
        let (state, engine) = (TempDir::new().unwrap(), ScriptedEngine::start(1).await.unwrap());
        engine.push(open_ended(&[" a"]));
        if way == "continue" {
            engine.push(completion(&[" b"], Ending::Eos));
        }
        let server = on(&state, &engine).await;
        let mut task = engine_task();
        task["on_engine_loss"] = json!(way);
        task["determinism"] = json!("best_effort");
        let id = server.submit(&task).await;
        server.first_events(&id, 2).await;
        sleep(Duration::from_millis(600)).await;
        server.kill();
        let server = on(&state, &engine).await;
        let view = server.until_state(&id, "completed").await;
        assert_eq!(view["text"], text, "{way}: {view}");
        let events = server.events(&id).await;
        let started: Vec<_> = events.iter().filter(|event| event.name == "started").collect();
        assert_eq!(started.len(), 2, "{way}");
        assert_eq!(started[1].data["attempt"], 2);
        assert!(started[1].data[expected].is_u64(), "{way}: {:?}", started[1]);
    }
}

//= ORCH-3406 type=test
#[tokio::test]
async fn a_task_that_came_back_streams_as_it_did_before() {
    let (state, engine) = (TempDir::new().unwrap(), ScriptedEngine::start(1).await.unwrap());
    engine.push(open_ended(&[" a"]));
    let server = on(&state, &engine).await;
    let mut task = engine_task();
    task["on_engine_loss"] = json!("restart");
    let id = server.submit(&task).await;
    server.first_events(&id, 2).await;
    server.kill();
    engine.push(open_ended(&[" x", " y"]));
    let server = on(&state, &engine).await;
    // Whatever was kept of the first life, these are the second one's.
    let mut seen = String::new();
    while !seen.contains(r#"{"t":" y","i":1}"#) {
        let count = seen.matches("\n\n").count() + 1;
        seen = server.first_events(&id, count).await;
    }
    assert!(seen.contains("discard_before_id"), "{seen}");
    let (status, _) = server.post(&format!("/v2/tasks/{id}/cancel"), &json!({})).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    // A third life finds the second one as it was.
    server.kill();
    let server = on(&state, &engine).await;
    let whole = server.stream(&id, None).await;
    assert!(whole.starts_with(&seen), "{whole}");
    assert_eq!(server.get_json(&format!("/v2/tasks/{id}")).await["text"], " x y");
}

//= ORCH-3406 type=test
#[tokio::test]
async fn what_each_life_said_is_kept_before_the_next_one_begins() {
    let (state, engine) = (TempDir::new().unwrap(), ScriptedEngine::start(1).await.unwrap());
    let mut task = engine_task();
    task["on_engine_loss"] = json!("continue");
    task["determinism"] = json!("best_effort");
    engine.push(open_ended(&[" a"]));
    let server = on(&state, &engine).await;
    let id = server.submit(&task).await;
    server.first_events(&id, 2).await;
    sleep(Duration::from_millis(600)).await;
    server.kill();
    engine.push(open_ended(&[" b"]));
    let server = on(&state, &engine).await;
    server.first_events(&id, 4).await;
    sleep(Duration::from_millis(600)).await;
    server.kill();
    engine.push(completion(&[" c"], Ending::Eos));
    let server = on(&state, &engine).await;
    let view = server.until_state(&id, "completed").await;
    assert_eq!(view["text"], " a b c", "{view}");
}

//= ORCH-3408 type=test
#[tokio::test]
async fn what_had_ended_is_read_after_a_restart_byte_for_byte() {
    let state = TempDir::new().unwrap();
    let server = Daemon::start(state.path(), &[]).await;
    let mut task = mock_task();
    task["task_id"] = json!("0192f0c0-0000-7000-8000-000000000001");
    let id = server.submit(&task).await;
    let stream = server.stream(&id, None).await;
    let view = server.until_state(&id, "completed").await;
    let canceled = server.submit(&mock_task()).await;
    let (status, _) = server.post(&format!("/v2/tasks/{canceled}/cancel"), &json!({})).await;
    server.kill();
    let server = Daemon::start(state.path(), &[]).await;
    assert_eq!(server.stream(&id, None).await, stream);
    assert_eq!(server.get_json(&format!("/v2/tasks/{id}")).await, view);
    // Each event can be resumed behind.
    let events = parse(&stream);
    for (index, event) in events.iter().enumerate() {
        let rest = parse(&server.stream(&id, Some(event.id)).await);
        assert_eq!(rest, events[index + 1..]);
    }
    // The same request is still the same, and another one under its id is still another one.
    let (same, body) = server.post("/v2/tasks", &task).await;
    assert_eq!((same, &body["job_id"]), (StatusCode::OK, &json!(id)));
    task["max_tokens"] = json!(3);
    let (other, body) = server.post("/v2/tasks", &task).await;
    assert_eq!((other, &body["code"]), (StatusCode::CONFLICT, &json!("TASK_ID_CONFLICT")));
    if status == StatusCode::NO_CONTENT {
        let (again, _) = server.post(&format!("/v2/tasks/{canceled}/cancel"), &json!({})).await;
        assert_eq!(again, StatusCode::NO_CONTENT);
        assert_eq!(server.get_json(&format!("/v2/tasks/{canceled}")).await["state"], "canceled");
    }
    let listed = server.get_json("/v2/tasks?state=completed").await;
    let ids: Vec<_> = listed["tasks"].as_array().unwrap().iter().map(|it| it["job_id"].clone()).collect();
    assert!(ids.contains(&json!(id)));
}

//= ORCH-3026 type=test
#[tokio::test]
async fn an_acknowledged_cancel_survives_a_kill_right_behind_it() {
    let (state, engine) = (TempDir::new().unwrap(), ScriptedEngine::start(1).await.unwrap());
    for round in 0..5 {
        engine.push(open_ended(&[" a", " b"]));
        let server = on(&state, &engine).await;
        let id = server.submit(&engine_task()).await;
        server.first_events(&id, 3).await;
        let (status, _) = server.post(&format!("/v2/tasks/{id}/cancel"), &json!({})).await;
        server.kill();
        assert_eq!(status, StatusCode::NO_CONTENT);
        let server = on(&state, &engine).await;
        let events = server.events(&id).await;
        assert_eq!(text_of(&events), " a b", "round {round}");
        assert_eq!(events.last().unwrap().data["finish_reason"], "canceled");
        server.stop().await;
    }
}

//= ORCH-3410 type=test
#[tokio::test]
async fn a_stop_in_order_ends_nothing_that_was_accepted() {
    // H31, S01
    let (state, engine) = (TempDir::new().unwrap(), ScriptedEngine::start(1).await.unwrap());
    engine.push(vec![
        stream_head(),
        token(" a", 1),
        Act::Pause(Duration::from_millis(300)),
        token(" b", 2),
        last(Ending::Eos, 2),
        body_end(),
    ]);
    let server = on(&state, &engine).await;
    let running = server.submit(&engine_task()).await;
    server.first_events(&running, 2).await;
    let waiting = server.submit(&engine_task()).await;
    let request = server.client.get(server.url(&format!("/v2/tasks/{waiting}/events")));
    let reading = tokio::spawn(async move { request.send().await.unwrap().text().await.unwrap() });
    sleep(Duration::from_millis(50)).await;
    server.stop().await;
    // Its reader is sent away without an end, and comes back.
    assert_eq!(reading.await.unwrap(), "");
    let server = on(&state, &engine).await;
    assert_eq!(text_of(&server.events(&running).await), " a b");
    assert_eq!(text_of(&server.events(&waiting).await), " ok");
}

//= ORCH-3405 type=test
#[tokio::test]
async fn a_task_that_wants_speed_is_not_kept() {
    let state = TempDir::new().unwrap();
    let server = Daemon::start(state.path(), &[]).await;
    let mut task = mock_task();
    task["durability"] = json!("memory");
    let id = server.submit(&task).await;
    server.until_state(&id, "completed").await;
    server.kill();
    let server = Daemon::start(state.path(), &[]).await;
    assert_eq!(server.get_json(&format!("/v2/tasks/{id}")).await["code"], "NOT_FOUND");
}

#[tokio::test]
async fn a_deadline_counts_on_while_the_server_is_down() {
    let (state, engine) = (TempDir::new().unwrap(), ScriptedEngine::start(1).await.unwrap());
    engine.push(thinking());
    let server = on(&state, &engine).await;
    let running = server.submit(&engine_task()).await;
    server.until_state(&running, "running").await;
    let mut task = engine_task();
    task["deadline_ms"] = json!(1_500);
    let id = server.submit(&task).await;
    server.kill();
    sleep(Duration::from_millis(1_600)).await;
    let server = on(&state, &engine).await;
    let view = server.until_state(&id, "failed").await;
    assert_eq!(view["error"]["code"], "DEADLINE_UNMET");
}

//= ORCH-3404 type=test
#[tokio::test]
async fn a_second_server_on_the_same_folder_does_not_start() {
    // S11
    let state = TempDir::new().unwrap();
    let server = Daemon::start(state.path(), &[]).await;
    let (code, said) = Daemon::refuses(state.path(), &[]).await;
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("is in use by another process"), "{said}");
    server.stop().await;
}

//= ORCH-3402 type=test
#[tokio::test]
async fn a_damaged_store_is_refused_by_name_and_repaired_on_demand() {
    // S04, S12
    let state = TempDir::new().unwrap();
    let server = Daemon::start(state.path(), &[]).await;
    let id = server.submit(&mock_task()).await;
    server.until_state(&id, "completed").await;
    server.stop().await;
    for file in ["jobs.db", "jobs.db-wal"] {
        let file = state.path().join(file);
        let Ok(mut bytes) = std::fs::read(&file) else { continue };
        for at in (0..bytes.len()).step_by(100) {
            bytes[at] ^= 1;
        }
        std::fs::write(&file, bytes).unwrap();
    }
    let (code, said) = Daemon::refuses(state.path(), &[]).await;
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("is damaged") && said.contains("--repair"), "{said}");
    let server = Daemon::start(state.path(), &[("ORCHD_REPAIR", "true")]).await;
    assert!(state.path().join("damaged-1/jobs.db").exists());
    server.stop().await;
    Daemon::start(state.path(), &[]).await.stop().await;
}

//= ORCH-3409 type=test
#[tokio::test]
async fn a_session_keeps_its_turns_and_what_is_left_of_its_budget() {
    let state = TempDir::new().unwrap();
    let server = Daemon::start(state.path(), &[]).await;
    let session = "0192f0c0-0000-7000-8000-00000000000a";
    let mut task = mock_task();
    task["session_id"] = json!(session);
    task["budget"] = json!({"tokens": 1_000});
    let id = server.submit(&task).await;
    server.until_state(&id, "completed").await;
    let before = server.get_json(&format!("/v2/sessions/{session}")).await;
    assert_eq!(before["turns_used"], 1, "{before}");
    // What was settled after the end of the task is kept when the next commit is.
    let other = server.submit(&mock_task()).await;
    server.until_state(&other, "completed").await;
    server.kill();
    let server = Daemon::start(state.path(), &[]).await;
    let after = server.get_json(&format!("/v2/sessions/{session}")).await;
    for field in ["turns_used", "budget", "pool_id", "replica_id", "live"] {
        assert_eq!(after[field], before[field], "{field}: {after}");
    }
    let deleted = server.client.delete(server.url(&format!("/v2/sessions/{session}"))).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    server.stop().await;
    let server = Daemon::start(state.path(), &[]).await;
    assert_eq!(server.get_json(&format!("/v2/sessions/{session}")).await["code"], "NOT_FOUND");
}

//= ORCH-3408 type=test
#[tokio::test]
async fn what_is_past_its_retention_is_gone_from_the_store_too() {
    // S08
    let state = TempDir::new().unwrap();
    let settings = [("ORCHD_JOBS_RETENTION_MS", "1"), ("ORCHD_JOBS_RETAINED_MAX", "3")];
    let server = Daemon::start(state.path(), &settings).await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        let id = server.submit(&mock_task()).await;
        server.until_state(&id, "completed").await;
        ids.push(id);
    }
    server.stop().await;
    let server = Daemon::start(state.path(), &[("ORCHD_JOBS_RETENTION_MS", "600000")]).await;
    for (index, id) in ids.iter().enumerate() {
        let view = server.get_json(&format!("/v2/tasks/{id}")).await;
        if index < 3 {
            assert_eq!(view["code"], "NOT_FOUND", "{index}: {view}");
        } else {
            assert_eq!(view["state"], "completed", "{index}: {view}");
        }
    }
    let expired =
        server.client.get(server.url(&format!("/v2/tasks/{}/events", ids[4]))).send().await.unwrap();
    assert_eq!(expired.status(), StatusCode::GONE);
}

//! Sessions: what is told of them, where they stay, and what they may use.

use std::{net::SocketAddr, time::Duration};

use mock::wire::{Ending, ScriptedEngine, completion};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{TestApp, engine_task, mock_task};

fn in_session(session: &str) -> Value {
    let mut task = mock_task();
    task["session_id"] = json!(session);
    task
}

fn with_budget(session: &str, budget: Value) -> Value {
    let mut task = in_session(session);
    task["budget"] = budget;
    task
}

fn session_id() -> String {
    Uuid::new_v4().to_string()
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
}

async fn refusal(app: &TestApp, task: &Value) -> (StatusCode, Value) {
    let response = app.post("/v2/tasks", task).await;
    (response.status(), response.json().await.unwrap())
}

impl TestApp {
    async fn session(&self, id: &str) -> Value {
        self.get_json(&format!("/v2/sessions/{id}")).await
    }

    /// Runs a task to its end and returns its last events.
    async fn ends_of(&self, task: &Value) -> (Value, Value) {
        let events = self.events(&self.submit(task).await).await;
        let [.., metrics, end] = events.as_slice() else { panic!("{events:?}") };
        (metrics.data.clone(), end.data.clone())
    }
}

//= ORCH-3021 type=test
//= ORCH-3022 type=test
//= ORCH-3023 type=test
#[tokio::test]
async fn a_session_is_there_from_its_first_task_until_it_is_given_up() {
    let app = TestApp::start().await;
    let id = session_id();
    let path = format!("/v2/sessions/{id}");
    assert_eq!(app.get(&path).await.status(), StatusCode::NOT_FOUND);
    app.ends_of(&in_session(&id)).await;
    let session = app.session(&id).await;
    let ttl = session["ttl_ms_remaining"].as_u64().unwrap();
    assert!((590_000..=600_000).contains(&ttl), "{session}");
    for (field, value) in [
        ("session_id", json!(id)),
        ("turns", json!(8)),
        ("turns_used", json!(1)),
        ("tasks_live", json!(0)),
        ("kv_bytes", json!(0)),
        ("pool_id", json!("default")),
        ("replica_id", json!("local/default")),
    ] {
        assert_eq!(session[field], value, "{field}");
    }
    assert!(session["kv_warmth"].is_boolean());
    for budget in ["tokens_budget_remaining", "time_budget_remaining_ms", "cost_budget_remaining"] {
        assert!(session.get(budget).is_none(), "{session}");
    }
    for _ in 0..2 {
        let deleted = app.client.delete(app.url(&path)).send().await.unwrap();
        assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(app.get(&path).await.status(), StatusCode::NOT_FOUND);
    app.finish().await;
}

//= ORCH-3023 type=test
#[tokio::test]
async fn a_task_that_names_no_session_has_one_of_its_own() {
    let app = TestApp::start().await;
    let id = app.submit(&mock_task()).await;
    let task = app.until_state(&id, "completed").await;
    assert_eq!(task["session_id"], id.as_str());
    let session = app.session(&id).await;
    assert_eq!((&session["turns_used"], &session["replica_id"]), (&json!(1), &json!("local/default")));
    let path = format!("/v2/sessions/{id}");
    app.client.delete(app.url(&path)).send().await.unwrap();
    assert_eq!(app.get(&path).await.status(), StatusCode::NOT_FOUND);
    app.finish().await;
}

//= ORCH-3021 type=test
#[tokio::test]
async fn a_session_that_had_all_its_turns_takes_no_further_task() {
    let app = TestApp::with(&[("ORCHD_SESSIONS_TURNS_MAX", "2")]).await;
    let id = session_id();
    for _ in 0..2 {
        app.ends_of(&in_session(&id)).await;
    }
    let response = app.post("/v2/tasks", &in_session(&id)).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(header(&response, "retry-after").is_some());
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["code"], &body["policy_label"]), (&json!("ADMISSION_REJECT"), &json!("session-turns")));
    app.ends_of(&in_session(&session_id())).await;
    app.finish().await;
}

//= ORCH-3023 type=test
#[tokio::test]
async fn a_session_is_forgotten_when_nothing_comes_for_its_time() {
    let app = TestApp::with(&[("ORCHD_SESSIONS_TTL_MS", "1000")]).await;
    let id = session_id();
    app.ends_of(&in_session(&id)).await;
    assert_eq!(app.get(&format!("/v2/sessions/{id}")).await.status(), StatusCode::OK);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(app.get(&format!("/v2/sessions/{id}")).await.status(), StatusCode::NOT_FOUND);
    app.finish().await;
}

//= ORCH-3009 type=test
#[tokio::test]
async fn a_session_stays_on_its_replica_and_a_move_is_told() {
    let (a, b) = (ScriptedEngine::start(1).await.unwrap(), ScriptedEngine::start(1).await.unwrap());
    let pools = format!("a=llamacpp+{},b=llamacpp+{}", a.url(), b.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    while app.get_json("/v2/meta/capabilities").await["engines"].as_array().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let id = session_id();
    let mut task = engine_task();
    task["session_id"] = json!(id);
    let started = async |task: &Value| {
        for engine in [&a, &b] {
            engine.push(completion(&[" ok"], Ending::Eos));
        }
        let events = app.events(&app.submit(task).await).await;
        events[0].data.clone()
    };
    let first = started(&task).await;
    assert_eq!((&first["kv_warmth"], first.get("kv_migrated")), (&json!(false), None));
    for _ in 0..3 {
        let again = started(&task).await;
        assert_eq!((&again["replica_id"], &again["kv_warmth"]), (&first["replica_id"], &json!(true)));
        // Another session in between does not change where this one goes.
        started(&engine_task()).await;
    }
    let other = if first["pool_id"] == "a" { "b" } else { "a" };
    task["placement"] = json!({"mode": "pin", "pin_pool_id": other});
    let moved = started(&task).await;
    assert_eq!((&moved["pool_id"], &moved["kv_warmth"]), (&json!(other), &json!(false)));
    assert_eq!(moved["kv_migrated"], false);
    let session = app.session(&id).await;
    assert_eq!(session["pool_id"], other);
    let why = app.get_json(&format!("/v2/tasks/{}/explain", moved["job_id"].as_str().unwrap())).await;
    assert_eq!(why["choice"]["pool_id"], other);
    app.finish().await;
}

//= ORCH-3099 type=test
//= ORCH-3100 type=test
#[tokio::test]
async fn a_budget_is_told_in_headers_and_metrics_and_settled_by_what_was_used() {
    let app = TestApp::start().await;
    let id = session_id();
    let task = with_budget(&id, json!({"tokens": 1_000, "time_ms": 60_000, "cost": 2.5}));
    let response = app.post("/v2/tasks", &task).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    // Reserved: a token for each byte of the prompt, a turn's surroundings, and the answer.
    let reserved = 16 + 64 + 12;
    assert_eq!(header(&response, "x-budget-tokens-remaining").unwrap(), (1_000 - reserved).to_string());
    assert_eq!(header(&response, "x-budget-cost-remaining").unwrap(), "2.5");
    assert!(header(&response, "x-budget-time-remaining-ms").unwrap().parse::<u64>().unwrap() <= 60_000);
    let job: Value = response.json().await.unwrap();
    let job = job["job_id"].as_str().unwrap();
    let events = app.events(job).await;
    let [.., metrics, end] = events.as_slice() else { panic!("{events:?}") };
    let used = end.data["tokens_in"].as_u64().unwrap() + end.data["tokens_out"].as_u64().unwrap();
    assert_eq!(metrics.data["tokens_budget_remaining"], 1_000 - used);
    assert_eq!(metrics.data["cost_budget_remaining"], 2.5);
    assert!(metrics.data["time_budget_remaining_ms"].as_u64().unwrap() <= 60_000);
    let stream = app.get(&format!("/v2/tasks/{job}/events")).await;
    assert_eq!(header(&stream, "x-budget-tokens-remaining").unwrap(), (1_000 - used).to_string());
    let session = app.session(&id).await;
    assert_eq!(session["tokens_budget_remaining"], 1_000 - used);
    let plain = app.post("/v2/tasks", &mock_task()).await;
    assert!(header(&plain, "x-budget-tokens-remaining").is_none());
    app.finish().await;
}

//= ORCH-3099 type=test
#[tokio::test]
async fn what_a_budget_cannot_cover_is_refused_and_the_reason_names_the_limit() {
    let app = TestApp::start().await;
    let id = session_id();
    let (status, body) = refusal(&app, &with_budget(&id, json!({"tokens": 50}))).await;
    assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!("INVALID_PARAMS")));
    assert!(body["message"].as_str().unwrap().starts_with("budget.tokens: "), "{body}");
    // A refused task has set no limits.
    app.ends_of(&with_budget(&id, json!({"tokens": 130}))).await;
    let (status, body) = refusal(&app, &with_budget(&id, json!({"tokens": 131}))).await;
    assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!("INVALID_PARAMS")));
    let (mut status, mut body) = (StatusCode::OK, json!(null));
    for _ in 0..5 {
        let response = app.post("/v2/tasks", &in_session(&id)).await;
        (status, body) = (response.status(), response.json().await.unwrap());
        if let Some(job) = body["job_id"].as_str() {
            app.until_state(job, "completed").await;
        }
    }
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        (&body["code"], &body["policy_label"]),
        (&json!("ADMISSION_REJECT"), &json!("session-budget"))
    );
    for (budget, field) in [
        (json!({"tokens": 0}), "budget.tokens"),
        (json!({"time_ms": -1}), "budget.time_ms"),
        (json!({"cost": -0.5}), "budget.cost"),
    ] {
        let (status, body) = refusal(&app, &with_budget(&session_id(), budget)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{field}");
        assert!(body["message"].as_str().unwrap().starts_with(&format!("{field}: ")), "{body}");
    }
    app.finish().await;
}

//= ORCH-3099 type=test
#[tokio::test]
async fn a_cost_is_what_the_pool_asks_for_its_tokens() {
    let file = format!("{}/priced-{}.toml", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let pool = "[[pools]]\nid = \"default\"\nengine = \"mock\"\nprice_per_mtok = 2000.0\n";
    std::fs::write(&file, pool).unwrap();
    let app = TestApp::with(&[("ORCHD_CONFIG", &file)]).await;
    let (metrics, end) = app.ends_of(&with_budget(&session_id(), json!({"cost": 1.0}))).await;
    let tokens = end["tokens_in"].as_f64().unwrap() + end["tokens_out"].as_f64().unwrap();
    let left = metrics["cost_budget_remaining"].as_f64().unwrap();
    assert!((left - (1.0 - tokens * 0.002)).abs() < 1e-9, "{left} after {tokens} tokens");
    let (status, body) = refusal(&app, &with_budget(&session_id(), json!({"cost": 0.1}))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body["message"].as_str().unwrap().contains("0.1"), "{body}");
    app.finish().await;
    std::fs::remove_file(file).unwrap();
}

/// Submits a task; takes every third one back. `None` when the budget did not cover it.
async fn submit_and_perhaps_cancel(
    client: Client,
    addr: SocketAddr,
    task: Value,
    number: u32,
) -> Option<String> {
    let response = client.post(format!("http://{addr}/v2/tasks")).json(&task).send().await.unwrap();
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert!(header(&response, "x-budget-tokens-remaining").unwrap().parse::<u64>().is_ok());
    let body: Value = response.json().await.unwrap();
    let job = body["job_id"].as_str().unwrap().to_owned();
    if number.is_multiple_of(3) {
        let canceled = client.post(format!("http://{addr}/v2/tasks/{job}/cancel")).send().await.unwrap();
        assert!([StatusCode::NO_CONTENT, StatusCode::CONFLICT].contains(&canceled.status()));
    }
    Some(job)
}

//= ORCH-3099 type=test
#[tokio::test]
async fn a_thousand_tasks_at_once_with_cancels_neither_overshoot_a_budget_nor_lose_a_token() {
    const TOKENS: u64 = 8_000;
    let settings = [("ORCHD_ADMISSION_CAPACITY", "2000"), ("ORCHD_SESSIONS_TURNS_MAX", "2000")];
    let app = TestApp::with(&settings).await;
    let id = session_id();
    let task = with_budget(&id, json!({"tokens": TOKENS}));
    let mut jobs = Vec::new();
    // A hundred connections at a time, ten times.
    for round in 0..10 {
        let clients = (0..100)
            .map(|it| submit_and_perhaps_cancel(app.client.clone(), app.addr, task.clone(), round + it));
        jobs.extend(clients.collect::<JoinSet<_>>().join_all().await.into_iter().flatten());
    }
    let (mut used_least, mut used_most) = (0, 0);
    for job in &jobs {
        let events = app.events(job).await;
        let end = &events.last().unwrap().data;
        let used = end["tokens_in"].as_u64().unwrap() + end["tokens_out"].as_u64().unwrap();
        let canceled = end["finish_reason"] == "canceled";
        used_least += if canceled { 0 } else { used };
        // What a canceled task used is between nothing and what it had reserved.
        used_most += if canceled { 16 + 64 + 12 } else { used };
    }
    let settled = async {
        while app.session(&id).await["tasks_live"] != 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, settled).await.unwrap();
    let session = app.session(&id).await;
    let used = TOKENS - session["tokens_budget_remaining"].as_u64().unwrap();
    assert!((used_least..=used_most).contains(&used), "{used_least} <= {used} <= {used_most}");
    assert!((100..1_000).contains(&jobs.len()), "some came in and some did not: {}", jobs.len());
    assert_eq!(session["turns_used"], jobs.len());
    app.finish().await;
}

//= ORCH-3023 type=test
#[tokio::test]
async fn a_session_that_is_given_up_leaves_its_running_task_alone() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let pools = format!("default=llamacpp+{}", engine.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    let id = session_id();
    let mut task = engine_task();
    task["session_id"] = json!(id);
    engine.push(mock::wire::open_ended(&[" on"]));
    let running = app.submit(&task).await;
    app.until_state(&running, "running").await;
    let deleted = app.client.delete(app.url(&format!("/v2/sessions/{id}"))).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(app.get_json(&format!("/v2/tasks/{running}")).await["state"], "running");
    assert_eq!(app.cancel(&running).await, StatusCode::NO_CONTENT);
    assert_eq!(app.get(&format!("/v2/sessions/{id}")).await.status(), StatusCode::NOT_FOUND);
    app.finish().await;
}

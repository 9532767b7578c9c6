//! Every operation, asked so that it succeeds.

use std::time::Duration;

use mock::wire::{ScriptedEngine, open_ended};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::{
    model_root::Root,
    node::Node,
    pact::Pact,
    support::{PATIENCE, TestApp, engine_task},
};

const SESSION: &str = "00000000-0000-4000-8000-000000000001";

async fn get(pact: &Pact, app: &TestApp, path: &str) -> Value {
    pact.expect(StatusCode::OK, app, (Method::GET, path), None).await
}

//= ORCH-3096 type=test
#[tokio::test]
async fn every_documented_operation_answers_as_its_document_says() {
    let state = TempDir::new().unwrap();
    let app = TestApp::with(&[("ORCHD_STATE_DIR", state.path().to_str().unwrap())]).await;
    let pact = Pact::of(&app).await;
    the_server(&pact, &app).await;
    tasks(&pact, &app).await;
    sessions_and_artifacts(&pact, &app).await;
    openai(&pact, &app).await;
    app.finish().await;
    canceled(&pact).await;
    catalog(&pact).await;
    machines(&pact).await;
    assert_eq!(pact.unseen(), Vec::<String>::new(), "operations that nobody asked");
}

async fn the_server(pact: &Pact, app: &TestApp) {
    for path in ["/health", "/ready", "/metrics", "/openapi.json", "/docs"] {
        get(pact, app, path).await;
    }
    for path in ["/v2/meta/capabilities", "/v2/meta/version", "/v2/pools", "/v2/pools/default/health"] {
        get(pact, app, path).await;
    }
}

async fn tasks(pact: &Pact, app: &TestApp) {
    let task = json!({"model_ref": "mock", "prompt": "Tell me.", "max_tokens": 4, "session_id": SESSION,
        "task_id": "00000000-0000-4000-8000-000000000002", "stop": ["x"], "deadline_ms": 60_000,
        "placement": {"mode": "prefer", "prefer_pools": ["default"]},
        "budget": {"tokens": 10_000, "time_ms": 600_000, "cost": 5.0}});
    let create = (Method::POST, "/v2/tasks");
    let admitted = pact.expect(StatusCode::ACCEPTED, app, create.clone(), Some(task.clone())).await;
    let id = admitted["task_id"].as_str().unwrap().to_owned();
    pact.expect(StatusCode::OK, app, create.clone(), Some(task)).await;
    let at = |rest: &str| format!("/v2/tasks/{id}{rest}");
    get(pact, app, &at("/events")).await;
    get(pact, app, &at("/events?verbose=true")).await;
    app.until_state(&id, "completed").await;
    get(pact, app, &at("")).await;
    get(pact, app, &at("/explain")).await;
    get(pact, app, "/v2/tasks?state=completed&limit=1").await;
    for work in [
        json!({"workload": "embedding", "inputs": ["a", "b"]}),
        json!({"workload": "rerank", "prompt": "a", "inputs": ["a", "b"]}),
    ] {
        let mut task = json!({"model_ref": "mock"});
        task.as_object_mut().unwrap().extend(work.as_object().unwrap().clone());
        let id = app.submit(&task).await;
        get(pact, app, &format!("/v2/tasks/{id}/events")).await;
        app.until_state(&id, "completed").await;
        get(pact, app, &format!("/v2/tasks/{id}")).await;
    }
}

/// A task that does not end by itself is taken back, and one behind it is seen while it waits.
async fn canceled(pact: &Pact) {
    let engine = ScriptedEngine::start(1).await.unwrap();
    engine.push(open_ended(&[" a"]));
    let pools = format!("default=llamacpp+{}", engine.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    let running = app.submit(&engine_task()).await;
    app.until_state(&running, "running").await;
    let waiting = app.submit(&engine_task()).await;
    for id in [&waiting, &running] {
        get(pact, &app, &format!("/v2/tasks/{id}")).await;
        get(pact, &app, &format!("/v2/tasks/{id}/explain")).await;
    }
    for id in [&waiting, &running] {
        let cancel = format!("/v2/tasks/{id}/cancel");
        pact.expect(StatusCode::NO_CONTENT, &app, (Method::POST, &cancel), None).await;
        get(pact, &app, &format!("/v2/tasks/{id}/events")).await;
        get(pact, &app, &format!("/v2/tasks/{id}")).await;
    }
    app.finish().await;
}

async fn sessions_and_artifacts(pact: &Pact, app: &TestApp) {
    let session = format!("/v2/sessions/{SESSION}");
    get(pact, app, &session).await;
    pact.expect(StatusCode::NO_CONTENT, app, (Method::DELETE, &session), None).await;
    for artifact in [
        json!({"kind": "plan", "content": "do this", "media_type": "text/plain", "name": "plan"}),
        json!({"kind": "diff", "content_base64": "/wD+"}),
    ] {
        let create = (Method::POST, "/v2/artifacts");
        let made = pact.expect(StatusCode::CREATED, app, create, Some(artifact)).await;
        get(pact, app, &format!("/v2/artifacts/{}", made["id"].as_str().unwrap())).await;
    }
    get(pact, app, "/v2/artifacts?kind=plan&limit=2").await;
}

async fn openai(pact: &Pact, app: &TestApp) {
    let messages = json!([{"role": "user", "content": "Tell me."}]);
    let chat = json!({"model": "mock", "messages": messages, "max_tokens": 2});
    let streamed = json!({"model": "mock", "messages": messages, "max_tokens": 2, "stream": true,
        "stream_options": {"include_usage": true}});
    let completion = json!({"model": "mock", "prompt": "Tell me.", "max_tokens": 2});
    let embedding = json!({"model": "mock", "input": ["a", "b"]});
    for (path, body) in [
        ("/v1/chat/completions", chat),
        ("/v1/chat/completions", streamed),
        ("/v1/completions", completion),
        ("/v1/embeddings", embedding),
    ] {
        pact.expect(StatusCode::OK, app, (Method::POST, path), Some(body)).await;
    }
    get(pact, app, "/v1/models").await;
    get(pact, app, "/v1/models/mock").await;
}

async fn catalog(pact: &Pact) {
    let root = Root::new();
    let app = TestApp::over(&root).await;
    let model = json!({"id": "mine/tiny", "model_ref": root.model_ref(), "digest": root.digest(),
        "labels": {"team": "search"}, "sbom": {"format": "spdx-json", "uri": "https://a.example/sbom"},
        "signatures": [{"kind": "gpg", "value": "abc"}]});
    let models = (Method::POST, "/v2/catalog/models");
    pact.expect(StatusCode::CREATED, &app, models, Some(model)).await;
    let one = "/v2/catalog/models/mine/tiny";
    let verify = format!("{one}/verify");
    let known = async {
        while pact.expect(StatusCode::ACCEPTED, &app, (Method::POST, &verify), None).await["outcome"]
            == "running"
        {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, known).await.expect("the outcome becomes known");
    get(pact, &app, one).await;
    get(pact, &app, "/v2/catalog/models?limit=10").await;
    get(pact, &app, "/v2/catalog/availability").await;
    let state = format!("{one}/state");
    let retired = Some(json!({"state": "Retired", "deadline_ms": 60_000}));
    pact.expect(StatusCode::ACCEPTED, &app, (Method::POST, &state), retired).await;
    pact.expect(StatusCode::NO_CONTENT, &app, (Method::DELETE, one), None).await;
    app.finish().await;
}

async fn machines(pact: &Pact) {
    let app = TestApp::start().await;
    let node = Node::start("gpu-1", "gpu", 2).await;
    let register = (Method::POST, "/v2/nodes/register");
    pact.expect(StatusCode::OK, &app, register, Some(node.registration())).await;
    let beat = json!({"timestamp": "2026-01-01T00:00:00Z", "pools": [node.report()]});
    let heartbeat = (Method::POST, "/v2/nodes/gpu-1/heartbeat");
    pact.expect(StatusCode::OK, &app, heartbeat, Some(beat)).await;
    node.is_heard(&app.url("")).await;
    for path in ["/v2/nodes", "/v2/pools", "/v2/pools/gpu/health", "/v2/catalog/availability"] {
        get(pact, &app, path).await;
    }
    let done = async |what: &str, body: Value| {
        let path = format!("/v2/pools/gpu/{what}");
        pact.expect(StatusCode::ACCEPTED, &app, (Method::POST, &path), Some(body)).await;
        let ended = async {
            while get(pact, &app, "/v2/pools/gpu/health").await["operation"]["state"] == "running" {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, ended).await.expect("the operation ends");
    };
    done("reload", json!({"new_model_ref": "other", "wait_ms": 0})).await;
    done("drain", json!({"deadline_ms": 1_000})).await;
    pact.expect(StatusCode::NO_CONTENT, &app, (Method::POST, "/v2/pools/gpu/resume"), None).await;
    done("purge", json!({"purge_models": ["other"], "force": true})).await;
    pact.expect(StatusCode::NO_CONTENT, &app, (Method::DELETE, "/v2/nodes/gpu-1"), None).await;
    app.finish().await;
}

//! Where a task may run, as its client says it: never a silent fallback.

use std::time::Duration;

use mock::wire::ScriptedEngine;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{TestApp, text_of};

/// A server over pools from a configuration file.
async fn with_pools(name: &str, toml: &str, more: &[(&str, &str)]) -> TestApp {
    let file = format!("{}/{name}-{}.toml", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    std::fs::write(&file, toml).unwrap();
    let app = TestApp::with(&[&[("ORCHD_CONFIG", file.as_str())], more].concat()).await;
    std::fs::remove_file(file).unwrap();
    app
}

fn task(placement: &Value) -> Value {
    json!({"model_ref": "mock", "prompt": "p", "max_tokens": 2, "placement": placement})
}

async fn refused(app: &TestApp, task: &Value, status: StatusCode, code: &str) -> Value {
    let response = app.post("/v2/tasks", task).await;
    assert_eq!(response.status(), status, "{task}");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["code"], code, "{task}: {body}");
    body
}

const TWO: &str = "[[pools]]\nid = \"a\"\nengine = \"mock\"\ndevice = \"0\"\n\
    [[pools]]\nid = \"b\"\nengine = \"mock\"\ndevice = \"1\"\n";

async fn until_two_are_ready(app: &TestApp) {
    while app.get_json("/v2/meta/capabilities").await["engines"].as_array().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn pool_of(app: &TestApp, task: &Value) -> String {
    let events = app.events(&app.submit(task).await).await;
    text_of(&events);
    events[0].data["pool_id"].as_str().unwrap().to_owned()
}

//= ORCH-3008 type=test
#[tokio::test]
async fn a_task_runs_where_it_is_pinned_or_prefers_to_and_never_where_it_avoids_to() {
    let app = with_pools("pins", TWO, &[]).await;
    until_two_are_ready(&app).await;
    for pool in ["a", "b"] {
        let other = if pool == "a" { "b" } else { "a" };
        for placement in [
            json!({"mode": "pin", "pin_pool_id": pool}),
            json!({"mode": "prefer", "prefer_pools": [pool]}),
            json!({"prefer_pools": [pool], "allow_fallback": false}),
            json!({"avoid_pools": [other]}),
        ] {
            assert_eq!(pool_of(&app, &task(&placement)).await, pool, "{placement}");
        }
    }
    app.finish().await;
}

//= ORCH-3011 type=test
#[tokio::test]
async fn a_device_mask_binds() {
    let app = with_pools("masks", TWO, &[]).await;
    until_two_are_ready(&app).await;
    assert_eq!(pool_of(&app, &task(&json!({"require_device_mask": "1"}))).await, "b");
    let none = task(&json!({"require_device_mask": "0,1"}));
    let body = refused(&app, &none, StatusCode::SERVICE_UNAVAILABLE, "POOL_UNAVAILABLE").await;
    assert_eq!(body["retriable"], false);
    let contradiction = task(&json!({"mode": "pin", "pin_pool_id": "a", "require_device_mask": "1"}));
    refused(&app, &contradiction, StatusCode::SERVICE_UNAVAILABLE, "POOL_UNAVAILABLE").await;
    app.finish().await;
}

//= ORCH-3014 type=test
#[tokio::test]
async fn a_place_that_is_not_there_is_told_by_its_own_code() {
    let app = with_pools("missing", TWO, &[]).await;
    let pin = task(&json!({"mode": "pin", "pin_pool_id": "c"}));
    let body = refused(&app, &pin, StatusCode::BAD_REQUEST, "INVALID_PARAMS").await;
    assert!(body["message"].as_str().unwrap().starts_with("placement.pin_pool_id: "), "{body}");
    let node = task(&json!({"mode": "pin", "node_id": "gpu-7"}));
    let body = refused(&app, &node, StatusCode::SERVICE_UNAVAILABLE, "NODE_UNAVAILABLE").await;
    assert_eq!(body["retriable"], true);
    let nowhere = task(&json!({"avoid_pools": ["a", "b"]}));
    refused(&app, &nowhere, StatusCode::SERVICE_UNAVAILABLE, "MODEL_NOT_AVAILABLE").await;
    app.finish().await;
}

//= ORCH-3010 type=test
#[tokio::test]
async fn a_pin_to_a_pool_that_was_never_ready_is_told_and_falls_back_to_nothing() {
    let gone = ScriptedEngine::start(1).await.unwrap();
    let url = gone.url();
    drop(gone);
    let toml = format!(
        "[[pools]]\nid = \"a\"\nengine = \"mock\"\n\
         [[pools]]\nid = \"b\"\nengine = \"llamacpp\"\nendpoint = \"{url}\"\nmodel = \"mock\"\n"
    );
    let app = with_pools("unready", &toml, &[]).await;
    let pin = task(&json!({"mode": "pin", "pin_pool_id": "b"}));
    let response = app.post("/v2/tasks", &pin).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["code"], &body["retriable"]), (&json!("POOL_UNREADY"), &json!(true)));
    assert_eq!(pool_of(&app, &task(&json!({}))).await, "a");
    app.finish().await;
}

//= ORCH-3011 type=test
#[tokio::test]
async fn a_pool_on_the_cpu_gets_work_only_where_the_operator_allows_it() {
    let toml = "[[pools]]\nid = \"default\"\nengine = \"mock\"\ndevice = \"cpu\"\n";
    let app = with_pools("cpu-forbidden", toml, &[]).await;
    let body = refused(&app, &task(&json!({})), StatusCode::SERVICE_UNAVAILABLE, "POOL_UNAVAILABLE").await;
    assert_eq!(body["retriable"], false);
    app.finish().await;
    let app = with_pools("cpu-allowed", toml, &[("ORCHD_GPU_POLICY", "allow-cpu")]).await;
    assert_eq!(pool_of(&app, &task(&json!({}))).await, "default");
    app.finish().await;
}

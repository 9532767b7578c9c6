//! Where tasks go when there are several machines, and where they must not.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    model_root::Root,
    node::Node,
    support::{TestApp, engine_task},
};

async fn placed(app: &TestApp, task: &Value) -> String {
    let id = app.submit(task).await;
    app.until_state(&id, "completed").await["placement"]["replica_id"].as_str().unwrap().to_owned()
}

async fn refusal(app: &TestApp, task: &Value) -> (StatusCode, Value) {
    let answer = app.post("/v2/tasks", task).await;
    (answer.status(), answer.json().await.unwrap())
}

//= ORCH-3433 type=test
//= ORCH-3012 type=test
#[tokio::test]
async fn replicas_of_one_pool_on_two_nodes_take_tasks_by_their_free_memory() {
    let app = TestApp::start().await;
    let base = app.url("");
    let (small, large) = (Node::start("a", "p", 2).await, Node::start("b", "p", 2).await);
    small.says("vram_free_bytes", 1_u64 << 30);
    small.join(&base).await;
    large.join(&base).await;
    let health = app.get_json("/v2/pools/p/health").await;
    assert_eq!(health["metrics"]["slots_total"], 4, "{health}");
    assert_eq!(placed(&app, &engine_task()).await, "b/p");
    small.says("vram_free_bytes", 12_u64 << 30);
    small.is_heard(&base).await;
    small.until(&base, |replica| replica["vram_free_bytes"] == 12_u64 << 30).await;
    assert_eq!(placed(&app, &engine_task()).await, "a/p");
    app.finish().await;
}

//= ORCH-3421 type=test
#[tokio::test]
async fn a_task_that_is_pinned_to_a_node_runs_there_or_nowhere() {
    let app = TestApp::start().await;
    let base = app.url("");
    let (one, two) = (Node::start("a", "p", 2).await, Node::start("b", "p", 2).await);
    one.join(&base).await;
    two.join(&base).await;
    let pinned = |node: &str| {
        let mut task = engine_task();
        task["placement"] = json!({"mode": "pin", "node_id": node});
        task
    };
    assert_eq!(placed(&app, &pinned("a")).await, "a/p");
    let listed = app.get_json("/v2/tasks?limit=1").await;
    let id = listed["tasks"][0]["task_id"].as_str().unwrap();
    let why = app.get_json(&format!("/v2/tasks/{id}/explain")).await;
    assert!(why["asked"].as_array().unwrap().contains(&json!("node a and no other")), "{why}");
    assert_eq!(placed(&app, &pinned("b")).await, "b/p");
    let (status, body) = refusal(&app, &pinned("c")).await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("NODE_UNAVAILABLE")),
        "{body}"
    );
    assert_eq!(body["retriable"], true);
    app.client.delete(app.url("/v2/nodes/b")).send().await.unwrap();
    let (status, body) = refusal(&app, &pinned("b")).await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("NODE_UNAVAILABLE")),
        "{body}"
    );
    app.finish().await;
}

//= ORCH-3420 type=test
//= ORCH-3351 type=test
#[tokio::test]
async fn a_task_whose_model_fits_no_memory_is_refused_with_the_numbers() {
    let root = Root::new();
    let app = TestApp::over(&root).await;
    let base = app.url("");
    let model = json!({"id": "mine/m", "model_ref": root.model_ref()});
    assert_eq!(app.post("/v2/catalog/models", &model).await.status(), StatusCode::CREATED);
    app.post("/v2/catalog/models/mine/m/verify", &json!({})).await;
    while app.get_json("/v2/catalog/models/mine/m").await["vram"].is_null() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let node = Node::start("a", "p", 1).await;
    node.says("model_id", root.model_ref());
    node.says("vram_free_bytes", 100 << 20);
    node.says("vram_total_bytes", 200 << 20);
    node.join(&base).await;
    let mut task = engine_task();
    task["model_ref"] = json!("mine/m");
    let (status, body) = refusal(&app, &task).await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("POOL_UNAVAILABLE")),
        "{body}"
    );
    assert_eq!(body["retriable"], false);
    let message = body["message"].as_str().unwrap();
    assert!(message.contains(&(200_u64 << 20).to_string()), "{message}");
    // It is loaded there, so what is free says nothing: the whole memory is large enough.
    node.says("vram_total_bytes", 4_u64 << 30);
    node.is_heard(&base).await;
    node.until(&base, |replica| replica["vram_total_bytes"] == 4_u64 << 30).await;
    assert_eq!(placed(&app, &task).await, "a/p");
    app.finish().await;
}

// N14
#[tokio::test]
async fn a_replica_whose_model_is_another_one_than_the_catalog_knows_gets_nothing() {
    let root = Root::new();
    let app = TestApp::over(&root).await;
    let base = app.url("");
    let model = json!({"id": "mine/m", "model_ref": root.model_ref(), "digest": root.digest()});
    assert_eq!(app.post("/v2/catalog/models", &model).await.status(), StatusCode::CREATED);
    app.post("/v2/catalog/models/mine/m/verify", &json!({})).await;
    let node = Node::start("a", "p", 1).await;
    node.says("model_id", root.model_ref());
    node.says("model_digest", format!("sha256:{}", "0".repeat(64)));
    node.register(&base).await;
    node.beat(&base).await;
    let wrong = |replica: &Value| {
        replica["last_error"].as_str().is_some_and(|error| error.starts_with("UNTRUSTED_ARTIFACT"))
    };
    assert_eq!(node.until(&base, wrong).await["ready"], false);
    let mut task = engine_task();
    task["model_ref"] = json!("mine/m");
    while app.get_json("/v2/catalog/models/mine/m").await["verification"]["outcome"].is_null() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let (status, body) = refusal(&app, &task).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    node.says("model_digest", root.digest());
    node.is_heard(&base).await;
    assert_eq!(placed(&app, &task).await, "a/p");
    app.finish().await;
}

//= ORCH-3046 type=test
#[tokio::test]
async fn an_engine_of_another_version_does_not_join_a_pool() {
    let app = TestApp::start().await;
    let base = app.url("");
    let (first, second) = (Node::start("a", "p", 1).await, Node::start("b", "p", 1).await);
    first.join(&base).await;
    second.says("engine_version", "b2");
    second.register(&base).await;
    second.beat(&base).await;
    let mixed = |replica: &Value| {
        replica["last_error"].as_str().is_some_and(|error| error.contains("a pool has one version"))
    };
    assert_eq!(second.until(&base, mixed).await["ready"], false);
    // When the first has gone, the second sets the version.
    app.client.delete(app.url("/v2/nodes/a")).send().await.unwrap();
    second.until(&base, |replica| replica["ready"] == true).await;
    app.finish().await;
}

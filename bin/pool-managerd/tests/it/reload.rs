//! Another model, and the way back when it does not work; what a purge leaves.

use std::fs;

use pool_registry_types::{OperationState, PoolStatus};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    engine::{beside, left},
    node::{Daemon, Disk, Node, lives, pid_of},
};

fn ended(status: &PoolStatus) -> bool {
    status.operation.as_ref().is_some_and(|operation| operation.state != OperationState::Running)
}

fn to(model: &std::path::Path) -> Value {
    json!({"new_model_ref": model.display().to_string()})
}

fn name(model: &std::path::Path) -> String {
    model.display().to_string()
}

//= ORCH-3443 type=test
#[tokio::test]
async fn a_reload_serves_the_new_model_also_after_the_next_start() {
    let (disk, first) = Disk::with_pool("good", "");
    let second = disk.model("second.gguf", "slow");
    let node = Node::start(&disk).await;
    node.door.until_ready().await;
    let (code, body) = node.door.post("reload", &to(&second)).await;
    assert_eq!(code, StatusCode::ACCEPTED, "{body}");
    assert_eq!((&body["operation"], &body["state"]), (&json!("reload"), &json!("running")), "{body}");
    node.door.until("loading the new model", |_| left(&second, "pid").is_some()).await;
    let status = node.door.status().await;
    assert!(!status.report.ready && status.report.draining);
    assert_eq!(status.report.model_id, Some(name(&first)), "the new model is not claimed before it is ready");
    fs::write(beside(&second, "go"), "").unwrap();
    let status = node.door.until("done", ended).await;
    assert_eq!(status.operation.unwrap().state, OperationState::Succeeded);
    assert!(status.report.ready && !status.report.draining);
    assert_eq!(status.report.model_id, Some(name(&second)));
    assert!(!lives(&pid_of(&first)));
    node.stop().await;
    let node = Node::start(&disk).await;
    assert_eq!(node.door.until_ready().await.report.model_id, Some(name(&second)));
    node.stop().await;
}

// N11
//= ORCH-3443 type=test
#[tokio::test]
async fn a_reload_to_a_model_that_does_not_load_brings_the_old_one_back() {
    let (disk, first) = Disk::with_pool("good", "");
    let bad = disk.model("bad.gguf", "exits");
    let node = Node::start(&disk).await;
    node.door.until_ready().await;
    let before = pid_of(&first);
    assert_eq!(node.door.post("reload", &to(&bad)).await.0, StatusCode::ACCEPTED);
    let status = node.door.until("done", ended).await;
    let operation = status.operation.unwrap();
    assert_eq!(operation.state, OperationState::Failed);
    assert!(operation.error.unwrap().contains("bad magic"));
    assert!(status.report.ready && !status.report.draining);
    assert_eq!(status.report.model_id, Some(name(&first)));
    assert_ne!(pid_of(&first), before);
    node.stop().await;
}

// N11
//= ORCH-3443 type=test
#[tokio::test]
async fn a_reload_to_what_is_not_there_is_refused_at_once_and_the_old_engine_serves_on() {
    let (disk, first) = Disk::with_pool("good", "");
    let second = disk.model("second.gguf", "good");
    let node = Node::start(&disk).await;
    node.door.until_ready().await;
    let before = pid_of(&first);
    let digest = format!("sha256:{}", "0".repeat(64));
    for (body, code) in [
        (to(&disk.path("nowhere.gguf")), "MODEL_NOT_AVAILABLE"),
        (json!({"new_model_ref": name(&second), "model_digest": digest}), "UNTRUSTED_ARTIFACT"),
    ] {
        let (status, answer) = node.door.post("reload", &body).await;
        assert_eq!((status, &answer["code"]), (StatusCode::CONFLICT, &json!(code)), "{answer}");
    }
    let status = node.door.status().await;
    assert!(status.report.ready);
    assert_eq!(pid_of(&first), before);
    node.stop().await;
}

// N12
//= ORCH-3443 type=test
#[tokio::test]
async fn an_agent_that_is_killed_in_the_middle_of_a_reload_comes_back_with_the_old_model() {
    let (disk, first) = Disk::with_pool("good", "");
    let second = disk.model("second.gguf", "slow");
    let agent = Daemon::start(&disk).await;
    agent.door.until_ready().await;
    assert_eq!(agent.door.post("reload", &to(&second)).await.0, StatusCode::ACCEPTED);
    agent.door.until("loading the new model", |_| left(&second, "pid").is_some()).await;
    agent.kill();
    let agent = Daemon::start(&disk).await;
    let status = agent.door.until_ready().await;
    assert_eq!((status.report.model_id, status.operation), (Some(name(&first)), None));
    crate::node::until("no engine of the lost reload is left", || !lives(&pid_of(&second))).await;
}

#[tokio::test]
async fn a_purge_stops_the_engine_and_removes_only_what_is_ours() {
    let (disk, first) = Disk::with_pool("good", "");
    let node = Node::start(&disk).await;
    node.door.until_ready().await;
    let own = disk.path("state/models/own.gguf");
    fs::write(&own, "good").unwrap();
    fs::write(beside(&first, "busy"), "1").unwrap();
    node.door.until("busy", |status| status.report.slots_free == 3).await;
    let (code, body) = node.door.post("purge", &json!({"drain_first": false})).await;
    assert_eq!((code, &body["code"]), (StatusCode::CONFLICT, &json!("POOL_BUSY")), "{body}");
    let wish = json!({"drain_first": false, "force": true, "delete_cache_dirs": true,
        "purge_models": ["own.gguf", name(&first)]});
    assert_eq!(node.door.post("purge", &wish).await.0, StatusCode::ACCEPTED);
    let status = node.door.until("purged", ended).await;
    let operation = status.operation.unwrap();
    assert_eq!(operation.state, OperationState::Failed);
    assert!(operation.error.unwrap().contains("does not lie in the agent's own folder"));
    assert!(!status.report.ready && !status.live);
    assert!(!own.exists() && first.exists() && !disk.path("state/cache/a").exists());
    assert!(!lives(&pid_of(&first)));
    assert_eq!(node.door.post("resume", &json!({})).await.0, StatusCode::ACCEPTED);
    node.door.until_ready().await;
    node.stop().await;
}

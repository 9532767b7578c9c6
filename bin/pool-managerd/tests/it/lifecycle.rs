//! Starting, losing, and starting again.

use std::{fs, time::Duration};

use reqwest::StatusCode;
use serde_json::json;

use crate::{
    engine::{beside, left},
    node::{Disk, Node, kill, lives, pid_of},
};

//= ORCH-3002 type=test
#[tokio::test]
async fn a_pool_is_ready_only_after_its_engine_loaded_and_made_a_token() {
    let (disk, model) = Disk::with_pool("slow", "devices = \"0\"\nctx = 512");
    let node = Node::start(&disk).await;
    node.door.until("loading", |_| left(&model, "pid").is_some()).await;
    let status = node.door.status().await;
    assert!(!status.report.ready && status.report.slots_free == 0);
    assert_eq!(node.door.code("/ready").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(left(&model, "completions"), None);
    fs::write(beside(&model, "go"), "").unwrap();
    let status = node.door.until_ready().await;
    assert_eq!(left(&model, "completions").as_deref(), Some("1"));
    assert_eq!(node.door.code("/ready").await, StatusCode::OK);
    let report = status.report;
    assert_eq!((report.slots_free, report.slots_total, report.ctx_max), (4, Some(4), Some(512)));
    assert_eq!(report.engine_version.as_deref(), Some("b1-fake"));
    assert_eq!(report.model_id, Some(model.display().to_string()));
    assert_eq!(report.device_mask.as_deref(), Some("0"));
    assert_eq!((report.vram_free_bytes, report.vram_total_bytes), (24 << 30, Some(24 << 30)));
    assert_eq!(report.check("pools[0]"), Ok(()));
    node.stop().await;
    assert!(!lives(&pid_of(&model)));
}

//= ORCH-3442 type=test
//= ORCH-3052 type=test
#[tokio::test]
async fn an_engine_gets_all_layers_and_its_devices() {
    let (disk, model) =
        Disk::with_pool("good", "devices = \"1\"\nflags = [\"--slots\"]\nenv = { OMP_NUM_THREADS = \"2\" }");
    let node = Node::start(&disk).await;
    node.door.until_ready().await;
    let args = left(&model, "args").unwrap();
    assert!(args.ends_with("--parallel 4 --slots --n-gpu-layers 999"), "{args}");
    let env = left(&model, "env").unwrap();
    assert!(env.contains("CUDA_VISIBLE_DEVICES=1\n") && env.contains("OMP_NUM_THREADS=2\n"), "{env}");
    node.stop().await;
}

//= ORCH-3442 type=test
//= ORCH-3352 type=test
#[tokio::test]
async fn a_pool_that_would_offload_is_not_started_and_says_which_flag_it_is() {
    let (disk, model) = Disk::with_pool("good", "flags = [\"--n-cpu-moe\", \"8\"]");
    let node = Node::start(&disk).await;
    let status = node.door.until("refused", |status| status.report.last_error.is_some()).await;
    let told = status.report.last_error.unwrap();
    assert_eq!(told, "flag --n-cpu-moe is refused under gpu_policy = vram-only");
    assert_eq!(left(&model, "pid"), None);
    node.stop().await;
}

//= ORCH-3003 type=test
#[tokio::test]
async fn an_engine_that_cannot_load_is_reported_with_its_last_words() {
    let (disk, _) = Disk::with_pool("exits", "");
    let node = Node::start(&disk).await;
    let status = node.door.until("failed", |status| status.report.last_error.is_some()).await;
    let told = status.report.last_error.unwrap();
    assert!(told.starts_with("exit code 3; it said last: ") && told.contains("bad magic"), "{told}");
    node.stop().await;
}

//= ORCH-3003 type=test
#[tokio::test]
async fn an_engine_that_makes_no_token_is_never_ready() {
    let (disk, _) = Disk::with_pool("mute", "");
    let node = Node::start(&disk).await;
    let status = node.door.until("failed", |status| status.report.last_error.is_some()).await;
    let told = status.report.last_error.unwrap();
    assert!(told.starts_with("the first token failed: ") && told.contains("no kernel"), "{told}");
    node.stop().await;
}

//= ORCH-3441 type=test
#[tokio::test]
async fn an_engine_that_is_killed_is_noticed_and_started_again_at_the_same_place() {
    let (disk, model) = Disk::with_pool("good", "");
    let node = Node::start(&disk).await;
    let before = node.door.until_ready().await.report;
    let first = pid_of(&model);
    kill(&first);
    let status = node.door.until("lost", |status| !status.report.ready).await;
    let told = status.report.last_error.unwrap();
    assert!(told.starts_with("killed by signal 9"), "{told}");
    let after = node.door.until_ready().await.report;
    assert_ne!(pid_of(&model), first);
    assert_eq!(after.endpoint, before.endpoint);
    let metrics = node.door.text("/metrics").await;
    assert!(metrics.contains("pool_managerd_engine_restarts_total{pool_id=\"a\"} 1"), "{metrics}");
    node.stop().await;
}

//= ORCH-3441 type=test
#[tokio::test]
async fn an_engine_that_fails_again_and_again_is_left_alone_until_somebody_resumes_it() {
    let (disk, model) = Disk::with_pool("exits", "");
    let node = Node::start_with(&disk, &[], Duration::from_millis(1)).await;
    let open = |status: &pool_registry_types::PoolStatus| {
        status.report.last_error.as_ref().is_some_and(|told| told.contains("6 failures"))
    };
    let status = node.door.until("given up", open).await;
    assert!(status.report.last_error.unwrap().contains("bad magic"));
    let metrics = node.door.text("/metrics").await;
    assert!(metrics.contains("pool_managerd_pool_state{pool_id=\"a\",state=\"failed\"} 1"), "{metrics}");
    assert!(metrics.contains("pool_managerd_engine_starts_total{pool_id=\"a\"} 6"), "{metrics}");
    fs::write(&model, "good").unwrap();
    assert_eq!(node.door.post("resume", &json!({})).await.0, StatusCode::ACCEPTED);
    node.door.until_ready().await;
    node.stop().await;
}

// N14
//= ORCH-3445 type=test
//= ORCH-3097 type=test
#[tokio::test]
async fn a_model_with_another_digest_is_not_loaded() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let (disk, model) = Disk::with_pool("good", &format!("model_digest = \"{digest}\""));
    let node = Node::start(&disk).await;
    let status = node.door.until("refused", |status| status.report.last_error.is_some()).await;
    assert!(status.report.last_error.unwrap().starts_with("UNTRUSTED_ARTIFACT: "));
    assert_eq!((left(&model, "pid"), status.report.model_digest), (None, None));
    node.stop().await;
}

#[tokio::test]
async fn an_engine_that_runs_already_is_looked_at_and_left_alone() {
    let (disk, model) = Disk::with_pool("good", "");
    let keeper = Node::start(&disk).await;
    let endpoint = keeper.door.until_ready().await.report.endpoint.unwrap();
    let mut other = Disk::new();
    let pool = format!(
        "[[pools]]\nid = \"a\"\nengine = \"llamacpp\"\nprovisioning = \"external\"\nendpoint = \"{endpoint}\"\n"
    );
    other.toml.push_str(&pool);
    let node = Node::start(&other).await;
    let report = node.door.until_ready().await.report;
    assert_eq!((report.endpoint, report.slots_free), (Some(endpoint), 4));
    assert_eq!(report.model_id, Some(model.display().to_string()));
    let (code, body) = node.door.post("purge", &json!({})).await;
    assert_eq!((code, &body["code"]), (StatusCode::BAD_REQUEST, &json!("INVALID_PARAMS")), "{body}");
    node.stop().await;
    assert!(lives(&pid_of(&model)));
    keeper.stop().await;
}

#[tokio::test]
async fn a_drain_ends_with_the_last_stream_and_resume_takes_work_again() {
    let (disk, model) = Disk::with_pool("good", "");
    let node = Node::start(&disk).await;
    node.door.until_ready().await;
    fs::write(beside(&model, "busy"), "2").unwrap();
    node.door.until("busy", |status| status.report.slots_free == 2).await;
    let (code, body) = node.door.post("drain", &json!({"deadline_ms": 60_000})).await;
    assert_eq!((code, &body["state"]), (StatusCode::ACCEPTED, &json!("running")), "{body}");
    assert!(node.door.status().await.report.draining);
    // N13
    let (code, body) = node.door.post("reload", &json!({"new_model_ref": "/x"})).await;
    assert_eq!(
        (code, &body["code"], &body["retriable"]),
        (StatusCode::CONFLICT, &json!("POOL_BUSY"), &json!(true))
    );
    fs::write(beside(&model, "busy"), "0").unwrap();
    let ended = |status: &pool_registry_types::PoolStatus| {
        status.operation.as_ref().is_some_and(|it| it.state == pool_registry_types::OperationState::Succeeded)
    };
    let status = node.door.until("drained", ended).await;
    assert!(status.report.draining && status.report.ready);
    assert_eq!(node.door.post("resume", &json!({})).await.0, StatusCode::ACCEPTED);
    node.door.until("open again", |status| !status.report.draining).await;
    node.stop().await;
}

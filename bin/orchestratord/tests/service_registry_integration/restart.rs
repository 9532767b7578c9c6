//! What is known of nodes and pools outlives the server.

use std::{path::Path, process::Stdio, time::Duration};

use mock::wire::open_ended;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::{
    daemon::Daemon,
    node::{Node, Reload, serving},
    support::{PATIENCE, engine_task},
};

/// Starts it where it cannot be ready before its nodes are back, and waits until it answers.
async fn restart(state: &Path) -> Daemon {
    let server = Daemon::spawn(&[], (state, &[]), Stdio::inherit());
    let answers = async {
        while server.client.get(server.url("/health")).send().await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, answers).await.expect("the server answers");
    server
}

/// A server that came back after it was killed, a node that it has not heard of since, and a task that waits for it.
async fn killed_while_one_waits(state: &Path) -> (Daemon, Node, String) {
    let server = Daemon::start(state, &[]).await;
    let node = Node::start("gpu-1", "p", 1).await;
    node.join(&server.url("")).await;
    node.engine.push(open_ended(&[" a"]));
    let _runs = server.submit(&engine_task()).await;
    let mut waits = engine_task();
    waits["prompt"] = json!("another");
    let waits = server.submit(&waits).await;
    server.kill();
    (restart(state).await, node, waits)
}

async fn health(server: &Daemon) -> Value {
    server.get_json("/v2/pools/p/health").await
}

//= ORCH-3424 type=test
#[tokio::test]
async fn tasks_of_a_killed_server_wait_for_their_node_to_come_back() {
    let state = TempDir::new().unwrap();
    let (server, node, waits) = killed_while_one_waits(state.path()).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(server.get_json(&format!("/v2/tasks/{waits}")).await["state"], "queued");
    // It does not have to register again.
    node.is_heard(&server.url("")).await;
    let task = server.until_state(&waits, "completed").await;
    assert_eq!(task["placement"]["replica_id"], "gpu-1/p");
    server.stop().await;
}

/// Closes a pool, kills the server, and finds the pool closed although its node says otherwise.
async fn stays_closed(path: &str, how: Value) {
    let state = TempDir::new().unwrap();
    let server = Daemon::start(state.path(), &[]).await;
    let node = Node::start("gpu-1", "p", 1).await;
    node.join(&server.url("")).await;
    let (status, _) = server.post(path, &how).await;
    assert_eq!(status, 202);
    server.kill();
    node.says("draining", false);
    let server = restart(state.path()).await;
    node.beat(&server.url("")).await;
    let seen = async {
        while health(&server).await["replicas"][0]["engine"] != "llamacpp" {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, seen).await.expect("the engine is seen");
    sleep(Duration::from_millis(200)).await;
    assert_eq!(health(&server).await["draining"], true);
    let (status, body) = server.post("/v2/tasks", &engine_task()).await;
    assert_eq!((status.as_u16(), &body["code"]), (503, &json!("POOL_UNREADY")), "{body}");
    server.stop().await;
}

//= ORCH-3038 type=test
#[tokio::test]
async fn a_pool_that_was_drained_stays_so() {
    stays_closed("/v2/pools/p/drain", json!({"deadline_ms": 0})).await;
}

//= ORCH-3038 type=test
#[tokio::test]
async fn a_pool_that_was_purged_stays_closed() {
    stays_closed("/v2/pools/p/purge", json!({"drain_first": false, "force": true})).await;
}

// N12
//= ORCH-3038 type=test
#[tokio::test]
async fn a_reload_that_was_under_way_is_finished_by_the_next_process() {
    let state = TempDir::new().unwrap();
    let server = Daemon::start(state.path(), &[]).await;
    let node = Node::start("gpu-1", "p", 1).await;
    node.agent.state.lock().reloads = vec![Reload::Hangs];
    node.join(&server.url("")).await;
    let reload = json!({"new_model_ref": "next", "wait_ms": 0});
    let (status, body) = server.post("/v2/pools/p/reload", &reload).await;
    assert_eq!(status, 202, "{body}");
    while node.asked().is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    server.kill();
    let server = restart(state.path()).await;
    node.beat(&server.url("")).await;
    let finished = async {
        while health(&server).await["operation"]["state"] != "succeeded" {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, finished).await.expect("the reload is finished");
    assert_eq!(node.asked(), ["reload", "reload"]);
    let replica = &health(&server).await["replicas"][0];
    assert_eq!((&replica["models"][0], &replica["ready"]), (&json!("next"), &json!(true)));
    server.stop().await;
}

#[tokio::test]
async fn what_a_node_does_not_bring_back_keeps_no_task_waiting() {
    let state = TempDir::new().unwrap();
    let (server, node, waits) = killed_while_one_waits(state.path()).await;
    node.says("model_id", "other");
    node.says("pool_id", "q");
    node.engine.becomes(serving("other", 1));
    assert_eq!(node.beat(&server.url("")).await.status(), 200);
    let task = server.until_state(&waits, "failed").await;
    assert_eq!(task["error"]["code"], "WORKER_RESET", "{task}");
    assert_eq!(server.get_json("/v2/pools").await["pools"].as_array().unwrap().len(), 1);
    server.stop().await;
}

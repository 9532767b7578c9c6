//! A copy of the state folder that is taken while the server works.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;
use tokio::{sync::Mutex, time::sleep};

use crate::{
    daemon::Daemon,
    support::{PATIENCE, mock_task},
};

const COPIER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/backup/orchestratord-backup");
/// So many tasks are accepted before the copy begins.
const BEFORE: usize = 60;

fn copy(state: &Path, target: &Path) -> std::process::Output {
    Command::new("sh").arg(COPIER).arg(state).arg(target).output().unwrap()
}

/// Submits tasks until it is told to stop, and notes each id whose 202 was read.
async fn submit(server: Arc<Daemon>, accepted: Arc<Mutex<Vec<String>>>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let (status, body) = server.post("/v2/tasks", &mock_task()).await;
        if status.is_success() {
            accepted.lock().await.push(body["job_id"].as_str().unwrap().to_owned());
        } else {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_taken_under_load_accounts_for_every_task_that_was_accepted_before() {
    if Command::new("sqlite3").arg("--version").output().is_err() {
        println!("SKIPPED a_backup_taken_under_load: sqlite3 is not installed");
        return;
    }
    let (state, away) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let settings = [("ORCHD_POOLS", "default=mock"), ("ORCHD_ADMISSION_CAPACITY", "1000")];
    let server = Arc::new(Daemon::start(state.path(), &settings).await);
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let clients = (0..4).map(|_| submit(Arc::clone(&server), Arc::clone(&accepted), Arc::clone(&stop)));
    let load: Vec<_> = clients.map(tokio::spawn).collect();
    while accepted.lock().await.len() < BEFORE {
        sleep(Duration::from_millis(5)).await;
    }
    let before = accepted.lock().await.clone();
    let target = away.path().join("copy");
    let output = {
        let (from, to) = (state.path().to_owned(), target.clone());
        tokio::task::spawn_blocking(move || copy(&from, &to)).await.unwrap()
    };
    assert!(output.status.success(), "{output:?}");
    // The server is as it was: it has accepted more, and goes on to.
    let during = accepted.lock().await.len();
    assert!(during > before.len(), "nothing was accepted during the copy");
    let more = async {
        while accepted.lock().await.len() == during {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, more).await.expect("the server goes on");
    stop.store(true, Ordering::Relaxed);
    for client in load {
        client.await.unwrap();
    }
    Arc::into_inner(server).unwrap().kill();

    let restored = Daemon::start(&target, &settings).await;
    for id in &before {
        let view = restored.until_state(id, "completed").await;
        assert_eq!(view["usage"]["tokens_out"], 12, "{view}");
        let stream = restored.stream(id, None).await;
        assert_eq!(stream.matches("event: end").count(), 1, "{stream}");
    }
    let transcripts = restored.get_json(&format!("/v2/artifacts?job_id={}", before[0])).await;
    assert!(transcripts["artifacts"].is_array(), "{transcripts}");
    restored.stop().await;
}

#[tokio::test]
async fn the_copier_refuses_what_is_no_store_and_overwrites_nothing() {
    if Command::new("sqlite3").arg("--version").output().is_err() {
        println!("SKIPPED the_copier_refuses: sqlite3 is not installed");
        return;
    }
    let (state, away) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let target = away.path().join("copy");
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let none = copy(state.path(), &target);
    assert!(!none.status.success() && said(&none).contains("there is no store"), "{none:?}");
    let server = Daemon::start(state.path(), &[("ORCHD_POOLS", "default=mock")]).await;
    server.submit(&json!({"model_ref": "mock", "prompt": "a", "max_tokens": 1})).await;
    assert!(copy(state.path(), &target).status.success());
    let again = copy(state.path(), &target);
    assert!(!again.status.success() && said(&again).contains("there already"), "{again:?}");
    server.stop().await;
}

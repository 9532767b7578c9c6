//! A store that cannot keep what it is given: no room, a slow disk, a disk that fails.

use std::{process::Command, time::Duration};

use mock::wire::{Act, Ending, ScriptedEngine, body_end, last, stream_head, token};
use reqwest::StatusCode;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    daemon::Daemon,
    support::{engine_task, mock_task, text_of},
};

/// A small disk of its own, where this process may mount one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

//= ORCH-3401 type=test
#[tokio::test]
async fn without_room_tasks_are_refused_what_runs_goes_on_and_room_heals_it() {
    // S05
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: this process may not mount a small disk");
        return;
    };
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![0; 500 * 1_024]).unwrap();
    let engine = ScriptedEngine::start(1).await.unwrap();
    let mut slow = vec![stream_head(), token(" a", 1), Act::Pause(Duration::from_millis(1_500))];
    slow.extend([token(" b", 2), last(Ending::Eos, 2), body_end()]);
    engine.push(slow);
    let pools = format!("default=llamacpp+{}", engine.url());
    let settings = [("ORCHD_POOLS", pools.as_str()), ("ORCHD_ADMISSION_CAPACITY", "1000")];
    let server = Daemon::start(disk.0.path(), &settings).await;
    let running = server.submit(&engine_task()).await;
    server.first_events(&running, 2).await;
    let mut task = engine_task();
    task["prompt"] = json!("long ".repeat(1_500));
    let mut accepted = Vec::new();
    let refused = loop {
        let (status, body) = server.post("/v2/tasks", &task).await;
        match status {
            StatusCode::ACCEPTED => accepted.push(body["job_id"].as_str().unwrap().to_owned()),
            _ => break (status, body),
        }
        assert!(accepted.len() < 300, "the disk never fills");
    };
    assert_eq!(refused.0, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.1);
    assert_eq!(refused.1["code"], "STORAGE_UNAVAILABLE");
    assert_eq!(refused.1["retriable"], true);
    // Tasks that ask for no store are served all the same.
    let mut quick = engine_task();
    quick["durability"] = json!("memory");
    let (status, _) = server.post("/v2/tasks", &quick).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    std::fs::remove_file(ballast).unwrap();
    assert_eq!(text_of(&server.events(&running).await), " a b");
    for id in &accepted {
        server.until_state(id, "completed").await;
    }
    // The ends of so many tasks fill the store's log once more until it is emptied: who is told to come back, does.
    let mut tries = 0;
    let id = loop {
        let (status, body) = server.post("/v2/tasks", &engine_task()).await;
        if status == StatusCode::ACCEPTED {
            break body["job_id"].as_str().unwrap().to_owned();
        }
        assert_eq!(
            (&body["code"], &body["retriable"]),
            (&json!("STORAGE_UNAVAILABLE"), &json!(true)),
            "{body}"
        );
        tries += 1;
        assert!(tries < 10, "room does not heal it");
        sleep(Duration::from_secs(1)).await;
    };
    server.until_state(&id, "completed").await;
    server.kill();
    let server = Daemon::start(disk.0.path(), &settings).await;
    for id in accepted.iter().chain([&running, &id]) {
        assert_eq!(server.get_json(&format!("/v2/tasks/{id}")).await["state"], "completed", "{id}");
    }
}

/// The server under a tracer that does something to each flush of a file.
async fn flushes(state: &TempDir, what: &str, settings: &[(&str, &str)]) -> Option<Daemon> {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: strace is not installed");
        return None;
    }
    let inject = format!("inject=fsync,fdatasync:{what}");
    let tracer = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", &inject];
    Some(Daemon::start_under(&tracer, state.path(), settings).await)
}

//= ORCH-3407 type=test
#[tokio::test]
async fn a_flush_that_fails_ends_the_process_and_nothing_that_was_accepted_is_lost() {
    // S06
    let state = TempDir::new().unwrap();
    Daemon::start(state.path(), &[]).await.stop().await;
    let Some(mut server) = flushes(&state, "error=EIO:when=12+", &[]).await else { return };
    let mut accepted = Vec::new();
    // The one that meets the failure gets no answer, or one that is no 202.
    for _ in 0..40 {
        let answer = server.client.post(server.url("/v2/tasks")).json(&mock_task()).send().await;
        let Ok(answer) = answer else { break };
        if answer.status() != StatusCode::ACCEPTED {
            break;
        }
        let body: serde_json::Value = answer.json().await.unwrap();
        accepted.push(body["job_id"].as_str().unwrap().to_owned());
    }
    assert!(!accepted.is_empty() && accepted.len() < 40, "{}", accepted.len());
    assert!(!server.ends().await, "it ends as a failure");
    let server = Daemon::start(state.path(), &[]).await;
    for id in &accepted {
        let view = server.get_json(&format!("/v2/tasks/{id}")).await;
        assert!(view["state"].is_string(), "{id}: {view}");
    }
}

//= ORCH-3405 type=test
#[tokio::test]
async fn a_slow_disk_holds_up_nobody_but_those_who_wait_for_it() {
    // S07
    let state = TempDir::new().unwrap();
    Daemon::start(state.path(), &[]).await.stop().await;
    let patience = [("ORCHD_STORE_COMMIT_TIMEOUT_MS", "300")];
    let Some(server) = flushes(&state, "delay_enter=1500000", &patience).await else { return };
    let waiting = server.client.post(server.url("/v2/tasks")).json(&mock_task()).send();
    let waiting = tokio::spawn(waiting);
    sleep(Duration::from_millis(50)).await;
    // Each of these is answered while the task waits for the disk.
    for _ in 0..5 {
        assert_eq!(server.client.get(server.url("/health")).send().await.unwrap().status(), StatusCode::OK);
    }
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(body["code"], "STORAGE_UNAVAILABLE");
    // A task that wants no store does not wait for it.
    let mut quick = mock_task();
    quick["durability"] = json!("memory");
    let id = server.submit(&quick).await;
    server.until_state(&id, "completed").await;
    let listed = server.get_json("/v2/tasks").await;
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 1, "the refused one is not there: {listed}");
}

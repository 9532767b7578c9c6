//! Artifacts: what jobs leave behind is kept, found again, and never answered wrong.

use std::{fs, path::PathBuf, time::Duration};

use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::{
    daemon::Daemon,
    support::{PATIENCE, TestApp},
};

const ARTIFACTS: &str = "/v2/artifacts";
const JOB: &str = "0192f0c0-0000-7000-8000-000000000001";

async fn on(state: &TempDir, settings: &[(&str, &str)]) -> TestApp {
    let mut all = vec![("ORCHD_STATE_DIR", state.path().to_str().unwrap())];
    all.extend(settings);
    TestApp::with(&all).await
}

async fn put(app: &TestApp, artifact: &Value) -> (StatusCode, Value) {
    let answer = app.post(ARTIFACTS, artifact).await;
    (answer.status(), answer.json().await.unwrap())
}

async fn stored(app: &TestApp, artifact: &Value) -> String {
    let (status, body) = put(app, artifact).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    body["id"].as_str().unwrap().to_owned()
}

fn id_of(content: &[u8]) -> String {
    let hex: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Where the artifact lies on the disk.
fn file_of(state: &TempDir, id: &str) -> PathBuf {
    let hex = id.strip_prefix("sha256:").unwrap();
    state.path().join("artifacts").join(&hex[..2]).join(&hex[2..])
}

//= ORCH-3416 type=test
//= ORCH-3098 type=test
#[tokio::test]
async fn an_artifact_is_stored_once_by_its_content_and_read_back_after_a_kill() {
    let state = TempDir::new().unwrap();
    let server = Daemon::start(state.path(), &[]).await;
    let text = json!({"kind": "plan", "content": "do this\nthen that", "media_type": "text/plain",
        "name": "../plan", "job_id": JOB});
    let bytes = json!({"kind": "diff", "content_base64": "/wD+"});
    let (status, made) = server.post(ARTIFACTS, &text).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(
        (&made["id"], &made["kind"], &made["bytes"]),
        (&json!(id_of(b"do this\nthen that")), &json!("plan"), &json!(17))
    );
    let (status, again) = server.post(ARTIFACTS, &text).await;
    assert_eq!((status, &again["id"]), (StatusCode::CREATED, &made["id"]));
    let (status, other) = server.post(ARTIFACTS, &bytes).await;
    assert_eq!((status, &other["id"]), (StatusCode::CREATED, &json!(id_of(&[0xff, 0, 0xfe]))));
    server.kill();
    let server = Daemon::start(state.path(), &[]).await;
    let view = server.get_json(&format!("{ARTIFACTS}/{}", made["id"].as_str().unwrap())).await;
    assert_eq!(
        (&view["content"], &view["media_type"], &view["name"]),
        (&text["content"], &json!("text/plain"), &json!("../plan"))
    );
    assert_eq!((&view["jobs"], &view["created_at"]), (&json!([JOB]), &again["created_at"]));
    let view = server.get_json(&format!("{ARTIFACTS}/{}", other["id"].as_str().unwrap())).await;
    assert_eq!((&view["content_base64"], view.get("content")), (&json!("/wD+"), None));
    let of_job = server.get_json(&format!("{ARTIFACTS}?job_id={JOB}")).await;
    assert_eq!(of_job["artifacts"].as_array().unwrap().len(), 1);
    assert_eq!((&of_job["artifacts"][0]["id"], of_job["artifacts"][0].get("content")), (&made["id"], None));
    let all = server.get_json(&format!("{ARTIFACTS}?kind=diff")).await;
    assert_eq!(all["artifacts"][0]["id"], other["id"]);
    server.stop().await;
}

//= ORCH-3098 type=test
#[tokio::test]
async fn every_wrong_field_of_an_artifact_is_refused_by_name() {
    let state = TempDir::new().unwrap();
    let app = on(&state, &[("ORCHD_ARTIFACTS_BYTES_MAX", "64")]).await;
    for (field, artifact) in [
        ("kind", json!({"content": "x"})),
        ("kind", json!({"kind": "binary", "content": "x"})),
        ("kind", json!({"kind": "../plan", "content": "x"})),
        ("content", json!({"kind": "plan"})),
        ("content", json!({"kind": "plan", "content": "x", "content_base64": "eA=="})),
        ("content_base64", json!({"kind": "plan", "content_base64": "?"})),
        ("media_type", json!({"kind": "plan", "content": "x", "media_type": "text\r\nX: y"})),
        ("name", json!({"kind": "plan", "content": "x", "name": ""})),
        ("job_id", json!({"kind": "plan", "content": "x", "job_id": "../1"})),
    ] {
        let (status, body) = put(&app, &artifact).await;
        assert_eq!(
            (status, &body["code"]),
            (StatusCode::BAD_REQUEST, &json!("INVALID_PARAMS")),
            "{artifact}: {body}"
        );
        assert!(body["message"].as_str().unwrap().contains(field), "{field}: {body}");
    }
    for bytes in [65, 100_000] {
        let (status, body) = put(&app, &json!({"kind": "plan", "content": "x".repeat(bytes)})).await;
        assert_eq!((status, &body["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("PAYLOAD_TOO_LARGE")));
    }
    stored(&app, &json!({"kind": "plan", "content": "x".repeat(64)})).await;
    for id in ["x", "..", &id_of(b"none"), "sha256:..%2f..%2fetc%2fpasswd", &id_of(b"none").to_uppercase()] {
        assert_eq!(app.get(&format!("{ARTIFACTS}/{id}")).await.status(), StatusCode::NOT_FOUND, "{id}");
    }
    app.finish().await;
}

//= ORCH-3416 type=test
#[tokio::test]
async fn the_oldest_artifacts_make_room_within_the_quota() {
    let state = TempDir::new().unwrap();
    let app = on(&state, &[("ORCHD_ARTIFACTS_QUOTA_BYTES", "4096")]).await;
    let mut ids = Vec::new();
    for index in 0..4 {
        ids.push(stored(&app, &json!({"kind": "logs", "content": format!("{index}").repeat(1_500)})).await);
    }
    let status = async |id: &str| app.get(&format!("{ARTIFACTS}/{id}")).await.status();
    assert_eq!(status(&ids[0]).await, StatusCode::NOT_FOUND);
    assert_eq!(status(&ids[3]).await, StatusCode::OK);
    let (refused, _) = put(&app, &json!({"kind": "logs", "content": "x".repeat(4_097)})).await;
    assert_eq!(refused, StatusCode::PAYLOAD_TOO_LARGE);
    app.finish().await;
}

//= ORCH-3416 type=test
//= ORCH-3097 type=test
#[tokio::test]
async fn a_damaged_artifact_is_never_answered_and_is_healed_by_storing_it_again() {
    let state = TempDir::new().unwrap();
    let app = on(&state, &[]).await;
    let artifact = json!({"kind": "summary", "content": "all went well"});
    let id = stored(&app, &artifact).await;
    let file = file_of(&state, &id);
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let answer = app.get(&format!("{ARTIFACTS}/{id}")).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert!(!answer.text().await.unwrap().contains("all went"));
    assert_eq!(stored(&app, &artifact).await, id);
    assert_eq!(app.get_json(&format!("{ARTIFACTS}/{id}")).await["content"], "all went well");
    app.finish().await;
}

#[tokio::test]
async fn a_server_that_keeps_nothing_says_that_it_keeps_no_artifacts() {
    let app = TestApp::start().await;
    let (status, body) = put(&app, &json!({"kind": "plan", "content": "x"})).await;
    assert_eq!(
        (status, &body["code"], &body["retriable"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("STORAGE_UNAVAILABLE"), &json!(false))
    );
    assert!(body["hint"].as_str().unwrap().contains("state_dir"));
    app.finish().await;
}

/// The transcript of a task, once it is there.
async fn transcript(app: &TestApp, job: &str) -> Value {
    let there = async {
        loop {
            let list = app.get_json(&format!("{ARTIFACTS}?job_id={job}&kind=transcript")).await;
            if let Some(id) = list["artifacts"][0]["id"].as_str() {
                return app.get_json(&format!("{ARTIFACTS}/{id}")).await;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, there).await.expect("the transcript is made")
}

//= ORCH-3418 type=test
#[tokio::test]
async fn a_task_that_ended_leaves_a_transcript_without_its_prompt() {
    let state = TempDir::new().unwrap();
    let app = on(&state, &[]).await;
    let prompt = "a secret of a client";
    let id = app.submit(&json!({"model_ref": "mock", "prompt": prompt, "max_tokens": 3})).await;
    let task = app.until_state(&id, "completed").await;
    let artifact = transcript(&app, &id).await;
    assert_eq!((&artifact["kind"], &artifact["jobs"]), (&json!("transcript"), &json!([id])));
    let text = artifact["content"].as_str().unwrap();
    assert!(!text.contains("secret"), "{text}");
    let said: Value = serde_json::from_str(text).unwrap();
    let digest = id_of(prompt.as_bytes());
    let digest = digest.strip_prefix("sha256:").unwrap();
    assert_eq!(said["input"], json!([{"role": "prompt", "bytes": prompt.len(), "sha256": digest}]));
    for key in ["text", "usage", "placement", "started_at", "ended_at", "finish_reason", "model_ref"] {
        assert_eq!((&said["task"][key], said["task"][key].is_null()), (&task[key], false), "{key}");
    }
    let counted = async {
        let row = "orchd_transcripts_total{outcome=\"stored\"} 1";
        while !app.get("/metrics").await.text().await.unwrap().contains(row) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, counted).await.expect("the transcript is counted");
    app.finish().await;
}

//= ORCH-3418 type=test
#[tokio::test]
async fn an_operator_may_keep_prompts_or_no_transcripts_at_all() {
    let state = TempDir::new().unwrap();
    let app = on(&state, &[("ORCHD_ARTIFACTS_TRANSCRIPTS", "on")]).await;
    let messages = json!([{"role": "system", "content": "be short"}, {"role": "user", "content": "hello"}]);
    let id = app.submit(&json!({"model_ref": "mock", "messages": messages, "max_tokens": 3})).await;
    app.until_state(&id, "completed").await;
    let artifact = transcript(&app, &id).await;
    let said: Value = serde_json::from_str(artifact["content"].as_str().unwrap()).unwrap();
    assert_eq!((&said["input"], &said["redacted"]), (&messages, &json!(false)));
    app.finish().await;
    let state = TempDir::new().unwrap();
    let off = [("ORCHD_ARTIFACTS_TRANSCRIPTS", "off")];
    let server = Daemon::start(state.path(), &off).await;
    let id = server.submit(&json!({"model_ref": "mock", "prompt": "x", "max_tokens": 3})).await;
    server.until_state(&id, "completed").await;
    // A stop waits for transcripts that are on their way.
    server.stop().await;
    let server = Daemon::start(state.path(), &off).await;
    assert_eq!(server.get_json(ARTIFACTS).await["artifacts"], json!([]));
    server.stop().await;
}

//= ORCH-3418 type=test
#[tokio::test]
async fn a_stop_in_order_leaves_the_transcripts_of_all_that_had_ended() {
    let state = TempDir::new().unwrap();
    let server = Daemon::start(state.path(), &[]).await;
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(server.submit(&json!({"model_ref": "mock", "prompt": "x", "max_tokens": 3})).await);
    }
    for id in &ids {
        server.until_state(id, "completed").await;
    }
    server.stop().await;
    let server = Daemon::start(state.path(), &[]).await;
    for id in &ids {
        let list = server.get_json(&format!("{ARTIFACTS}?job_id={id}")).await;
        assert_eq!(list["artifacts"].as_array().unwrap().len(), 1, "{id}");
    }
    server.stop().await;
}

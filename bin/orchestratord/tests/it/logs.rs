//! What the server writes of a job, as a collector of logs reads it.

use std::{collections::BTreeSet, fs::File, path::Path, process::Stdio};

use mock::wire::{Act, Ending, Persona, ScriptedEngine, answer, completion, open_ended};
use reqwest::StatusCode;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::{
    daemon::Daemon,
    support::{engine_task, mock_task},
};

/// Each line of a job's life: what it says, its target, its texts and its numbers beside `job_id` and
/// `correlation_id`.
const LIFE: &[(&str, &str, &[&str], &[&str])] = &[
    (
        "task accepted",
        "orchestratord::admission",
        &["session_id", "identity", "pool_id", "priority", "human", "actor", "action"],
        &["queue_position", "predicted_start_ms"],
    ),
    (
        "task dispatched",
        "orchestratord::dispatch",
        &["pool_id", "replica_id", "engine", "engine_version", "human", "actor", "action"],
        &["latency_ms"],
    ),
    (
        "stream started",
        "orchestratord::dispatch",
        &["pool_id", "replica_id", "human", "actor", "action"],
        &["first_token_ms"],
    ),
    ("attempt failed", "orchestratord::dispatch", &["pool_id", "error"], &["tokens_out"]),
    (
        "task ended",
        "orchestratord::jobs",
        &["outcome", "human", "actor", "action"],
        &["tokens_out", "duration_ms"],
    ),
];

/// Starts a server that logs into this file, and waits until it is ready.
pub(crate) async fn logging_into(path: &Path, state: &TempDir, settings: &[(&str, &str)]) -> Daemon {
    let settings = [&[("RUST_LOG", "info")], settings].concat();
    let log = Stdio::from(File::create(path).unwrap());
    let mut server = Daemon::spawn(&[], (state.path(), &settings), log);
    server.until_ready().await;
    server
}

/// The records of a log, each of which has to be one flat object with the fields of the frame.
fn records(path: &Path) -> Vec<Map<String, Value>> {
    let text = std::fs::read_to_string(path).unwrap();
    let read = |line: &str| {
        assert!(!line.contains(acts), "{line:?}");
        let record: Map<String, Value> =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(record.values().all(|it| !it.is_object() && !it.is_array()), "{line}");
        assert!(["level", "ts", "target", "msg"].iter().all(|field| record[*field].is_string()), "{line}");
        let level = record["level"].as_str().unwrap();
        assert!(["error", "warn", "info", "debug", "trace"].contains(&level), "{line}");
        record
    };
    text.lines().map(read).collect()
}

/// What a terminal or a reader of lines acts upon.
fn acts(c: char) -> bool {
    c.is_control() || "\u{2028}\u{2029}\u{200e}\u{200f}\u{202a}\u{202d}\u{202e}\u{2066}\u{2069}".contains(c)
}

//= ORCH-3027 type=test
#[tokio::test]
async fn each_line_of_a_jobs_life_is_flat_and_has_the_fields_that_were_promised() {
    let (state, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = folder.path().join("log");
    let engine = ScriptedEngine::start(1).await.unwrap();
    let pools = format!("default=llamacpp+{}", engine.url());
    let settings =
        [("ORCHD_POOLS", pools.as_str()), ("LLORCH_API_TOKEN", "0123456789abcdef0123456789abcdef")];
    let settings = [&settings[..], &[("AUTH_OPTIONAL", "true")]].concat();
    let server = logging_into(&path, &state, &settings).await;
    let submitted = async |correlation: &str| {
        let request = server.client.post(server.url("/v2/tasks")).header("x-correlation-id", correlation);
        let request = request.bearer_auth("0123456789abcdef0123456789abcdef");
        let admission: Value = request.json(&engine_task()).send().await.unwrap().json().await.unwrap();
        admission["job_id"].as_str().unwrap().to_owned()
    };
    let completed = submitted("completed-1").await;
    server.until_state(&completed, "completed").await;
    engine.push(vec![Act::Send(answer("400 Bad Request", "{}").into_bytes())]);
    let failed = submitted("failed-1").await;
    server.until_state(&failed, "failed").await;
    engine.push(open_ended(&[" on"]));
    let canceled = submitted("canceled-1").await;
    server.first_events(&canceled, 2).await;
    let url = server.url(&format!("/v2/tasks/{canceled}/cancel"));
    assert_eq!(server.client.post(url).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    server.stop().await;
    let records = records(&path);
    for (id, correlation, lines, outcome) in [
        (
            &completed,
            "completed-1",
            &["task accepted", "task dispatched", "stream started", "task ended"][..],
            "completed",
        ),
        (
            &failed,
            "failed-1",
            &["task accepted", "task dispatched", "attempt failed", "task ended"],
            "failed",
        ),
        (
            &canceled,
            "canceled-1",
            &["task accepted", "task dispatched", "stream started", "task ended"],
            "canceled",
        ),
    ] {
        let of_job: Vec<_> =
            records.iter().filter(|record| record.get("job_id") == Some(&json!(id))).collect();
        let said: Vec<_> = of_job.iter().map(|record| record["msg"].as_str().unwrap()).collect();
        assert_eq!(said, lines, "{of_job:?}");
        assert!(of_job.iter().all(|record| record["correlation_id"] == correlation), "{of_job:?}");
        assert_eq!(of_job.last().unwrap()["outcome"], outcome);
        for record in of_job {
            let (msg, target, texts, numbers) = LIFE.iter().find(|(msg, ..)| record["msg"] == *msg).unwrap();
            assert_eq!(record["target"], *target, "{msg}");
            let missing = texts.iter().filter(|field| !record.get(**field).is_some_and(Value::is_string));
            let missing =
                missing.chain(numbers.iter().filter(|field| !record.get(**field).is_some_and(Value::is_u64)));
            assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new(), "{record:?}");
        }
    }
    let dispatched = records.iter().find(|record| record["msg"] == "task dispatched").unwrap();
    assert_eq!((&dispatched["level"], &dispatched["pool_id"]), (&json!("info"), &json!("default")));
    let accepted = records.iter().find(|record| record["msg"] == "task accepted").unwrap();
    let identity = accepted["identity"].as_str().unwrap();
    assert!(identity.strip_prefix("token:").is_some_and(|print| print.len() == 6), "{identity}");
    let ended = records.iter().find(|record| record["msg"] == "task ended").unwrap();
    assert!(["tokens_in", "decode_time_ms"].iter().all(|field| ended[*field].is_u64()), "{ended:?}");
    assert!(ended["pool_id"].is_string() && ended["replica_id"].is_string(), "{ended:?}");
}

//= ORCH-3027 type=test
//= ORCH-3339 type=test
#[tokio::test]
async fn every_line_about_a_job_names_the_job_its_request_and_its_trace() {
    let (state, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = folder.path().join("log");
    let server = logging_into(&path, &state, &[]).await;
    let request = server.client.post(server.url("/v2/tasks")).header("x-correlation-id", "mine-1");
    let request = request.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let admission: Value = request.json(&mock_task()).send().await.unwrap().json().await.unwrap();
    let id = admission["job_id"].as_str().unwrap();
    server.until_state(id, "completed").await;
    server.stop().await;
    let records = records(&path);
    let of_job: Vec<_> = records.iter().filter(|record| record.get("job_id") == Some(&json!(id))).collect();
    assert!(of_job.iter().all(|record| record["correlation_id"] == "mine-1"), "{of_job:?}");
    let trace = "0af7651916cd43dd8448eb211c80319c";
    assert!(of_job.iter().all(|record| record["trace_id"] == trace), "{of_job:?}");
    let said: BTreeSet<_> = of_job.iter().map(|record| record["msg"].as_str().unwrap()).collect();
    for moment in ["task accepted", "task dispatched", "stream started", "task ended"] {
        assert!(said.contains(moment), "{moment}: {said:?}");
    }
}

//= ORCH-3350 type=test
#[tokio::test]
async fn a_start_warns_of_each_pool_on_the_cpu_and_of_each_that_does_not_say() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("orchestratord.toml");
    let unstated =
        format!("[[pools]]\nid = \"unstated\"\nengine = \"llamacpp\"\nendpoint = \"{}\"\n", engine.url());
    let text = format!(
        "{unstated}[[pools]]\nid = \"slow\"\nengine = \"mock\"\ndevice = \"cpu\"\n[[pools]]\nid = \"gpu\"\nengine = \"mock\"\ndevice = \"0\"\n"
    );
    std::fs::write(&config, text).unwrap();
    for (policy, said) in [("allow-cpu", "for development only"), ("vram-only", "gets no work")] {
        let (state, path) = (TempDir::new().unwrap(), folder.path().join(policy));
        let settings = [("ORCHD_CONFIG", config.to_str().unwrap()), ("ORCHD_GPU_POLICY", policy)];
        logging_into(&path, &state, &settings).await.stop().await;
        let records = records(&path);
        let warned = |pool: &str, said: &str| {
            let of_pool =
                records.iter().filter(|it| it["level"] == "warn" && it.get("pool_id") == Some(&json!(pool)));
            of_pool.filter(|it| it["msg"].as_str().unwrap().contains(said)).count()
        };
        assert_eq!((warned("slow", said), warned("unstated", "taken for a GPU")), (1, 1), "{policy}");
        assert_eq!((warned("gpu", ""), warned("unstated", "CPU")), (0, 0), "{policy}");
    }
}

/// A record that nobody made, colours, and text that runs backwards.
const FORGED: &str =
    "x\"}\n{\"level\":\"error\",\"msg\":\"forged\"}\r\u{1b}[31m\u{9b}2J\u{7f}\u{2028}\u{202e}gnp.exe\u{2066}";

/// Puts it into every text that comes from outside and may be logged.
async fn forge(server: &Daemon, engine: &ScriptedEngine, far: &ScriptedEngine) {
    let broken = json!({"error": {"code": 400, "message": FORGED}}).to_string();
    engine.push(vec![Act::Send(answer("400 Bad Request", &broken).into_bytes())]);
    let task = json!({"model_ref": "scripted", "prompt": FORGED, "stop": [FORGED], "max_tokens": 4, "max_attempts": 1,
        "placement": {"mode": "pin", "pin_pool_id": "default"}});
    let id = server.submit(&task).await;
    server.until_state(&id, "failed").await;
    engine.push(completion(&[" ok"], Ending::Eos));
    for (field, value) in [
        ("model_ref", json!(FORGED)),
        ("session_id", json!(FORGED)),
        ("engine", json!(FORGED)),
        ("placement", json!({"mode": "pin", "pin_pool_id": FORGED})),
        ("placement", json!({"node_id": FORGED})),
    ] {
        let mut task = engine_task();
        task[field] = value;
        server.post("/v2/tasks", &task).await;
    }
    let node = |id: &str, version: &str| {
        json!({"node_id": id, "machine_id": "m", "pools": ["far"], "capabilities": {"gpus": [
            {"device_id": 0, "name": version, "vram_total_bytes": 1}]}, "version": version,
            "address": far.url().trim_start_matches("http://")})
    };
    for (id, version) in [("gpu-1", "0.1.0"), (FORGED, "0.1.0"), ("gpu-1", FORGED), ("gpu-1", "\u{202e}0.1")]
    {
        server.post("/v2/nodes/register", &node(id, version)).await;
    }
    for (version, error, replica) in [
        ("b1\u{202e}", "it fails\u{2066}", "gpu-1/far"),
        (FORGED, FORGED, FORGED),
        ("b1", FORGED, "gpu-1/far"),
        ("b1\u{202e}", "\u{200f}", "gpu-1/far"),
    ] {
        let beat = json!({"timestamp": "2026-01-01T00:00:00Z", "pools": [{"pool_id": "far", "ready": false,
            "slots_free": 1, "vram_free_bytes": 1, "engine": "llamacpp", "engine_version": version,
            "endpoint": far.url(), "model_id": "scripted", "last_error": error, "replica_id": replica}]});
        server.post("/v2/nodes/gpu-1/heartbeat", &beat).await;
    }
    for model in [FORGED, "a\u{202e}b\u{2066}"] {
        server.post("/v2/pools/far/reload", &json!({"new_model_ref": model, "deadline_ms": 1})).await;
    }
    for path in ["/v2/tasks/%0a%7b%22level%22%3a%22error%22%7d", "/v2/%e2%80%ae/%1b%5b31m?%0a=%0d"] {
        server.client.get(server.url(path)).send().await.unwrap();
    }
}

//= ORCH-3315 type=test
// X03
#[tokio::test]
async fn no_name_and_no_text_from_outside_makes_a_record_of_its_own() {
    let folder = TempDir::new().unwrap();
    let props = json!({"default_generation_settings": {"n_ctx": 4096}, "total_slots": 1,
        "model_alias": "scripted", "model_path": FORGED, "build_info": format!("b1-{FORGED}")});
    for format in ["json", "pretty"] {
        let (state, path) = (TempDir::new().unwrap(), folder.path().join(format));
        let persona = Persona::llamacpp(1).saying("/props", &props.to_string());
        let engine = ScriptedEngine::start_as(persona).await.unwrap();
        let far = ScriptedEngine::start(1).await.unwrap();
        let pools = format!("default=llamacpp+{}", engine.url());
        let settings = [("ORCHD_POOLS", pools.as_str()), ("ORCHD_LOG_FORMAT", format), ("RUST_LOG", "trace")];
        let server = logging_into(&path, &state, &settings).await;
        forge(&server, &engine, &far).await;
        server.stop().await;
        let text = std::fs::read_to_string(&path).unwrap();
        let foreign = text.lines().find(|line| line.contains(acts));
        assert_eq!(foreign, None, "{format}");
        if format == "json" {
            let records = records(&path);
            assert!(records.iter().all(|record| record["msg"] != "forged"));
            assert!(text.contains("forged"), "some of it is logged, escaped");
        } else {
            assert!(text.lines().all(|line| line.starts_with("20")), "each line begins with its time");
        }
    }
}

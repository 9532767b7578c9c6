//! What scrapers see: what was counted, under which labels, and where.

use std::time::Duration;

use mock::wire::{Act, ScriptedEngine, stream_head, token};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};

use crate::{
    daemon::Daemon,
    support::{PATIENCE, TestApp, engine_task, mock_task},
};

/// Waits until the metrics have all of these lines, or lines that begin so.
async fn until_shown(app: &TestApp, lines: &[String]) -> String {
    let mut text = String::new();
    let shown = async {
        loop {
            text = app.get("/metrics").await.text().await.unwrap();
            if lines.iter().all(|line| text.lines().any(|shown| shown.starts_with(line.as_str()))) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let in_time = timeout(PATIENCE, shown).await.is_ok();
    let missing: Vec<_> = lines.iter().filter(|line| !text.contains(line.as_str())).collect();
    assert!(in_time, "{missing:#?} in\n{text}");
    text
}

//= ORCH-3028 type=test
#[tokio::test]
async fn tasks_are_counted_by_engine_version_pool_replica_and_class() {
    let app = TestApp::start().await;
    let mut tokens = (0, 0);
    for priority in ["interactive", "batch", "batch"] {
        let mut task = mock_task();
        task["priority"] = json!(priority);
        let id = app.submit(&task).await;
        let view = app.until_state(&id, "completed").await;
        tokens.0 += view["usage"]["tokens_in"].as_u64().unwrap();
        tokens.1 += view["usage"]["tokens_out"].as_u64().unwrap();
    }
    assert!(tokens.0 > 0 && tokens.1 > 0, "{tokens:?}");
    let pool = app.get_json("/v2/pools/default/health").await;
    let replica = pool["replicas"][0]["replica_id"].as_str().unwrap();
    let served = format!(r#"engine="mock",engine_version="{}",pool_id="default""#, env!("CARGO_PKG_VERSION"));
    let line = format!(r#"{served},priority="batch""#);
    let lines = [
        format!(r#"tasks_enqueued_total{{{served},replica_id="any",priority="interactive"}} 1"#),
        format!(r#"tasks_enqueued_total{{{served},replica_id="any",priority="batch"}} 2"#),
        format!(r#"tasks_started_total{{{served},replica_id="{replica}",priority="batch"}} 2"#),
        format!(r#"tokens_in_total{{{served},replica_id="{replica}"}} {}"#, tokens.0),
        format!(r#"tokens_out_total{{{served},replica_id="{replica}"}} {}"#, tokens.1),
        format!("latency_first_token_ms_count{{{line}}} 2"),
        format!(r#"latency_first_token_ms_bucket{{le="+Inf",{line}}} 2"#),
        format!("latency_decode_ms_count{{{line}}} 2"),
        format!(r#"queue_depth{{{served},priority="interactive"}} 0"#),
        r#"placement_decisions_total{outcome="placed",pinned="false",fallback="false"} 3"#.to_owned(),
        "placement_candidates_considered_count 3".to_owned(),
    ];
    until_shown(&app, &lines).await;
    app.finish().await;
}

fn held() -> Vec<Act> {
    vec![stream_head(), token(" held", 1), Act::UntilGone]
}

//= ORCH-3028 type=test
#[tokio::test]
async fn what_waits_what_is_refused_and_what_is_taken_back_is_counted() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let pools = format!("default=llamacpp+{}", engine.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools), ("ORCHD_ADMISSION_CAPACITY", "1")]).await;
    let view = app.get_json("/v2/pools/default/health").await;
    let replica = view["replicas"][0]["replica_id"].as_str().unwrap().to_owned();
    let version = app.get_json("/v2/meta/capabilities").await["engines"][0]["engine_version"].clone();
    let version = version.as_str().unwrap_or("unknown").to_owned();
    let served = format!(r#"engine="llamacpp",engine_version="{version}",pool_id="default""#);
    engine.push(held());
    let runs = app.submit(&engine_task()).await;
    app.until_state(&runs, "running").await;
    let waits = app.submit(&engine_task()).await;
    until_shown(&app, &[format!(r#"queue_depth{{{served},priority="interactive"}} 1"#)]).await;
    assert_eq!(app.post("/v2/tasks", &engine_task()).await.status(), StatusCode::TOO_MANY_REQUESTS);
    let mut unknown = engine_task();
    unknown["model_ref"] = json!("nothing-serves-this");
    unknown["placement"] = json!({"mode": "pin", "pin_pool_id": "default"});
    assert_eq!(app.post("/v2/tasks", &unknown).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(app.cancel(&waits).await, StatusCode::NO_CONTENT);
    assert_eq!(app.cancel(&runs).await, StatusCode::NO_CONTENT);
    let lines = [
        format!(r#"tasks_canceled_total{{{served},replica_id="none",reason="client"}} 1"#),
        format!(r#"tasks_canceled_total{{{served},replica_id="{replica}",reason="client"}} 1"#),
        r#"tasks_rejected_total{engine="llamacpp",reason="queue_full"} 1"#.to_owned(),
        r#"admission_backpressure_events_total{engine="llamacpp",policy="reject"} 1"#.to_owned(),
        r#"orchd_admission_enqueued_total{pool_id="default",outcome="dispatched"} 1"#.to_owned(),
        r#"orchd_admission_enqueued_total{pool_id="default",outcome="queued"} 1"#.to_owned(),
        r#"placement_decisions_total{outcome="queued",pinned="false",fallback="false"} 1"#.to_owned(),
        r#"placement_decisions_total{outcome="refused",pinned="true",fallback="false"} 1"#.to_owned(),
        format!(r#"queue_depth{{{served},priority="interactive"}} 0"#),
    ];
    let text = until_shown(&app, &lines).await;
    assert!(!text.contains("nothing-serves-this"), "no client's string is a label");
    app.finish().await;
}

//= ORCH-3028 type=test
#[tokio::test]
async fn models_of_the_catalog_are_shown_in_the_state_that_they_are_in() {
    let app = TestApp::start().await;
    let model = json!({"id": "m", "model_ref": "hf:org/m"});
    let answer = app.post("/v2/catalog/models", &model).await;
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    let text = until_shown(&app, &[r#"model_state{model_id="m",state="active"} 1"#.to_owned()]).await;
    assert!(!text.contains(r#"state="retired""#), "{text}");
    app.finish().await;
}

//= ORCH-3314 type=test
#[tokio::test]
async fn a_port_of_its_own_serves_metrics_and_nothing_else() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let port = free.port().to_string();
    let settings = [
        ("PROMETHEUS_METRICS_PORT", port.as_str()),
        ("LLORCH_API_TOKEN", "0123456789abcdef0123456789abcdef"),
    ];
    let app = TestApp::with(&settings).await;
    let scraper = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let get = |path: &str| scraper.get(format!("http://{free}{path}")).send();
    let answer = get("/metrics").await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.headers().contains_key("x-correlation-id"));
    let text = answer.text().await.unwrap();
    assert!(text.contains("# TYPE tasks_enqueued counter") && text.ends_with("# EOF\n"), "{text}");
    for path in ["/health", "/ready", "/v2/pools", "/v2/tasks", "/"] {
        let answer = get(path).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], "NOT_FOUND");
    }
    let mut app = app;
    app.stop().await;
}

//= ORCH-3314 type=test
#[tokio::test]
async fn a_port_for_metrics_that_is_taken_refuses_the_start_and_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let state = tempfile::tempdir().unwrap();
    let (code, said) = Daemon::refuses(state.path(), &[("PROMETHEUS_METRICS_PORT", &port)]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("PROMETHEUS_METRICS_PORT") && said.contains(&port), "{said}");
}

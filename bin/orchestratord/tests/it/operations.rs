//! What operators ask, and what every answer carries.

use std::time::Duration;

use mock::wire::{Persona, ScriptedEngine};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::support::{PATIENCE, TestApp, mock_task};

//= ORCH-3044 type=test
#[tokio::test]
async fn paths_of_older_versions_do_not_exist() {
    let app = TestApp::start().await;
    for path in ["/v1/tasks", "/v1/replicasets", "/v1/capabilities", "/v2", "/"] {
        let response = app.get(path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["code"], "NOT_FOUND");
    }
    let response = app.client.request(Method::PUT, app.url("/v2/tasks")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["code"], "METHOD_NOT_ALLOWED");
    app.finish().await;
}

#[tokio::test]
async fn every_answer_carries_a_correlation_id() {
    let app = TestApp::start().await;
    for path in ["/health", "/ready", "/metrics", "/v2/pools", "/nothing", "/v2/tasks/nothing/events"] {
        let fresh = app.get(path).await;
        let id = fresh.headers()["x-correlation-id"].to_str().unwrap().to_owned();
        assert_eq!(Uuid::parse_str(&id).unwrap().get_version_num(), 4, "{path}");
        let request = app.client.get(app.url(path)).header("x-correlation-id", "my-own.id_1");
        assert_eq!(request.send().await.unwrap().headers()["x-correlation-id"], "my-own.id_1", "{path}");
    }
    app.finish().await;
}

//= ORCH-2103 type=test
//= ORCH-3044 type=test
#[tokio::test]
async fn pools_and_capabilities_tell_what_is_there_now() {
    let app = TestApp::start().await;
    let health = app.get_json("/v2/pools/default/health").await;
    assert_eq!(
        (&health["live"], &health["ready"], &health["draining"]),
        (&true.into(), &true.into(), &false.into())
    );
    assert_eq!(health["metrics"]["slots_free"], health["metrics"]["slots_total"]);
    assert_eq!(health["replicas"][0]["models"][0], "mock");
    assert_eq!(app.get("/v2/pools/nowhere/health").await.status(), StatusCode::NOT_FOUND);
    let capabilities = app.get_json("/v2/meta/capabilities").await;
    assert_eq!(capabilities["api_version"], "2.0.0");
    let version = app.get_json("/v2/meta/version").await;
    assert_eq!(
        (&version["api_version"], &version["server_version"]),
        (&capabilities["api_version"], &capabilities["server_version"])
    );
    assert_eq!(capabilities["engines"][0]["engine"], "mock");
    assert_eq!(app.get_json("/v2/pools").await["pools"][0]["pool_id"], "default");
    app.finish().await;
}

/// Waits until the engines that can do something are those of these pools, and no others.
async fn until_capable(app: &TestApp, pools: &[&str]) {
    let told = async {
        loop {
            let capabilities = app.get_json("/v2/meta/capabilities").await;
            let engines = capabilities["engines"].as_array().unwrap();
            let mut found: Vec<_> =
                engines.iter().map(|engine| engine["pool_id"].as_str().unwrap()).collect();
            found.sort_unstable();
            if found == pools {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, told).await.unwrap_or_else(|_| panic!("{pools:?} become capable"));
}

//= ORCH-3095 type=test
#[tokio::test]
async fn capabilities_are_those_of_the_engines_that_are_ready_at_the_moment() {
    let (a, b) = (ScriptedEngine::start(1).await.unwrap(), ScriptedEngine::start(1).await.unwrap());
    let pools = format!("a=llamacpp+{},b=llamacpp+{}", a.url(), b.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools), ("ORCHD_ENGINE_HEALTH_INTERVAL_MS", "50")]).await;
    until_capable(&app, &["a", "b"]).await;
    b.becomes(Persona::llamacpp(1).without("/health"));
    until_capable(&app, &["a"]).await;
    b.becomes(Persona::llamacpp(1));
    until_capable(&app, &["a", "b"]).await;
    app.finish().await;
}

//= ORCH-3028 type=test
#[tokio::test]
async fn the_metrics_count_what_happened() {
    let app = TestApp::start().await;
    for _ in 0..3 {
        let id = app.submit(&mock_task()).await;
        app.until_state(&id, "completed").await;
    }
    let mut unknown = mock_task();
    unknown["model_ref"] = "nothing-serves-this".into();
    assert_eq!(app.post("/v2/tasks", &unknown).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let response = app.get("/metrics").await;
    let media = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(media.starts_with("application/openmetrics-text"), "{media}");
    let text = response.text().await.unwrap();
    let lines = [
        "orchd_admission_queue_depth{pool_id=\"default\"} 0",
        "orchd_admission_enqueued_total{pool_id=\"default\",outcome=\"dispatched\"} 3",
        "orchd_admission_rejected_total{pool_id=\"none\",reason=\"model_not_available\"} 1",
        "orchd_tasks_dispatched_total{pool_id=\"default\",outcome=\"completed\"} 3",
        "orchd_dispatch_latency_ms_count{pool_id=\"default\"} 3",
        "orchd_dispatch_latency_ms_bucket{le=\"0.1\",pool_id=\"default\"}",
        "orchd_pool_health_checks_total{pool_id=\"default\",outcome=\"ok\"}",
    ];
    for line in lines {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert!(!text.contains("nothing-serves-this"), "no client's string is a label");
    app.finish().await;
}

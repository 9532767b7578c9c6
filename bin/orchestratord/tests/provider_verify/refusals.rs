//! Every operation, asked so that it is refused: the status and the code are documented ones.

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    pact::Pact,
    support::{TestApp, mock_task},
};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const NOBODY: &str = "00000000-0000-4000-8000-00000000dead";

//= ORCH-3096 type=test
#[tokio::test]
async fn every_guarded_operation_documents_how_it_refuses_strangers() {
    let app = TestApp::with(&[("LLORCH_API_TOKEN", TOKEN)]).await;
    let pact = Pact::of(&app).await;
    for (method, template, operation) in pact.operations() {
        let url = app.url(&template.replace("{id}", NOBODY));
        let answer = pact.send(app.client.request(method, url)).await.0;
        let guarded = operation["security"].as_array().is_some_and(|tokens| !tokens.is_empty());
        assert_eq!(answer == StatusCode::UNAUTHORIZED, guarded, "{template}");
    }
}

#[tokio::test]
async fn what_is_not_there_and_what_cannot_be_read_is_refused_as_documented() {
    // A server that keeps nothing has no place for artifacts, and would refuse them before their body is read.
    let state = TempDir::new().unwrap();
    let app = TestApp::with(&[("ORCHD_STATE_DIR", state.path().to_str().unwrap())]).await;
    let pact = Pact::of(&app).await;
    for (method, template, operation) in pact.operations() {
        let url = app.url(&template.replace("{id}", NOBODY));
        if operation.get("requestBody").is_none() {
            pact.send(app.client.request(method, url)).await;
            continue;
        }
        let request = || app.client.request(method.clone(), &url);
        pact.send(request().json(&json!({}))).await;
        let (status, _) =
            pact.send(request().header(header::CONTENT_TYPE, "application/json").body("{")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{template}");
        let (status, _) = pact.send(request().body("{}")).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{template}");
    }
    let (status, _) = pact.send(app.client.get(app.url("/v2/tasks?limit=0"))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let refused = app.client.get(app.url("/health")).header(header::HOST, "evil.example");
    assert_eq!(pact.send(refused).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn refusals_of_tasks_and_calls_have_documented_codes() {
    let app = TestApp::start().await;
    let pact = Pact::of(&app).await;
    let changed = |name: &str, value: Value| {
        let mut task = mock_task();
        task[name] = value;
        task
    };
    for (task, status) in [
        (changed("model_ref", json!("nothing")), StatusCode::SERVICE_UNAVAILABLE),
        (changed("max_tokens", json!(0)), StatusCode::BAD_REQUEST),
        (changed("deadline_ms", json!(0)), StatusCode::BAD_REQUEST),
        (changed("placement", json!({"mode": "pin", "pin_pool_id": "none"})), StatusCode::BAD_REQUEST),
        (changed("placement", json!({"mode": "pin", "node_id": "none"})), StatusCode::SERVICE_UNAVAILABLE),
    ] {
        pact.expect(status, &app, (Method::POST, "/v2/tasks"), Some(task)).await;
    }
    let id = app.submit(&mock_task()).await;
    app.until_state(&id, "completed").await;
    let cancel = format!("/v2/tasks/{id}/cancel");
    pact.expect(StatusCode::CONFLICT, &app, (Method::POST, &cancel), None).await;
    let future = format!("/v2/tasks/{id}/events?after=999");
    pact.expect(StatusCode::BAD_REQUEST, &app, (Method::GET, &future), None).await;
    let chat = json!({"model": "nothing", "messages": [{"role": "user", "content": "hi"}]});
    let call = (Method::POST, "/v1/chat/completions");
    pact.expect(StatusCode::NOT_FOUND, &app, call.clone(), Some(chat)).await;
    let wrong = json!({"model": "mock", "messages": [{"role": "user", "content": "hi"}], "temperature": 9});
    pact.expect(StatusCode::BAD_REQUEST, &app, call, Some(wrong)).await;
    app.finish().await;
}

#[tokio::test]
async fn a_stream_past_its_retention_is_refused_as_documented() {
    let app = TestApp::with(&[("ORCHD_JOBS_RETAINED_BYTES_MAX", "65536")]).await;
    let pact = Pact::of(&app).await;
    let id = app.submit(&mock_task()).await;
    app.until_state(&id, "completed").await;
    let mut large = mock_task();
    large["max_tokens"] = json!(2_000);
    let other = app.submit(&large).await;
    app.until_state(&other, "completed").await;
    let path = format!("/v2/tasks/{id}/events");
    pact.expect(StatusCode::GONE, &app, (Method::GET, &path), None).await;
    app.finish().await;
}

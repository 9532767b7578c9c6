//! Bad input: everything is answered with a clear error, and nothing else suffers.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpStream, time::timeout};

use crate::support::{PATIENCE, TestApp, mock_task};

async fn refused(app: &TestApp, task: &Value, status: StatusCode, code: &str, field: &str) {
    let response = app.post("/v2/tasks", task).await;
    let seen = response.status();
    let body: Value = response.json().await.unwrap();
    assert_eq!((seen, body["code"].as_str()), (status, Some(code)), "{task} got {body}");
    let message = body["message"].as_str().unwrap();
    assert!(message.contains(field), "{message:?} names {field}");
    assert_eq!(body["retriable"], false, "{body}");
}

// H19
#[tokio::test]
async fn every_number_out_of_range_is_refused_by_name() {
    let app = TestApp::start().await;
    let cases = [
        ("max_tokens", json!(0)),
        ("max_tokens", json!(-5)),
        ("max_tokens", json!(1_000_000_000_000_u64)),
        ("max_tokens", json!(1.5)),
        ("max_tokens", json!("12")),
        ("ctx", json!(0)),
        ("seed", json!(-1)),
        ("seed", json!(4_294_967_295_u64)),
        ("temperature", json!(-0.1)),
        ("temperature", json!(1e300)),
        ("top_p", json!(1.01)),
        ("top_k", json!(-1)),
        ("stop", json!([""])),
        ("stop", json!(vec!["x"; 17])),
        ("priority", json!("urgent")),
        ("workload", json!("embedding")),
        ("engine", json!("triton")),
        ("task_id", json!("not-a-uuid")),
        ("session_id", json!("../../etc")),
        ("model_ref", json!("")),
        ("model_ref", json!("../../etc/passwd")),
        ("model_ref", json!("a\\b")),
        ("model_ref", json!("a\nb")),
        ("prompt", json!("")),
        ("prompt", json!(null)),
        ("placement.pin_pool_id", json!({"mode": "pin"})),
        ("placement.pin_pool_id", json!({"mode": "pin", "pin_pool_id": "nowhere"})),
        ("placement.mode", json!({"mode": "auto", "pin_pool_id": "default"})),
    ];
    for (path, value) in cases {
        let mut task = mock_task();
        task[path.split('.').next().unwrap()] = value;
        refused(&app, &task, StatusCode::BAD_REQUEST, "INVALID_PARAMS", path).await;
    }
    let mut task = mock_task();
    for deadline in [0, -1, i64::MIN] {
        task["deadline_ms"] = json!(deadline);
        refused(&app, &task, StatusCode::BAD_REQUEST, "DEADLINE_UNMET", "deadline_ms").await;
    }
    app.finish().await;
}

// H18, H19, H20
#[tokio::test]
async fn a_body_that_is_no_good_json_is_refused() {
    let app = TestApp::start().await;
    let deep = format!("{{\"model_ref\":\"mock\",\"stop\":{}", "[".repeat(100_000));
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        br#"{"model_ref":"mock","prompt":"a"} {}"#.to_vec(),
        br#"{"model_ref":"mock","prompt":"a","prompt":"b"}"#.to_vec(),
        br#"{"model_ref":"mock","prompt":"a","max_tokens":1e300}"#.to_vec(),
        br#"{"model_ref":"mock","prompt":"a","temperature":1e999}"#.to_vec(),
        br#"{"model_ref":"mock","prompt":"a","temperature":NaN}"#.to_vec(),
        b"{\"model_ref\":\"mock\",\"prompt\":\"\xff\xfe\"}".to_vec(),
        b"\xef\xbb\xbf{\"model_ref\":\"mock\",\"prompt\":\"a\"}".to_vec(),
        "{\"model_ref\":\"mock\"}".encode_utf16().flat_map(u16::to_le_bytes).collect(),
        deep.into_bytes(),
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let request = app.client.post(app.url("/v2/tasks")).header("content-type", "application/json");
        let response = request.body(body).send().await.unwrap();
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert_eq!(
            (status, answer["code"].as_str()),
            (StatusCode::BAD_REQUEST, Some("INVALID_PARAMS")),
            "{shown}"
        );
    }
    app.finish().await;
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let app = TestApp::start().await;
    let mut task = mock_task();
    task["tomorrow"] = json!({"deep": [[[1, 2, {"x": null}]]]});
    app.submit(&task).await;
    app.finish().await;
}

// H17
#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let app = TestApp::with(&[("ORCHD_BODY_BYTES_MAX", "65536")]).await;
    let announced = app
        .raw(b"POST /v2/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 65537\r\nConnection: close\r\n\r\n")
        .await;
    assert!(announced.starts_with("HTTP/1.1 413 "), "{announced}");
    assert!(announced.contains("PAYLOAD_TOO_LARGE"), "{announced}");
    let mut chunked = b"POST /v2/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".to_vec();
    for _ in 0..17 {
        chunked.extend_from_slice(b"1000\r\n");
        chunked.extend_from_slice(&[b' '; 4096]);
        chunked.extend_from_slice(b"\r\n");
    }
    let unannounced = app.raw(&chunked).await;
    assert!(unannounced.starts_with("HTTP/1.1 413 "), "{unannounced}");
    app.finish().await;
}

// H21
#[tokio::test]
async fn a_body_of_another_type_or_encoding_is_refused() {
    let app = TestApp::start().await;
    let send = async |name: &'static str, value: &'static str| {
        let request = app.client.post(app.url("/v2/tasks")).header(name, value).body(mock_task().to_string());
        request.send().await.unwrap().status()
    };
    assert_eq!(send("x-nothing", "1").await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(send("content-type", "text/plain").await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let typed = app.client.post(app.url("/v2/tasks")).json(&mock_task()).header("content-encoding", "gzip");
    assert_eq!(typed.send().await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(send("content-type", "application/json; charset=utf-8").await, StatusCode::ACCEPTED);
    app.finish().await;
}

// H22
#[tokio::test]
async fn a_connection_that_sends_no_whole_header_is_closed() {
    let app = TestApp::with(&[("ORCHD_LIMITS_HEADER_TIMEOUT_MS", "300")]).await;
    for beginning in [b"".as_slice(), b"GET /health HTTP/1.1\r\nHost: loc"] {
        let mut socket = TcpStream::connect(app.addr).await.unwrap();
        socket.write_all(beginning).await.unwrap();
        let began = Instant::now();
        let mut rest = Vec::new();
        drop(timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("the server closes"));
        assert!(began.elapsed() >= Duration::from_millis(200), "it waited for its time");
    }
    app.finish().await;
}

// H23
#[tokio::test]
async fn a_body_that_drips_is_cut_off_as_a_whole() {
    let app = TestApp::with(&[("ORCHD_LIMITS_BODY_TIMEOUT_MS", "400")]).await;
    let mut socket = TcpStream::connect(app.addr).await.unwrap();
    let head = b"POST /v2/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n";
    socket.write_all(head).await.unwrap();
    let (mut reading, mut writing) = socket.into_split();
    let drip = tokio::spawn(async move {
        // Never idle for long, but never done either.
        while writing.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = [0; 12];
    timeout(PATIENCE, reading.read_exact(&mut answer)).await.expect("the server answers").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    drip.abort();
    app.finish().await;
}

// H24
#[tokio::test]
async fn too_many_or_too_large_headers_are_refused() {
    let app = TestApp::start().await;
    let many: String = (0..101).map(|number| format!("X-{number}: 1\r\n")).collect();
    let large = format!("X-Large: {}\r\n", "x".repeat(300 * 1024));
    for headers in [many, large] {
        let request = format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        let answer = app.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{}", &answer[..answer.len().min(80)]);
    }
    app.finish().await;
}

// H25
#[tokio::test]
async fn a_request_with_two_lengths_is_answered_at_most_once() {
    let app = TestApp::start().await;
    let smuggled = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let heads = [
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: +4\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "X-Fold: a\r\n b\r\n",
    ];
    for head in heads {
        let request = format!(
            "POST /v2/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{head}\r\n0\r\n\r\n{smuggled}"
        );
        let answer = app.raw(request.as_bytes()).await;
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{head:?} got {answer}");
        assert!(!answer.contains("HTTP/1.1 2"), "{head:?} got {answer}");
    }
    app.finish().await;
}

// H26
#[tokio::test]
async fn only_requests_for_this_host_are_answered() {
    let app = TestApp::start().await;
    let ask = async |head: &str| app.raw(format!("{head}Connection: close\r\n\r\n").as_bytes()).await;
    for good in ["Host: localhost", "Host: 127.0.0.1:8080", "Host: [::1]:1", "host: LOCALHOST"] {
        let answer = ask(&format!("GET /health HTTP/1.1\r\n{good}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{good} got {answer}");
    }
    let bad = [
        "GET /health HTTP/1.1\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n",
        "GET /health HTTP/1.1\r\nHost: rebound.example\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost.example\r\n",
        "GET /health HTTP/1.1\r\nHost: x/?\r\n",
        "GET /health HTTP/1.1\r\nHost: u@localhost\r\n",
        "GET http://other.example/health HTTP/1.1\r\nHost: localhost\r\n",
        "GET /health HTTP/1.1\r\nHost: \r\n",
    ];
    for head in bad {
        let answer = ask(head).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head:?} got {answer}");
        assert!(answer.to_lowercase().contains("x-correlation-id: "), "{answer}");
    }
    app.finish().await;
}

// H27
#[tokio::test]
async fn another_version_of_http_is_not_spoken() {
    let app = TestApp::start().await;
    let answer = app.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert!(!answer.contains("HTTP/1.1 2") && !answer.starts_with('\0'), "{answer:?}");
    let upgrade = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    let mut socket = TcpStream::connect(app.addr).await.unwrap();
    socket.write_all(upgrade.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    timeout(PATIENCE, socket.read_exact(&mut head)).await.expect("the server answers").unwrap();
    assert_eq!(&head, b"HTTP/1.1 200", "an upgrade is not taken up");
    app.finish().await;
}

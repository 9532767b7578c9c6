//! Nodes register, are heard, leave, and are not believed when they cannot be.

use std::time::Duration;

use mock::wire::{Act, Ending, body_end, last, open_ended, stream_head, token};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    node::Node,
    support::{PATIENCE, TestApp, engine_task, mock_task, text_of},
};

async fn refusal(answer: reqwest::Response) -> (StatusCode, Value) {
    (answer.status(), answer.json().await.unwrap())
}

//= ORCH-3424 type=test
#[tokio::test]
async fn a_node_that_registers_and_is_heard_gets_work() {
    let app = TestApp::start().await;
    let node = Node::start("gpu-1", "p", 2).await;
    node.join(&app.url("")).await;
    let id = app.submit(&engine_task()).await;
    assert_eq!(text_of(&app.events(&id).await), " ok");
    let task = app.get_json(&format!("/v2/tasks/{id}")).await;
    assert_eq!(task["placement"]["replica_id"], "gpu-1/p", "{task}");
    assert_eq!(task["placement"]["engine_version"], "b1");
    let nodes = app.get_json("/v2/nodes").await;
    let shown = &nodes["nodes"][0];
    assert_eq!((&shown["node_id"], &shown["status"]), (&json!("gpu-1"), &json!("online")), "{nodes}");
    assert_eq!(shown["pools"][0]["pool_id"], "p");
    let health = app.get_json("/v2/pools/p/health").await;
    assert_eq!(health["replicas"][0]["node_id"], "gpu-1", "{health}");
    assert_eq!(health["replicas"][0]["vram_total_bytes"], 16_u64 << 30);
    let metrics = app.get("/metrics").await.text().await.unwrap();
    for line in [
        "orchd_node_registrations_total{outcome=\"accepted\"} 1",
        "orchd_node_heartbeats_total{outcome=\"accepted\"} 1",
        "orchd_nodes_online 1",
    ] {
        assert!(metrics.contains(line), "{line} is in {metrics}");
    }
    app.finish().await;
}

//= ORCH-3028 type=test
//= ORCH-3313 type=test
#[tokio::test]
async fn numbers_of_a_nodes_devices_are_shown_as_it_reports_them_and_gone_when_it_leaves() {
    let app = TestApp::start().await;
    let node = Node::start("gpu-1", "p", 2).await;
    node.says("gpu_utilization", 0.25);
    node.join(&app.url("")).await;
    let served = r#"engine="llamacpp",engine_version="b1",pool_id="p",replica_id="gpu-1/p",device="0""#;
    let metrics = async || app.get("/metrics").await.text().await.unwrap();
    let text = metrics().await;
    for line in
        [format!("gpu_utilization{{{served}}} 0.25"), format!("vram_used_bytes{{{served}}} {}", 8_u64 << 30)]
    {
        assert!(text.contains(&line), "{line} is in {text}");
    }
    node.says("gpu_utilization", 0.75);
    assert_eq!(node.beat(&app.url("")).await.status(), StatusCode::OK);
    let text = metrics().await;
    assert!(text.contains(&format!("gpu_utilization{{{served}}} 0.75")), "{text}");
    let left = app.client.delete(app.url("/v2/nodes/gpu-1")).send().await.unwrap();
    assert!(left.status().is_success(), "{}", left.status());
    let text = metrics().await;
    assert!(!text.contains("gpu_utilization{") && !text.contains("vram_used_bytes{"), "{text}");
    app.finish().await;
}

#[tokio::test]
async fn the_built_in_mock_gives_way_to_the_first_node() {
    let app = TestApp::start().await;
    let node = Node::start("gpu-1", "p", 1).await;
    node.join(&app.url("")).await;
    let pools = app.get_json("/v2/pools").await;
    let names: Vec<_> = pools["pools"].as_array().unwrap().iter().map(|pool| &pool["pool_id"]).collect();
    assert_eq!(names, ["p"]);
    let (status, body) = refusal(app.post("/v2/tasks", &mock_task()).await).await;
    assert_eq!((status, &body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("MODEL_NOT_AVAILABLE")));
    app.finish().await;
}

#[tokio::test]
async fn a_node_that_nobody_knows_is_told_to_register() {
    let app = TestApp::start().await;
    let node = Node::start("gpu-1", "p", 1).await;
    let (status, body) = refusal(node.beat(&app.url("")).await).await;
    assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &json!("NOT_FOUND")), "{body}");
    let gone = app.client.delete(app.url("/v2/nodes/gpu-1")).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    app.finish().await;
}

// N06
//= ORCH-3431 type=test
#[tokio::test]
async fn impossible_numbers_are_refused_by_their_field_and_three_of_them_leave_the_node_out() {
    let app = TestApp::start().await;
    let node = Node::start("gpu-1", "p", 1).await;
    node.join(&app.url("")).await;
    node.says("slots_total", 1_000_000_000);
    for _ in 0..3 {
        let (status, body) = refusal(node.beat(&app.url("")).await).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(body["message"].as_str().unwrap().starts_with("pools[0].slots_total: "), "{body}");
    }
    node.says("slots_total", 1);
    let (status, body) = refusal(node.beat(&app.url("")).await).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("NODE_CONFLICT")), "{body}");
    let nodes = app.get_json("/v2/nodes").await;
    assert_eq!(nodes["nodes"][0]["status"], "failed");
    let (status, body) = refusal(app.post("/v2/tasks", &engine_task()).await).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    app.finish().await;
}

#[tokio::test]
async fn a_field_of_the_wrong_type_is_named() {
    let app = TestApp::start().await;
    let node = Node::start("gpu-1", "p", 1).await;
    node.register(&app.url("")).await;
    node.says("vram_free_bytes", -1);
    let (status, body) = refusal(node.beat(&app.url("")).await).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body["message"].as_str().unwrap().starts_with("pools[0].vram_free_bytes: "), "{body}");
    let mut wrong = node.registration();
    wrong["node_id"] = json!("../etc");
    let (status, body) = refusal(app.post("/v2/nodes/register", &wrong).await).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body["message"].as_str().unwrap().starts_with("node_id: "), "{body}");
    app.finish().await;
}

// N02
//= ORCH-3427 type=test
#[tokio::test]
async fn a_heartbeat_that_was_sent_before_changes_nothing() {
    let app = TestApp::start().await;
    let node = Node::start("gpu-1", "p", 1).await;
    let mut registration = node.registration();
    registration["incarnation"] = json!(7);
    assert_eq!(app.post("/v2/nodes/register", &registration).await.status(), StatusCode::OK);
    let base = app.url("");
    let answer: Value =
        node.beat_with(&base, json!({"incarnation": 7, "seq": 2})).await.json().await.unwrap();
    assert_eq!(answer, json!({"success": true, "next_heartbeat_ms": 10_000}));
    node.until(&base, |replica| replica["ready"] == true).await;
    node.says("ready", false);
    for old in [json!({"incarnation": 7, "seq": 2}), json!({"incarnation": 6, "seq": 9}), json!({})] {
        let answer: Value = node.beat_with(&base, old).await.json().await.unwrap();
        assert_eq!(answer["success"], false);
    }
    let health = app.get_json("/v2/pools/p/health").await;
    assert_eq!(health["ready"], true, "{health}");
    let metrics = app.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("orchd_node_heartbeats_total{outcome=\"stale\"} 3"), "{metrics}");
    app.finish().await;
}

// N04
//= ORCH-3429 type=test
#[tokio::test]
async fn another_machine_cannot_take_the_name_of_a_node_that_is_there() {
    let app = TestApp::start().await;
    let node = Node::start("gpu-1", "p", 1).await;
    node.join(&app.url("")).await;
    let mut other = node.registration();
    other["machine_id"] = json!("another");
    let (status, body) = refusal(app.post("/v2/nodes/register", &other).await).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("NODE_CONFLICT")), "{body}");
    app.finish().await;
}

// N15
#[tokio::test]
async fn what_runs_on_a_node_that_leaves_goes_elsewhere_or_ends() {
    let app = TestApp::start().await;
    let base = app.url("");
    let (leaves, stays) = (Node::start("gpu-1", "p", 2).await, Node::start("gpu-2", "p", 2).await);
    leaves.join(&base).await;
    // One has said something, and one has not.
    leaves.engine.push(open_ended(&[" a"]));
    leaves.engine.push(vec![stream_head(), Act::UntilGone]);
    let spoke = app.submit(&engine_task()).await;
    let mut other = engine_task();
    other["prompt"] = json!("another");
    while app.get_json(&format!("/v2/tasks/{spoke}")).await["state"] != "running" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let silent = app.submit(&other).await;
    app.until_state(&silent, "running").await;
    while leaves.engine.completions() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stays.join(&base).await;
    let left = app.client.delete(app.url("/v2/nodes/gpu-1")).send().await.unwrap();
    assert_eq!(left.status(), StatusCode::NO_CONTENT);
    let events = app.events(&spoke).await;
    let end = &events.last().unwrap().data;
    assert_eq!((&end["code"], &end["retriable"]), (&json!("WORKER_RESET"), &json!(true)));
    let events = app.events(&silent).await;
    assert_eq!(events.last().unwrap().name, "end", "{events:?}");
    let task = app.get_json(&format!("/v2/tasks/{silent}")).await;
    assert_eq!(task["placement"]["replica_id"], "gpu-2/p");
    let nodes = app.get_json("/v2/nodes").await;
    assert_eq!(nodes["nodes"].as_array().unwrap().len(), 1);
    app.finish().await;
}

// N07
//= ORCH-3432 type=test
#[tokio::test]
async fn a_node_cannot_lead_the_server_to_another_host() {
    let app = TestApp::start().await;
    let base = app.url("");
    let node = Node::start("gpu-1", "p", 1).await;
    node.register(&base).await;
    for endpoint in [
        "http://169.254.169.254/latest",
        "http://169.254.169.254:80",
        "http://10.0.0.1:8080",
        "file:///etc/passwd",
        "http://user@127.0.0.1:1",
        "http://[fe80::1]:1",
        "http://0.0.0.0:1",
        "gopher://127.0.0.1:1",
    ] {
        node.says("endpoint", endpoint);
        let (status, body) = refusal(node.beat(&base).await).await;
        let message = body["message"].as_str().unwrap().to_owned();
        // The third lie in a row is the last that is listened to.
        if status == StatusCode::CONFLICT {
            break;
        }
        assert_eq!(status, StatusCode::BAD_REQUEST, "{endpoint}: {body}");
        assert!(message.starts_with("pools[0].endpoint: "), "{endpoint}: {message}");
    }
    let mut away = node.registration();
    away["node_id"] = json!("gpu-2");
    away["address"] = json!("10.0.0.1:9200");
    let (status, body) = refusal(app.post("/v2/nodes/register", &away).await).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body["message"].as_str().unwrap().starts_with("address: "), "{body}");
    app.finish().await;
}

// N08
#[tokio::test]
async fn a_name_that_leads_elsewhere_is_not_connected_to() {
    let app = TestApp::start().await;
    let base = app.url("");
    let sink = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = Node::start("gpu-1", "p", 1).await;
    node.register(&base).await;
    // Nobody has this name, so there is nothing to be checked and nothing to be connected to.
    node.says("endpoint", format!("http://no-such-host.invalid:{}", sink.local_addr().unwrap().port()));
    assert_eq!(node.beat(&base).await.status(), StatusCode::OK);
    let replica = node.until(&base, |replica| replica["last_error"].is_string()).await;
    assert_eq!(replica["ready"], false);
    assert!(timeout(Duration::from_millis(300), sink.accept()).await.is_err());
    // A name of this machine is.
    let port = node.engine.url().rsplit(':').next().unwrap().to_owned();
    node.says("endpoint", format!("http://localhost:{}", port.trim_end_matches('/')));
    node.is_heard(&base).await;
    app.finish().await;
}

#[tokio::test]
async fn availability_tells_which_models_are_where() {
    let app = TestApp::start().await;
    let base = app.url("");
    let (first, second) = (Node::start("gpu-1", "p", 2).await, Node::start("gpu-2", "q", 3).await);
    first.says("models_available", json!(["scripted", "spare"]));
    first.join(&base).await;
    second.join(&base).await;
    let there = app.get_json("/v2/catalog/availability").await;
    assert_eq!(there["nodes"]["gpu-1"]["models"], json!(["scripted", "spare"]), "{there}");
    assert_eq!(there["nodes"]["gpu-2"]["online"], true);
    assert_eq!(there["total_models"], 2);
    assert_eq!(there["replicated_models"], json!(["scripted"]));
    assert_eq!(there["single_node_models"], json!(["spare"]));
    let scripted = &there["models"][0];
    assert_eq!(scripted["nodes"], json!(["gpu-1", "gpu-2"]));
    assert_eq!((&scripted["total_nodes"], &scripted["total_capacity"]), (&json!(2), &json!(5)));
    app.finish().await;
}

// N01
//= ORCH-3423 type=test
//= ORCH-3425 type=test
#[tokio::test]
async fn of_the_streams_on_a_silent_node_those_live_on_that_say_something() {
    let app = TestApp::with(&[("ORCHD_NODES_OFFLINE_AFTER_MS", "2000")]).await;
    let base = app.url("");
    let node = Node::start("gpu-1", "p", 2).await;
    node.join(&base).await;
    let mut talks = vec![stream_head()];
    for count in 1..=60 {
        talks.extend([token(" a", count), Act::Pause(Duration::from_millis(80))]);
    }
    talks.extend([last(Ending::Eos, 60), body_end()]);
    node.engine.push(talks);
    let talks = app.submit(&engine_task()).await;
    while node.engine.completions() < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    node.engine.push(open_ended(&[" b"]));
    let mut other = engine_task();
    other["prompt"] = json!("another");
    let silent = app.submit(&other).await;
    // No further heartbeat comes.
    let events = app.events(&silent).await;
    assert_eq!(events.last().unwrap().data["code"], "WORKER_RESET", "{events:?}");
    let nodes = app.get_json("/v2/nodes").await;
    assert_eq!(nodes["nodes"][0]["status"], "offline");
    let (status, body) = refusal(app.post("/v2/tasks", &engine_task()).await).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert_eq!(app.get_json(&format!("/v2/tasks/{talks}")).await["state"], "running");
    assert_eq!(text_of(&app.events(&talks).await), " a".repeat(60));
    node.is_heard(&base).await;
    let id = app.submit(&engine_task()).await;
    assert_eq!(text_of(&app.events(&id).await), " ok");
    app.finish().await;
}

// N16
#[tokio::test]
async fn nodes_are_heard_on_their_own_address_when_users_have_taken_every_connection() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let for_nodes = free.to_string();
    let settings = [
        ("ORCHD_NODES_BIND_ADDR", for_nodes.as_str()),
        ("ORCHD_LIMITS_CONNECTIONS_MAX", "2"),
        ("ORCHD_LIMITS_HEADER_TIMEOUT_MS", "600000"),
    ];
    let app = TestApp::with(&settings).await;
    let mut taken = Vec::new();
    for _ in 0..2 {
        taken.push(TcpStream::connect(app.addr).await.unwrap());
    }
    let url = app.url("/health");
    let fresh = reqwest::Client::builder().no_proxy().timeout(Duration::from_millis(500)).build().unwrap();
    let starved = async {
        // The connections of before are given back first.
        while fresh.get(&url).send().await.is_ok() {
            taken.push(TcpStream::connect(app.addr).await.unwrap());
        }
    };
    timeout(PATIENCE, starved).await.expect("every connection is taken");
    let node = Node::start("gpu-1", "p", 1).await;
    node.join(&format!("http://{free}")).await;
    drop(taken);
    app.finish().await;
}

// N20
#[tokio::test]
async fn an_agent_of_a_neighbouring_version_is_understood() {
    let app = TestApp::start().await;
    let base = app.url("");
    let node = Node::start("gpu-1", "p", 1).await;
    let mut newer = node.registration();
    newer["racks"] = json!([{"of": "tomorrow"}]);
    assert_eq!(app.post("/v2/nodes/register", &newer).await.status(), StatusCode::OK);
    node.says("a_field_of_tomorrow", json!({"deep": [1, 2]}));
    node.is_heard(&base).await;
    // One of yesterday tells no more than it must, and gets no work, since nobody knows where its engine is.
    let beat = json!({"timestamp": "2026-01-01T00:00:00Z",
        "pools": [{"pool_id": "p", "ready": true, "slots_free": 1, "vram_free_bytes": 0}]});
    let answer = app.post("/v2/nodes/gpu-1/heartbeat", &beat).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(node.until(&base, |replica| replica["ready"] == false).await["slots_total"], 1);
    app.finish().await;
}

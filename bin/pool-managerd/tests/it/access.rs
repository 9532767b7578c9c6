//! Who may ask the agent, and what it answers to whoever may not.

use std::time::Duration;

use reqwest::{StatusCode, header};
use serde_json::{Value, json};

use crate::{
    engine::left,
    node::{Daemon, Disk, Node, until},
};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

//= AUTH-1001 type=test
#[tokio::test]
async fn only_health_readiness_and_metrics_are_answered_without_the_token() {
    let (disk, _) = Disk::with_pool("good", "");
    let node = Node::start_with(&disk, &[("LLORCH_API_TOKEN", TOKEN)], Duration::from_secs(1)).await;
    let door = &node.door;
    assert_eq!(door.code("/health").await, StatusCode::OK);
    assert_ne!(door.code("/ready").await, StatusCode::UNAUTHORIZED);
    assert_eq!(door.code("/metrics").await, StatusCode::OK);
    for path in ["/v2/pools", "/v2/pools/a/status"] {
        let answer = door.client.get(door.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], "Bearer");
        assert!(answer.headers().contains_key("x-correlation-id"));
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], "MISSING_TOKEN");
        let answer = door.client.get(door.url(path)).bearer_auth(TOKEN).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
    for what in ["drain", "reload", "purge", "resume"] {
        let url = door.url(&format!("/v2/pools/a/{what}"));
        let wrong = door.client.post(url).bearer_auth("x").json(&json!({})).send().await.unwrap();
        assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED, "{what}");
    }
    node.stop().await;
}

//= AUTH-1007 type=test
#[tokio::test]
async fn an_engine_sees_neither_our_tokens_nor_a_mask_or_flag_of_the_agents_own_environment() {
    let (disk, model) = Disk::with_pool("good", "api_key = \"the-engines-own-key\"");
    let env = [("LLORCH_API_TOKEN", TOKEN), ("CUDA_VISIBLE_DEVICES", "7"), ("LLAMA_ARG_N_GPU_LAYERS", "0")];
    let agent = Daemon::start_with(&disk, &env).await;
    until("the pool is ready", || left(&model, "completions").is_some()).await;
    let (seen, args) = (left(&model, "env").unwrap(), left(&model, "args").unwrap());
    assert!(seen.contains("LLAMA_API_KEY=the-engines-own-key\n") && !args.contains("the-engines-own-key"));
    for hidden in [TOKEN, "LLORCH_API_TOKEN", "CUDA_VISIBLE_DEVICES", "LLAMA_ARG_N_GPU_LAYERS"] {
        assert!(!seen.contains(hidden) && !args.contains(hidden), "{hidden}");
    }
    drop(agent);
}

#[tokio::test]
async fn a_wrong_request_is_told_what_is_wrong_with_it() {
    let (disk, _) = Disk::with_pool("good", "");
    let node = Node::start(&disk).await;
    for (what, body, message) in [
        ("drain", json!({}), "missing field `deadline_ms`"),
        ("drain", json!({"deadline_ms": u64::MAX}), "deadline_ms: must be from 0 to"),
        ("reload", json!({"new_model_ref": ""}), "new_model_ref: must be 1 to"),
        ("purge", json!({"purge_models": 1}), "purge_models: must be a list"),
    ] {
        let (code, answer) = node.door.post(what, &body).await;
        assert_eq!((code, &answer["code"]), (StatusCode::BAD_REQUEST, &json!("INVALID_PARAMS")), "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(message), "{answer}");
    }
    for (path, code) in [("/v2/pools/b/status", 404), ("/v1/pools", 404), ("/v2/pools/a/drain", 405)] {
        assert_eq!(node.door.code(path).await.as_u16(), code, "{path}");
    }
    let foreign = node.door.client.get(node.door.url("/v2/pools")).header(header::HOST, "evil.example");
    assert_eq!(foreign.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    node.stop().await;
}

#[tokio::test]
async fn metrics_can_be_had_on_a_port_of_their_own_and_nothing_else_there() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (mut disk, _) = Disk::with_pool("good", "");
    disk.set(&format!("metrics_port = {port}"));
    let node = Node::start(&disk).await;
    let get = async |path: &str| {
        let url = format!("http://127.0.0.1:{port}{path}");
        node.door.client.get(url).send().await.unwrap().status()
    };
    assert_eq!(get("/metrics").await, StatusCode::OK);
    assert_eq!(get("/v2/pools").await, StatusCode::NOT_FOUND);
    node.stop().await;
}

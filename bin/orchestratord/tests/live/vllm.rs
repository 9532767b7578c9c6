//! The same tasks on a real vLLM and on a real llama.cpp server, side by side in one server.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    clients::Client,
    processes::{Engine, Model, Server, Vllm, engine_or_skip, events, text_of},
};

/// A task for one of the two pools, with these further members.
fn task(pool: &str, more: &Value) -> Value {
    let model = if pool == "vllm" { Vllm::MODEL } else { "tiny-counter.gguf" };
    let mut task = json!({"model_ref": model, "prompt": "Count:", "temperature": 0,
        "placement": {"mode": "pin", "pin_pool_id": pool}});
    for (name, value) in more.as_object().unwrap() {
        task[name] = value.clone();
    }
    task
}

/// One engine takes minutes to start, so one test does all that is done with it.
#[tokio::test]
async fn a_real_vllm_and_a_real_llama_server_do_the_same() {
    let Some(vllm) = Vllm::or_skip().await else { return };
    let Some(mut llama) = engine_or_skip(Model::TinyCounter).await else { return };
    let pool = |id: &str, engine: &str, url: String| {
        format!(
            "[[pools]]\nid = \"{id}\"\nengine = \"{engine}\"\nendpoint = \"{url}\"\nmodel = \"counter\"\n"
        )
    };
    let file = format!("{}/two-engines-{}.toml", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let pools = pool("llama", "llamacpp", llama.url()) + &pool("vllm", "vllm", vllm.url());
    std::fs::write(&file, pools).unwrap();
    let server = Server::start_env(&[("ORCHD_CONFIG", &file)]).await;
    while server.get_json("/v2/meta/capabilities").await["engines"].as_array().unwrap().len() < 2 {
        sleep(Duration::from_millis(50)).await;
    }
    for engine in server.get_json("/v2/meta/capabilities").await["engines"].as_array().unwrap() {
        println!("{engine}");
    }
    streamed(&server).await;
    stopped(&server).await;
    canceled(&server, &vllm).await;
    refused(&server).await;
    for client in Client::ALL {
        client.run("patience", &[server.url(), Vllm::MODEL]).await;
    }
    goes_on_when_its_engine_is_killed(&server, &mut llama).await;
    std::fs::remove_file(file).unwrap();
}

/// Both say the same numbers, and count them alike.
async fn streamed(server: &Server) {
    let expected: String = (0..200).map(|number| format!(" {number}")).collect();
    for pool in ["llama", "vllm"] {
        let id = server.submit(&task(pool, &json!({"max_tokens": 200}))).await;
        let stream = server.stream(&id, None).await;
        let all = events(&stream);
        assert_eq!(text_of(&stream), expected, "{pool}");
        let end = &all.last().unwrap().1;
        assert_eq!(
            (&end["tokens_out"], &end["finish_reason"]),
            (&json!(200), &json!("length")),
            "{pool}: {end}"
        );
        let tokens = all.iter().filter(|(name, _)| name == "token").count();
        println!("{pool}: started {}\n{pool}: {tokens} token events, end {end}", all[0].1);
    }
}

async fn stopped(server: &Server) {
    for pool in ["llama", "vllm"] {
        let id = server.submit(&task(pool, &json!({"prompt": "A", "max_tokens": 100}))).await;
        let stream = server.stream(&id, None).await;
        assert_eq!(text_of(&stream), "BCDEFGHIJKLMNOPQRSTUVWXYZ", "{pool}");
        assert_eq!(events(&stream).pop().unwrap().1["finish_reason"], "stop", "{pool}");
        let id = server.submit(&task(pool, &json!({"max_tokens": 100, "stop": [" 15"]}))).await;
        let expected: String = (0..15).map(|number| format!(" {number}")).collect();
        assert_eq!(text_of(&server.stream(&id, None).await), expected, "{pool}");
    }
}

/// After the 204 the engine stops, and no reader sees a further token.
async fn canceled(server: &Server, vllm: &Vllm) {
    let id = server.submit(&task("vllm", &json!({"max_tokens": 3_000}))).await;
    server.until_tokens(&id).await;
    assert!(vllm.running().await > 0.0);
    assert_eq!(server.post(&format!("/v2/tasks/{id}/cancel"), &json!({})).await, StatusCode::NO_CONTENT);
    let began = Instant::now();
    let at_cancel = server.stream(&id, None).await;
    while vllm.running().await > 0.0 {
        assert!(began.elapsed() < Duration::from_secs(20), "vLLM still generates");
        sleep(Duration::from_millis(50)).await;
    }
    println!("vllm: idle {:?} after the cancel, {}", began.elapsed(), events(&at_cancel).pop().unwrap().1);
    sleep(Duration::from_millis(300)).await;
    assert_eq!(server.stream(&id, None).await, at_cancel);
}

/// By us where we know the limit, by the engine where only it can count.
async fn refused(server: &Server) {
    for pool in ["llama", "vllm"] {
        let (status, body) = server
            .try_submit(&task(pool, &json!({"prompt": " 1 2 3 4".repeat(4_000), "max_tokens": 10})))
            .await;
        assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!("INVALID_PARAMS")), "{body}");
        let id = server
            .submit(&task(pool, &json!({"prompt": "a b c d e f ".repeat(1_250), "max_tokens": 10})))
            .await;
        let (name, error) = events(&server.stream(&id, None).await).pop().unwrap();
        assert_eq!((name.as_str(), &error["code"]), ("error", &json!("INVALID_PARAMS")), "{pool}: {error}");
        println!("{pool}: refused at admission: {body}\n{pool}: refused by the engine: {error}");
    }
}

/// Says the numbers to the end although the engine that began dies: the other one says the same again, which
/// is checked, and goes on.
async fn goes_on_when_its_engine_is_killed(server: &Server, llama: &mut Engine) {
    let task = json!({"model_ref": "counter", "prompt": "Count:", "temperature": 0, "max_tokens": 3_000,
        "placement": {"mode": "prefer", "prefer_pools": ["llama"]}, "on_engine_loss": "continue"});
    let id = server.submit(&task).await;
    server.until_tokens(&id).await;
    llama.kill();
    let stream = server.stream(&id, None).await;
    let expected: String = (0..3_000).map(|number| format!(" {}", number % 500)).collect();
    assert!(text_of(&stream) == expected, "{}", &stream[stream.len().saturating_sub(2_000)..]);
    let all = events(&stream);
    let started: Vec<_> = all.iter().filter(|(name, _)| name == "started").map(|(_, data)| data).collect();
    assert_eq!((started.len(), &started[1]["engine"]), (2, &json!("vllm")), "{started:?}");
    let end = &all.last().unwrap().1;
    assert_eq!(end["recovery"], json!({"mode": "replay", "exact": true}));
    println!("{}\n{}\n{end}", started[0], started[1]);
}

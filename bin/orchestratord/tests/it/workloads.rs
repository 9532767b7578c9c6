//! Work that is not text that goes on, and the many fields of a task.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::TestApp;

#[tokio::test]
async fn an_embedding_task_gives_a_vector_for_each_input() {
    let app = TestApp::start().await;
    let task = json!({"model_ref": "mock", "workload": "embedding",
        "inputs": ["the old river", "a bright door", "the old river"]});
    let id = app.submit(&task).await;
    let events = app.events(&id).await;
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["started", "metrics", "end"]);
    let end = &events[2].data;
    let vectors = end["embeddings"].as_array().unwrap();
    assert_eq!(vectors.len(), 3);
    assert!(vectors.iter().all(|vector| vector.as_array().unwrap().len() == 16));
    assert_eq!(vectors[0], vectors[2]);
    assert_ne!(vectors[0], vectors[1]);
    assert_eq!((&end["finish_reason"], &end["tokens_out"]), (&json!("stop"), &json!(0)));
    assert!(end["tokens_in"].as_u64().unwrap() > 0);
    let view = app.until_state(&id, "completed").await;
    assert_eq!((&view["embeddings"], &view["workload"]), (&end["embeddings"], &json!("embedding")));
    assert!(view.get("text").is_none() && view.get("ranking").is_none());
    app.finish().await;
}

#[tokio::test]
async fn a_rerank_task_puts_its_inputs_in_order() {
    let app = TestApp::start().await;
    let task = json!({"model_ref": "mock", "workload": "rerank", "prompt": "the old river",
        "inputs": ["a bright door", "the old river", "an old river"]});
    let id = app.submit(&task).await;
    let events = app.events(&id).await;
    let ranking = events.last().unwrap().data["ranking"].as_array().unwrap();
    let order: Vec<_> = ranking.iter().map(|it| it["index"].as_u64().unwrap()).collect();
    assert_eq!(order, [1, 2, 0]);
    assert_eq!(app.until_state(&id, "completed").await["ranking"], json!(ranking));
    app.finish().await;
}

#[tokio::test]
async fn what_no_engine_of_the_model_does_is_refused_and_told() {
    let engine = mock::wire::ScriptedEngine::start(1).await.unwrap();
    let pools = format!("default=llamacpp+{}", engine.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    let task = json!({"model_ref": "scripted", "workload": "embedding", "inputs": ["a"]});
    let response = app.post("/v2/tasks", &task).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["code"], "MODEL_NOT_AVAILABLE");
    assert!(body["message"].as_str().unwrap().starts_with("workload: "), "{body}");
    let engines = app.get_json("/v2/meta/capabilities").await;
    assert_eq!(engines["engines"][0]["workloads"], json!(["completion"]));
    app.finish().await;
}

/// A wrong value of each field is refused by the field's name.
#[tokio::test]
async fn a_wrong_value_is_refused_with_the_name_of_its_field() {
    let app = TestApp::start().await;
    let long: Vec<_> = (0..1_025).map(|_| "x").collect();
    let cases = [
        ("inputs", json!({"inputs": ["a"]})),
        ("inputs", json!({"workload": "embedding", "prompt": null})),
        ("inputs", json!({"workload": "embedding", "prompt": null, "inputs": []})),
        ("inputs", json!({"workload": "embedding", "prompt": null, "inputs": long})),
        ("inputs[1]", json!({"workload": "embedding", "prompt": null, "inputs": ["a", ""]})),
        ("prompt", json!({"workload": "embedding", "inputs": ["a"]})),
        ("prompt", json!({"workload": "rerank", "prompt": null, "inputs": ["a"]})),
        ("messages", json!({"workload": "rerank", "messages": [], "inputs": ["a"]})),
        ("workload", json!({"workload": "painting"})),
        ("min_p", json!({"min_p": 1.5})),
        ("presence_penalty", json!({"presence_penalty": -3})),
        ("frequency_penalty", json!({"frequency_penalty": 2.5})),
        ("repeat_penalty", json!({"repeat_penalty": 0})),
        ("temperature", json!({"temperature": -1})),
        ("top_p", json!({"top_p": 2})),
        ("top_k", json!({"top_k": -1})),
        ("seed", json!({"seed": -1})),
        ("stop", json!({"stop": [""]})),
        ("expected_tokens", json!({"expected_tokens": 0})),
        ("max_attempts", json!({"max_attempts": 0})),
        ("max_attempts", json!({"max_attempts": 17})),
        ("max_tokens", json!({"max_tokens": 0})),
        ("ctx", json!({"ctx": 0})),
        ("deadline_ms", json!({"deadline_ms": 604_800_001})),
        ("session_id", json!({"session_id": "mine"})),
        ("task_id", json!({"task_id": "mine"})),
        ("kv_hint", json!({"kv_hint": "lukewarm"})),
        ("output_mode", json!({"output_mode": "song"})),
        ("on_engine_loss", json!({"on_engine_loss": "weep"})),
        ("on_disconnect", json!({"on_disconnect": "weep"})),
        ("determinism", json!({"determinism": "maybe"})),
        ("priority", json!({"priority": "urgent"})),
        ("durability", json!({"durability": "stone"})),
        ("engine", json!({"engine": "triton"})),
        ("engine", json!({"engine": "steam"})),
        ("model_ref", json!({"model_ref": "hf:only-a-repo"})),
        ("model_ref", json!({"model_ref": "http://host/model.gguf"})),
        ("model_ref", json!({"model_ref": "file:relative.gguf"})),
        ("placement.mode", json!({"placement": {"mode": "somewhere"}})),
        ("placement.pin_pool_id", json!({"placement": {"mode": "pin"}})),
    ];
    for (field, change) in cases {
        let mut task = json!({"model_ref": "mock", "prompt": "p"});
        for (name, value) in change.as_object().unwrap() {
            task[name] = value.clone();
        }
        let response = app.post("/v2/tasks", &task).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{change}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(
            (&body["code"], &body["retriable"]),
            (&json!("INVALID_PARAMS"), &json!(false)),
            "{change}"
        );
        let message = body["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{field}: ")), "{change}: {message}");
    }
    app.finish().await;
}

#[tokio::test]
async fn every_field_may_be_given_at_once() {
    let app = TestApp::start().await;
    let task = json!({
        "task_id": "0190c0de-0000-7000-8000-0000000000aa", "session_id": "0190c0de-0000-7000-8000-0000000000bb",
        "workload": "completion", "model_ref": "mock", "engine": "mock", "prompt": "Go on.", "ctx": 512,
        "max_tokens": 4, "priority": "batch", "deadline_ms": 60_000, "seed": 7, "temperature": 0.5, "top_p": 0.9,
        "top_k": 40, "min_p": 0.05, "presence_penalty": 0.1, "frequency_penalty": -0.1, "repeat_penalty": 1.1,
        "stop": ["never said"], "sampler_profile_version": "v1", "expected_tokens": 4, "kv_hint": "cold",
        "output_mode": "json", "determinism": "strict", "durability": "memory", "on_disconnect": "cancel",
        "on_engine_loss": "continue", "max_attempts": 3, "budget": {"tokens": 1_000},
        "placement": {"mode": "prefer", "prefer_pools": ["default"], "avoid_pools": ["other"],
            "allow_fallback": true},
        "a_field_of_the_future": {"is": "ignored"},
    });
    let id = app.submit(&task).await;
    assert_eq!(id, "0190c0de-0000-7000-8000-0000000000aa");
    assert_eq!(app.events(&id).await.last().unwrap().name, "end");
    app.finish().await;
}

//= ORCH-3090 type=test
#[tokio::test]
async fn a_model_is_found_by_where_it_lies_as_well_as_by_its_name() {
    let pools = "default=mock";
    let file = format!("{}/model-{}.toml", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    std::fs::write(&file, "[[pools]]\nid = \"default\"\nengine = \"mock\"\nmodel = \"org/tiny\"\n").unwrap();
    let app = TestApp::with(&[("ORCHD_CONFIG", &file)]).await;
    for name in ["org/tiny", "hf:org/tiny"] {
        let id = app.submit(&json!({"model_ref": name, "prompt": "p", "max_tokens": 2})).await;
        assert_eq!(app.until_state(&id, "completed").await["model_ref"], name, "{pools}");
    }
    app.finish().await;
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn an_explanation_names_each_engine_and_what_speaks_against_it() {
    let engine = mock::wire::ScriptedEngine::start(1).await.unwrap();
    let pools = format!("a=llamacpp+{},b=mock", engine.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    while app.get_json("/v2/meta/capabilities").await["engines"].as_array().unwrap().len() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let held = vec![mock::wire::stream_head(), mock::wire::token(" held", 1), mock::wire::Act::UntilGone];
    engine.push(held);
    let task = json!({"model_ref": "scripted", "prompt": "p", "engine": "llamacpp"});
    let first = app.submit(&task).await;
    app.until_state(&first, "running").await;
    let placed = app.get_json(&format!("/v2/tasks/{first}/explain")).await;
    assert_eq!(
        (&placed["state"], &placed["choice"]["pool_id"], &placed["choice"]["considered"]),
        (&json!("running"), &json!("a"), &json!(2))
    );
    let candidates = placed["choice"]["candidates"].as_array().unwrap();
    let of = |pool: &str| candidates.iter().find(|it| it["pool_id"] == pool).unwrap();
    assert_eq!(of("a")["verdict"], "chosen");
    assert_eq!(
        (&of("b")["verdict"], &of("b")["reason"]),
        (&json!("filtered"), &json!("it serves another model"))
    );
    assert!(placed["asked"].as_array().unwrap().contains(&json!("engine llamacpp")), "{placed}");
    assert!(placed["start"]["actual_start_ms"].is_number(), "{placed}");

    let second = app.submit(&task).await;
    let waits = app.get_json(&format!("/v2/tasks/{second}/explain")).await;
    assert_eq!((&waits["state"], &waits["choice"]["rule"]), (&json!("queued"), &json!("none_open")));
    assert_eq!(waits["start"]["queue_position"], 0);
    assert!(waits["start"]["waited_ms"].is_number() && waits["start"].get("actual_start_ms").is_none());
    let verdicts: Vec<_> =
        waits["choice"]["candidates"].as_array().unwrap().iter().map(|it| it["verdict"].clone()).collect();
    assert_eq!(verdicts, ["full", "filtered"]);
    assert!(waits["human"].as_str().unwrap().starts_with("It waits"), "{waits}");
    assert_eq!(app.get("/v2/tasks/nothing/explain").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(app.cancel(&second).await, StatusCode::NO_CONTENT);
    let over = app.get_json(&format!("/v2/tasks/{second}/explain")).await;
    assert_eq!((over["state"].as_str().unwrap(), over.get("choice")), ("canceled", None));
    assert_eq!(app.cancel(&first).await, StatusCode::NO_CONTENT);
    app.finish().await;
}

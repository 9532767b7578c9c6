//! A task from its submission to its result.

use mock::wire::ScriptedEngine;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{TestApp, engine_task, mock_task, text_of};

//= ORCH-2002 type=test
//= ORCH-3029 type=test
#[tokio::test]
async fn an_accepted_task_streams_to_its_end_and_keeps_its_result() {
    let app = TestApp::start().await;
    let response = app.post("/v2/tasks", &mock_task()).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let admission: Value = response.json().await.unwrap();
    let id = admission["job_id"].as_str().unwrap();
    assert_eq!(admission["task_id"], id);
    assert_eq!(location, format!("/v2/tasks/{id}"));
    assert_eq!(admission["queue_position"], 0);
    assert_eq!(admission["predicted_start_ms"], 0);
    assert_eq!(admission["streams"]["sse"], format!("/v2/tasks/{id}/events"));
    assert_eq!(admission["preparation"]["steps"], json!([]));

    let events = app.events(id).await;
    let text = text_of(&events);
    assert!(!text.is_empty());
    let started = &events[0];
    assert_eq!(started.name, "started");
    for (field, value) in [
        ("job_id", json!(id)),
        ("queue_position", json!(0)),
        ("predicted_start_ms", json!(0)),
        ("engine", json!("mock")),
        ("engine_version", json!(env!("CARGO_PKG_VERSION"))),
        ("pool_id", json!("default")),
        ("replica_id", json!("local/default")),
        ("kv_warmth", json!(false)),
        ("attempt", json!(1)),
    ] {
        assert_eq!(started.data[field], value, "{field}");
    }
    let end = &events.last().unwrap().data;
    assert_eq!((&end["finish_reason"], &end["tokens_out"]), (&json!("length"), &json!(12)));
    assert_eq!(end["decode_time_ms"], end["decode_ms"]);

    let task = app.until_state(id, "completed").await;
    assert_eq!(task["text"], text.as_str());
    assert_eq!(task["usage"]["tokens_out"], 12);
    assert_eq!(task["finish_reason"], "length");
    assert_eq!(task["placement"]["pool_id"], "default");
    for time in ["accepted_at", "started_at", "ended_at"] {
        assert!(task[time].as_str().unwrap().ends_with('Z'), "{time}: {task}");
    }
    app.finish().await;
}

//= ORCH-3045 type=test
#[tokio::test]
async fn the_same_seed_gives_the_same_text() {
    let app = TestApp::start().await;
    let mut texts = Vec::new();
    for seed in [7, 7, 8] {
        let mut task = mock_task();
        task["seed"] = json!(seed);
        texts.push(text_of(&app.events(&app.submit(&task).await).await));
    }
    assert_eq!(texts[0], texts[1]);
    assert_ne!(texts[0], texts[2]);
    app.finish().await;
}

//= ORCH-3045 type=test
#[tokio::test]
async fn the_engine_gets_the_clients_seed_or_under_strict_one_that_follows_from_the_id() {
    let id = "0190c0de-0000-7000-8000-000000000003";
    let mut seeds = Vec::new();
    for fields in [
        json!({"task_id": id}),
        json!({"task_id": id, "prompt": "Something else."}),
        json!({}),
        json!({"task_id": id, "seed": 7}),
        json!({"task_id": id, "determinism": "best_effort"}),
    ] {
        let engine = ScriptedEngine::start(1).await.unwrap();
        let pools = format!("default=llamacpp+{}", engine.url());
        let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
        let mut task = engine_task();
        for (name, value) in fields.as_object().unwrap() {
            task[name] = value.clone();
        }
        let submitted = app.submit(&task).await;
        app.until_state(&submitted, "completed").await;
        let asked: Value = serde_json::from_str(&engine.seen()[0].body).unwrap();
        seeds.push(asked.get("seed").cloned());
        app.finish().await;
    }
    let [derived, again, other, given, none] = &seeds[..] else { panic!("{seeds:?}") };
    assert!(derived.is_some() && derived == again, "the same id gives the same seed: {seeds:?}");
    assert!(other.is_some() && other != derived, "another id gives another one: {seeds:?}");
    assert_eq!((given, none), (&Some(json!(7)), &None));
}

// H10, H11
//= ORCH-3024 type=test
#[tokio::test]
async fn the_same_request_with_the_same_id_is_one_job_and_another_one_conflicts() {
    let app = TestApp::start().await;
    let mut task = mock_task();
    task["task_id"] = json!("0190c0de-0000-7000-8000-000000000001");
    let first = app.post("/v2/tasks", &task).await;
    assert_eq!(first.status(), StatusCode::ACCEPTED);
    let first: Value = first.json().await.unwrap();
    let again = app.post("/v2/tasks", &task).await;
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(again.json::<Value>().await.unwrap(), first);
    task["prompt"] = json!("Something else.");
    let other = app.post("/v2/tasks", &task).await;
    assert_eq!(other.status(), StatusCode::CONFLICT);
    assert_eq!(other.json::<Value>().await.unwrap()["code"], "TASK_ID_CONFLICT");
    app.finish().await;
}

#[tokio::test]
async fn a_refused_request_does_not_use_up_its_id() {
    let app = TestApp::start().await;
    let mut task = mock_task();
    task["task_id"] = json!("0190c0de-0000-7000-8000-000000000002");
    task["model_ref"] = json!("unknown");
    assert_eq!(app.post("/v2/tasks", &task).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        app.get("/v2/tasks/0190c0de-0000-7000-8000-000000000002").await.status(),
        StatusCode::NOT_FOUND
    );
    task["model_ref"] = json!("mock");
    assert_eq!(app.post("/v2/tasks", &task).await.status(), StatusCode::ACCEPTED);
    app.finish().await;
}

//= ORCH-3100 type=test
#[tokio::test]
async fn metrics_tell_a_task_with_a_deadline_how_likely_it_was_to_be_met() {
    let app = TestApp::start().await;
    for (deadline, is_told) in [(None, false), (Some(60_000), true)] {
        let mut task = mock_task();
        task["deadline_ms"] = json!(deadline);
        let events = app.events(&app.submit(&task).await).await;
        let metrics = events.iter().find(|event| event.name == "metrics").unwrap();
        let probability = metrics.data["on_time_probability"].as_f64();
        assert_eq!(probability.is_some(), is_told, "{deadline:?}");
        assert!(probability.is_none_or(|it| (0.0..=1.0).contains(&it)), "{probability:?}");
    }
    app.finish().await;
}

//= ORCH-3014 type=test
//= ORCH-3016 type=test
#[tokio::test]
async fn what_does_not_fit_the_context_is_refused_before_it_waits() {
    let app = TestApp::with(&[("ORCHD_POOLS", "default=mock")]).await;
    let ctx_max = app.get_json("/v2/pools/default/health").await["replicas"][0]["ctx_max"].as_u64().unwrap();
    let mut task = mock_task();
    task["prompt"] = json!("word ".repeat(usize::try_from(ctx_max).unwrap()));
    let response = app.post("/v2/tasks", &task).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["code"], "INVALID_PARAMS");
    assert!(body["message"].as_str().unwrap().contains(&ctx_max.to_string()), "{body}");
    let mut task = mock_task();
    task["ctx"] = json!(ctx_max + 1);
    assert_eq!(app.post("/v2/tasks", &task).await.status(), StatusCode::BAD_REQUEST);
    app.finish().await;
}

#[tokio::test]
async fn an_unknown_task_is_not_found() {
    let app = TestApp::start().await;
    for id in ["0190c0de-0000-7000-8000-000000000009", "x", "..%2f..%2fetc%2fpasswd", "%00", "%ff"] {
        for path in [format!("/v2/tasks/{id}"), format!("/v2/tasks/{id}/events")] {
            let response = app.get(&path).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        }
        assert_eq!(app.cancel(id).await, StatusCode::NOT_FOUND, "{id}");
    }
    app.finish().await;
}

#[tokio::test]
async fn an_idempotency_key_stands_for_an_id_that_the_client_did_not_choose() {
    let app = TestApp::start().await;
    let send = async |key: &str, prompt: &str| {
        let mut task = mock_task();
        task["prompt"] = json!(prompt);
        let request = app.client.post(app.url("/v2/tasks")).json(&task).header("idempotency-key", key);
        let response = request.send().await.unwrap();
        (response.status(), response.json::<Value>().await.unwrap())
    };
    let (status, first) = send("order-17", "One.").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(send("order-17", "One.").await, (StatusCode::OK, first.clone()));
    let (status, other) = send("order-17", "Two.").await;
    assert_eq!((status, &other["code"]), (StatusCode::CONFLICT, &json!("TASK_ID_CONFLICT")));
    let (status, second) = send("order-18", "One.").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_ne!(first["job_id"], second["job_id"]);
    for bad in ["a b", &"x".repeat(256)] {
        let (status, body) = send(bad, "One.").await;
        assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!("INVALID_PARAMS")), "{bad}");
    }
    app.finish().await;
}

#[tokio::test]
async fn tasks_are_listed_newest_first_by_pages_and_filters() {
    let app = TestApp::start().await;
    let session = "0190c0de-0000-7000-8000-0000000000aa";
    let mut ids = Vec::new();
    for number in 0..7 {
        let mut task = mock_task();
        if number % 3 == 0 {
            task["session_id"] = json!(session);
        }
        let id = app.submit(&task).await;
        app.until_state(&id, "completed").await;
        ids.push(id);
    }
    ids.reverse();
    let listed = |page: &Value| -> Vec<String> {
        let tasks = page["tasks"].as_array().unwrap();
        tasks.iter().map(|task| task["job_id"].as_str().unwrap().to_owned()).collect()
    };
    let first = app.get_json("/v2/tasks?limit=3").await;
    assert_eq!(listed(&first), ids[..3]);
    assert!(first["tasks"][0].get("text").is_none());
    let next = first["next_cursor"].as_str().unwrap();
    let second = app.get_json(&format!("/v2/tasks?limit=3&cursor={next}")).await;
    assert_eq!(listed(&second), ids[3..6]);
    let next = second["next_cursor"].as_str().unwrap();
    let third = app.get_json(&format!("/v2/tasks?limit=3&cursor={next}")).await;
    assert_eq!(listed(&third), ids[6..]);
    assert!(third.get("next_cursor").is_none());
    let of_session = app.get_json(&format!("/v2/tasks?session_id={session}")).await;
    assert_eq!(listed(&of_session), [&ids[0], &ids[3], &ids[6]].map(Clone::clone));
    assert_eq!(listed(&app.get_json("/v2/tasks?state=completed&pool_id=default").await), ids);
    assert!(listed(&app.get_json("/v2/tasks?state=running").await).is_empty());
    assert!(listed(&app.get_json("/v2/tasks?pool_id=other").await).is_empty());
    for bad in ["limit=0", "limit=201", "limit=x", "cursor=x", "state=done", "session_id=1"] {
        let response = app.get(&format!("/v2/tasks?{bad}")).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{bad}");
        assert_eq!(response.json::<Value>().await.unwrap()["code"], "INVALID_PARAMS", "{bad}");
    }
    app.finish().await;
}

// H04, H13
#[tokio::test]
async fn a_client_that_leaves_at_once_finds_its_job_again_under_its_id() {
    let app = TestApp::start().await;
    let mut task = mock_task();
    let id = "0190c0de-0000-7000-8000-000000000004";
    task["task_id"] = json!(id);
    let body = task.to_string();
    let request = format!(
        "POST /v2/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut socket = tokio::net::TcpStream::connect(app.addr).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut socket, request.as_bytes()).await.unwrap();
    drop(socket);
    // The answer was never read; whether the request was is found out by asking the same again.
    let again = app.post("/v2/tasks", &task).await;
    assert!([StatusCode::OK, StatusCode::ACCEPTED].contains(&again.status()), "{}", again.status());
    assert_eq!(again.json::<Value>().await.unwrap()["job_id"], id);
    app.until_state(id, "completed").await;
    let listed = app.get_json("/v2/tasks").await;
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 1);
    app.finish().await;
}

#[tokio::test]
async fn a_conversation_is_taken_instead_of_a_prompt_but_never_beside_it() {
    let app = TestApp::start().await;
    let mut task = mock_task();
    task["messages"] =
        json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi."}]);
    let refused = app.post("/v2/tasks", &task).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(refused.json::<Value>().await.unwrap()["message"].as_str().unwrap().starts_with("messages: "));
    task.as_object_mut().unwrap().remove("prompt");
    assert!(!text_of(&app.events(&app.submit(&task).await).await).is_empty());
    for bad in [json!([]), json!("hi"), json!([{"role": "robot", "content": "x"}]), json!([{"role": "user"}])]
    {
        task["messages"] = bad;
        let refused = app.post("/v2/tasks", &task).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{task}");
        assert!(refused.json::<Value>().await.unwrap()["message"].as_str().unwrap().contains("messages"));
    }
    app.finish().await;
}

//! The API that other programs already speak.

use std::time::Duration;

use mock::wire::{Act, Ending, Persona, Script, ScriptedEngine, Voice, answer, body_end, stream_head};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{PATIENCE, TestApp};

const CHAT: &str = "/v1/chat/completions";

fn chat() -> Value {
    json!({"model": "mock", "messages": [{"role": "user", "content": "Tell me a story."}], "max_tokens": 8})
}

/// A call for an engine that plays scripts.
fn scripted() -> Value {
    json!({"model": "scripted", "prompt": "Count:", "stream": true})
}

fn with(mut call: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        call[name] = value.clone();
    }
    call
}

/// A server with one engine that speaks the common dialect.
async fn one_engine() -> (TestApp, ScriptedEngine) {
    let engine = ScriptedEngine::start_as(Persona::openai()).await.unwrap();
    let pools = format!("default=openai+{}", engine.url());
    (TestApp::with(&[("ORCHD_POOLS", &pools), ("ORCHD_ADMISSION_CAPACITY", "1")]).await, engine)
}

/// The documents of a stream, and whether it ended with the mark.
fn documents(stream: &str) -> (Vec<Value>, bool) {
    let data: Vec<_> = stream.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let done = data.last() == Some(&"[DONE]");
    let documents = &data[..data.len() - usize::from(done)];
    (documents.iter().map(|data| serde_json::from_str(data).unwrap()).collect(), done)
}

fn request_id(response: &Response) -> String {
    response.headers()["x-request-id"].to_str().unwrap().to_owned()
}

fn chunk(event: &str) -> Act {
    Act::Chunk(format!("data: {event}\n\n").into_bytes())
}

//= ORCH-3200 type=test
#[tokio::test]
async fn an_answer_comes_as_a_whole_and_its_task_is_one_like_any_other() {
    let app = TestApp::start().await;
    let response = app.post(CHAT, &chat()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert!(response.headers().contains_key("x-correlation-id"));
    let id = request_id(&response);
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["object"], &body["model"]), (&json!("chat.completion"), &json!("mock")));
    let choice = &body["choices"][0];
    assert_eq!(
        (&choice["message"]["role"], &choice["finish_reason"]),
        (&json!("assistant"), &json!("length"))
    );
    let text = choice["message"]["content"].as_str().unwrap();
    assert!(!text.is_empty());
    assert_eq!(body["usage"]["completion_tokens"], 8);
    let task = app.until_state(&id, "completed").await;
    assert_eq!((&task["text"], &task["usage"]["tokens_out"]), (&json!(text), &json!(8)));
    let listed = app.get_json("/v2/tasks").await;
    assert_eq!(listed["tasks"][0]["job_id"], id.as_str());
    assert_eq!(app.get(&format!("/v2/tasks/{id}/events")).await.status(), StatusCode::NOT_FOUND);
    app.finish().await;
}

//= ORCH-3200 type=test
#[tokio::test]
async fn an_answer_comes_as_events_and_its_count_only_when_it_is_wanted() {
    let app = TestApp::start().await;
    let whole: Value = app.post(CHAT, &with(chat(), &json!({"seed": 7}))).await.json().await.unwrap();
    for (options, counts) in [(json!(null), 0), (json!({"include_usage": true}), 1)] {
        let call = with(chat(), &json!({"seed": 7, "stream": true, "stream_options": options}));
        let response = app.post(CHAT, &call).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        let (parts, done) = documents(&response.text().await.unwrap());
        assert!(done);
        let text: String =
            parts.iter().filter_map(|part| part["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(whole["choices"][0]["message"]["content"], text);
        assert_eq!(parts.iter().filter(|part| !part["usage"].is_null()).count(), counts);
    }
    app.finish().await;
}

//= ORCH-3200 type=test
#[tokio::test]
async fn texts_go_on_and_become_vectors_too() {
    let app = TestApp::start().await;
    let call = json!({"model": "mock", "prompt": ["Once", "Twice"], "max_tokens": 3, "n": 2});
    let body: Value = app.post("/v1/completions", &call).await.json().await.unwrap();
    assert_eq!(body["object"], "text_completion");
    let choices = body["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 4);
    assert!(choices.iter().all(|choice| !choice["text"].as_str().unwrap().is_empty()), "{choices:?}");

    let call = json!({"model": "mock", "input": ["the old river", "a door"]});
    let response = app.post("/v1/embeddings", &call).await;
    let id = request_id(&response);
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["object"], body["data"].as_array().unwrap().len()), (&json!("list"), 2));
    assert_eq!(body["data"][1]["embedding"].as_array().unwrap().len(), 16);
    assert_eq!(app.get_json(&format!("/v2/tasks/{id}")).await["workload"], "embedding");
    app.finish().await;
}

//= ORCH-3200 type=test
#[tokio::test]
async fn each_model_is_listed_once_and_by_a_name_that_is_no_path() {
    let (a, b) = (ScriptedEngine::start(1).await.unwrap(), ScriptedEngine::start(1).await.unwrap());
    let pools = format!("a=llamacpp+{},b=llamacpp+{},c=mock", a.url(), b.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    while app.get_json("/v2/meta/capabilities").await["engines"].as_array().unwrap().len() < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let list = app.get_json("/v1/models").await;
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
    assert_eq!(ids.len(), 2, "{list}");
    assert!(ids.iter().all(|id| !id.as_str().unwrap().starts_with('/')), "{ids:?}");
    app.finish().await;
}

//= ORCH-3200 type=test
#[tokio::test]
async fn models_are_those_of_ready_engines() {
    let (app, _engine) = one_engine().await;
    let list = app.get_json("/v1/models").await;
    assert_eq!((&list["object"], list["data"].as_array().unwrap().len()), (&json!("list"), 1));
    let model = &list["data"][0];
    assert_eq!((&model["id"], &model["object"]), (&json!("org/scripted"), &json!("model")));
    assert_eq!(model["owned_by"], "default");
    assert!(model["created"].as_u64().unwrap() > 1_700_000_000);
    assert_eq!(app.get_json("/v1/models/org/scripted").await, *model);
    assert_eq!(app.get_json("/v1/models/scripted").await["id"], "scripted", "by any of its names");
    let missing = app.get("/v1/models/org/other").await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert_eq!(missing.json::<Value>().await.unwrap()["error"]["code"], "model_not_found");
    app.finish().await;
}

//= ORCH-3201 type=test
#[tokio::test]
async fn an_engines_events_reach_the_client_byte_for_byte() {
    let (app, engine) = one_engine().await;
    // Spacing, order, escapes and members of the engine's own.
    let events = [
        r#"{"id":"x", "choices":[{"text":"\u00e9 \/","index":0, "own":1.50}],"z":[ ]}"#,
        r#"{"choices":[{"index":0,"text":"日"}]}"#,
        r#"{"choices":[{"index":0,"text":"","finish_reason":"stop"}]}"#,
    ];
    let mut script = vec![stream_head()];
    script.extend(events.map(chunk));
    script.extend([
        chunk(r#"{"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":2}}"#),
        chunk("[DONE]"),
    ]);
    script.push(body_end());
    engine.push(script);
    let answered = app.post("/v1/completions", &scripted()).await.text().await.unwrap();
    let expected: String =
        events.iter().copied().chain(["[DONE]"]).map(|event| format!("data: {event}\n\n")).collect();
    assert_eq!(answered, expected);
    app.finish().await;
}

//= ORCH-3201 type=test
#[tokio::test]
async fn a_call_reaches_the_engine_as_it_stands_but_for_what_is_the_servers() {
    let (app, engine) = one_engine().await;
    let call = r#"{"model":"org/scripted","prompt":"p","temperature":0.70,"an_engines_own":{"x": [1,  2]},
        "stream":false,"sse_ping_interval":99,"user":"me"}"#;
    let request = app.client.post(app.url("/v1/completions")).body(call);
    let response = request.header("content-type", "application/json").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let id = request_id(&response);
    let seen = engine.seen().remove(0);
    let expected = r#"{"stream":true,"stream_options":{"include_usage":true},"model":"org/scripted","prompt":"p","temperature":0.70,"an_engines_own":{"x": [1,  2]},"user":"me"}"#;
    assert_eq!(seen.body, expected);
    assert_eq!(seen.header("x-request-id"), Some(id.as_str()));
    app.finish().await;
}

#[tokio::test]
async fn fields_that_nobody_knows_are_refused_where_the_operator_says_so() {
    let app = TestApp::with(&[("ORCHD_OPENAI_EXTRA_FIELDS", "refuse")]).await;
    let response = app.post(CHAT, &with(chat(), &json!({"mirostat": 2}))).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(response.json::<Value>().await.unwrap()["error"]["param"], "mirostat");
    let response = app.post(CHAT, &with(chat(), &json!({"user": "me", "store": false}))).await;
    assert_eq!(response.status(), StatusCode::OK);
    app.finish().await;
}

/// Checks that a response is an error of this surface, and returns it.
async fn error_of(response: Response, status: StatusCode) -> Value {
    assert_eq!(response.status(), status);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    let error = &body["error"];
    for member in ["message", "type", "param", "code"] {
        assert!(error.get(member).is_some(), "{member}: {body}");
    }
    error.clone()
}

//= ORCH-3202 type=test
#[tokio::test]
async fn a_wrong_call_is_refused_with_the_name_of_its_member() {
    let app = TestApp::start().await;
    let changes = [
        ("model", json!({"model": null})),
        ("model", json!({"model": 7})),
        ("model", json!({"model": "../mock"})),
        ("messages", json!({"messages": null})),
        ("messages", json!({"messages": []})),
        ("messages", json!({"messages": [{"content": "no role"}]})),
        ("messages", json!({"messages": "hi"})),
        ("temperature", json!({"temperature": 2.1})),
        ("temperature", json!({"temperature": "hot"})),
        ("top_p", json!({"top_p": -0.1})),
        ("presence_penalty", json!({"presence_penalty": 3})),
        ("frequency_penalty", json!({"frequency_penalty": -3})),
        ("top_logprobs", json!({"top_logprobs": 21})),
        ("n", json!({"n": 0})),
        ("n", json!({"n": 129})),
        ("max_tokens", json!({"max_tokens": 0})),
        ("max_completion_tokens", json!({"max_completion_tokens": -1})),
        ("seed", json!({"seed": 1.5})),
        ("stream", json!({"stream": "yes"})),
        ("stream_options", json!({"stream_options": {"include_usage": true}})),
        ("stream_options", json!({"stream": true, "stream_options": 7})),
    ];
    for (param, change) in changes {
        let error = error_of(app.post(CHAT, &with(chat(), &change)).await, StatusCode::BAD_REQUEST).await;
        assert_eq!(
            (&error["param"], &error["type"]),
            (&json!(param), &json!("invalid_request_error")),
            "{change}"
        );
        assert!(error["message"].as_str().unwrap().starts_with(&format!("{param}: ")), "{error}");
    }
    let embedding = |change| with(json!({"model": "mock", "input": "a"}), &change);
    for (param, change) in [("stream", json!({"stream": true})), ("dimensions", json!({"dimensions": 0}))] {
        let error = error_of(app.post("/v1/embeddings", &embedding(change)).await, StatusCode::BAD_REQUEST);
        assert_eq!(error.await["param"], param);
    }
    let fine = json!({"presence_penalty": -2, "frequency_penalty": -2, "top_logprobs": 20, "seed": -7});
    assert_eq!(app.post(CHAT, &with(chat(), &fine)).await.status(), StatusCode::OK);
    assert_eq!(
        app.post("/v1/embeddings", &embedding(json!({"dimensions": 512}))).await.status(),
        StatusCode::OK
    );
    let texts = [("prompt", "/v1/completions"), ("input", "/v1/embeddings")];
    for (param, path) in texts {
        for value in [json!(null), json!(""), json!([]), json!(["a", ""]), json!({"a": 1})] {
            let error = error_of(
                app.post(path, &json!({"model": "mock", param: value})).await,
                StatusCode::BAD_REQUEST,
            );
            assert_eq!(error.await["param"], param);
        }
    }
    app.finish().await;
}

//= ORCH-3202 type=test
// H18, H20
#[tokio::test]
async fn errors_have_the_shape_and_the_codes_that_clients_know() {
    let app = TestApp::start().await;
    let error =
        error_of(app.post(CHAT, &with(chat(), &json!({"model": "gpt-9"}))).await, StatusCode::NOT_FOUND)
            .await;
    assert_eq!((&error["code"], &error["param"]), (&json!("model_not_found"), &json!("model")));
    let long = "word ".repeat(20_000);
    let call = with(chat(), &json!({"messages": [{"role": "user", "content": long}]}));
    let error = error_of(app.post(CHAT, &call).await, StatusCode::BAD_REQUEST).await;
    assert_eq!(error["code"], "context_length_exceeded");
    let raw = async |body: String, media: &str| {
        let request = app.client.post(app.url(CHAT)).header("content-type", media).body(body);
        request.send().await.unwrap()
    };
    let deep = format!(r#"{{"model":"mock","x":{}{}}}"#, "[".repeat(500), "]".repeat(500));
    for body in ["{".to_owned(), r#"{"model":"mock","model":"other"}"#.to_owned(), "[]".to_owned(), deep] {
        let error = error_of(raw(body, "application/json").await, StatusCode::BAD_REQUEST).await;
        assert_eq!(error["type"], "invalid_request_error");
    }
    let response = raw(chat().to_string(), "text/plain").await;
    error_of(response, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
    error_of(app.get(CHAT).await, StatusCode::METHOD_NOT_ALLOWED).await;
    // The legacy paths are not this surface's.
    for path in ["/v1/tasks", "/v1/replicasets", "/v1/capabilities"] {
        let response = app.get(path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.json::<Value>().await.unwrap()["code"], "NOT_FOUND");
    }
    let bad =
        app.client.post(app.url(CHAT)).json(&chat()).header("x-priority", "urgent").send().await.unwrap();
    assert_eq!(error_of(bad, StatusCode::BAD_REQUEST).await["param"], "X-Priority");
    let bad =
        app.client.post(app.url(CHAT)).json(&chat()).header("x-session-id", "mine").send().await.unwrap();
    assert_eq!(error_of(bad, StatusCode::BAD_REQUEST).await["param"], "X-Session-Id");
    app.finish().await;
}

#[tokio::test]
async fn a_call_without_the_token_is_told_so_in_the_same_shape() {
    let token = "0123456789abcdef0123456789abcdef";
    let mut app = TestApp::with(&[("LLORCH_API_TOKEN", token)]).await;
    let response = app.post(CHAT, &chat()).await;
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    let error = error_of(response, StatusCode::UNAUTHORIZED).await;
    assert_eq!((&error["type"], &error["code"]), (&json!("authentication_error"), &json!("invalid_api_key")));
    let good = app.client.post(app.url(CHAT)).json(&chat()).bearer_auth(token).send().await.unwrap();
    assert_eq!(good.status(), StatusCode::OK);
    app.stop().await;
}

//= ORCH-3203 type=test
#[tokio::test]
async fn a_full_queue_tells_clients_when_to_come_back_in_the_headers_that_they_obey() {
    let (app, engine) = one_engine().await;
    let stays: Script = [Voice::OPENAI.begun(&["a"]), vec![Act::UntilGone]].concat();
    let slots = app.get_json("/v2/pools/default/health").await["metrics"]["slots_total"].as_u64().unwrap();
    let mut clients = Vec::new();
    for _ in 0..=slots {
        engine.push(stays.clone());
        let request = app.client.post(app.url("/v1/completions")).json(&scripted());
        clients.push(tokio::spawn(async move { request.send().await.unwrap().text().await }));
    }
    let full = async {
        while app.get_json("/v2/pools/default/health").await["metrics"]["queue_depth"] != 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, full).await.unwrap();
    let response = app.post("/v1/completions", &scripted()).await;
    let headers = response.headers().clone();
    let error = error_of(response, StatusCode::TOO_MANY_REQUESTS).await;
    assert_eq!((&error["type"], &error["code"]), (&json!("rate_limit_error"), &json!("rate_limit_exceeded")));
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let (seconds, millis) = (header("retry-after"), header("retry-after-ms"));
    assert_eq!(seconds.parse::<u64>().unwrap(), millis.parse::<u64>().unwrap().div_ceil(1_000).max(1));
    assert_eq!(header("x-should-retry"), "true");
    for client in clients {
        client.abort();
    }
    app.finish().await;
}

//= ORCH-3204 type=test
// H02
#[tokio::test]
async fn a_client_that_leaves_takes_its_call_along_streamed_or_not() {
    let (app, engine) = one_engine().await;
    for stream in [true, false] {
        let before = engine.gone();
        engine.push([Voice::OPENAI.begun(&["a"]), vec![Act::UntilGone]].concat());
        let call = with(scripted(), &json!({"stream": stream}));
        let request = app.client.post(app.url("/v1/completions")).json(&call);
        let client = tokio::spawn(async move { request.send().await.unwrap().text().await });
        let running = async {
            while engine.completions() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, running).await.unwrap();
        let id = app.get_json("/v2/tasks?limit=1").await["tasks"][0]["job_id"].as_str().unwrap().to_owned();
        client.abort();
        app.until_state(&id, "canceled").await;
        let gone = async {
            while engine.gone() == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.expect("the engine stops");
    }
    app.finish().await;
}

//= ORCH-3205 type=test
#[tokio::test]
async fn a_failure_before_the_first_event_is_a_status_and_one_after_it_an_event() {
    let (app, engine) = one_engine().await;
    let refusal =
        r#"{"error":{"message":"no such grammar","type":"invalid_request_error","param":null,"code":400}}"#;
    for stream in [true, false] {
        engine.push(vec![Act::Send(answer("400 Bad Request", refusal).into_bytes()), Act::Close]);
        let response = app.post("/v1/completions", &with(scripted(), &json!({"stream": stream}))).await;
        assert!(response.headers().contains_key("x-request-id"));
        let error = error_of(response, StatusCode::BAD_REQUEST).await;
        assert!(error["message"].as_str().unwrap().contains("no such grammar"), "{error}");
        engine.push(vec![Act::Reset]);
        let response = app.post("/v1/completions", &with(scripted(), &json!({"stream": stream}))).await;
        assert_eq!(response.headers()["x-should-retry"], "true");
        error_of(response, StatusCode::BAD_GATEWAY).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let broken =
        [Voice::OPENAI.begun(&["a", "b"]), vec![Act::Pause(Duration::from_millis(50)), Act::Reset]].concat();
    engine.push(broken.clone());
    let (parts, done) = documents(&app.post("/v1/completions", &scripted()).await.text().await.unwrap());
    assert!(!done, "what broke off has no good end");
    assert_eq!(parts.len(), 3);
    assert_eq!(parts[2]["error"]["code"], "worker_reset");
    tokio::time::sleep(Duration::from_millis(50)).await;
    engine.push(broken);
    let response = app.post("/v1/completions", &with(scripted(), &json!({"stream": false}))).await;
    error_of(response, StatusCode::BAD_GATEWAY).await;
    app.finish().await;
}

//= ORCH-3205 type=test
#[tokio::test]
async fn an_engine_lost_before_it_says_anything_is_replaced_by_another_one() {
    let (a, b) = (
        ScriptedEngine::start_as(Persona::openai()).await,
        ScriptedEngine::start_as(Persona::openai()).await,
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    let pools = format!("a=openai+{},b=openai+{}", a.url(), b.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    while app.get_json("/v2/meta/capabilities").await["engines"].as_array().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The announcement of a speaker is nothing said. Of two idle engines the first by name is taken.
    let role = chunk(r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#);
    a.push(vec![stream_head(), role, Act::Pause(Duration::from_millis(20)), Act::Reset]);
    b.push(Voice::OPENAI.completion(&[" saved"], Ending::Eos));
    let response = app.post("/v1/completions", &with(scripted(), &json!({"stream": false}))).await;
    let id = request_id(&response);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["choices"][0]["text"], " saved", "{body}");
    assert_eq!(app.get_json(&format!("/v2/tasks/{id}")).await["attempts"], 2);
    assert_eq!((a.seen().len(), b.seen().len()), (1, 1));
    app.finish().await;
}

//= ORCH-3204 type=test
#[tokio::test]
async fn a_call_can_be_canceled_by_its_task_and_ends_without_the_good_mark() {
    let (app, engine) = one_engine().await;
    for stream in [true, false] {
        engine.push([Voice::OPENAI.begun(&["a"]), vec![Act::UntilGone]].concat());
        let request =
            app.client.post(app.url("/v1/completions")).json(&with(scripted(), &json!({"stream": stream})));
        let client = tokio::spawn(async move { request.send().await.unwrap() });
        let running = async {
            while engine.completions() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, running).await.unwrap();
        let id = app.get_json("/v2/tasks?limit=1").await["tasks"][0]["job_id"].as_str().unwrap().to_owned();
        app.until_state(&id, "running").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(app.cancel(&id).await, StatusCode::NO_CONTENT);
        let response = client.await.unwrap();
        if stream {
            let (parts, done) = documents(&response.text().await.unwrap());
            assert_eq!((&parts.last().unwrap()["error"]["code"], done), (&json!("job_ended"), false));
        } else {
            assert_eq!(response.headers()["x-should-retry"], "false");
            error_of(response, StatusCode::CONFLICT).await;
        }
    }
    app.finish().await;
}

//= ORCH-3200 type=test
#[tokio::test]
async fn priority_and_session_come_by_header() {
    let app = TestApp::start().await;
    let session = uuid::Uuid::new_v4().to_string();
    let request = app.client.post(app.url(CHAT)).json(&chat());
    let request = request.header("x-priority", "batch").header("x-session-id", &session);
    let response = request.header("x-correlation-id", "corr-1").send().await.unwrap();
    assert_eq!(response.headers()["x-correlation-id"], "corr-1");
    let id = request_id(&response);
    let task = app.get_json(&format!("/v2/tasks/{id}")).await;
    assert_eq!((&task["priority"], &task["session_id"]), (&json!("batch"), &json!(session)));
    let view = app.get_json(&format!("/v2/sessions/{session}")).await;
    assert_eq!(view["turns_used"], 1);
    app.finish().await;
}

//= ORCH-3099 type=test
#[tokio::test]
async fn a_session_with_a_token_budget_needs_calls_with_a_limit() {
    let app = TestApp::with(&[("ORCHD_SESSIONS_TOKENS_BUDGET", "2000")]).await;
    let response = app.post(CHAT, &chat()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers().contains_key("x-budget-tokens-remaining"));
    let error =
        error_of(app.post(CHAT, &with(chat(), &json!({"max_tokens": null}))).await, StatusCode::BAD_REQUEST)
            .await;
    assert!(error["message"].as_str().unwrap().contains("limit of 2000 tokens"), "{error}");
    app.finish().await;
}

//= ORCH-3200 type=test
#[tokio::test]
async fn tools_and_shapes_of_answers_reach_the_engine() {
    let app = TestApp::start().await;
    let tool = json!({"type": "function", "function": {"name": "weather", "parameters": {"type": "object",
        "properties": {"city": {"type": "string"}}, "required": ["city"]}}});
    let call = with(chat(), &json!({"tools": [tool], "tool_choice": "required"}));
    let body: Value = app.post(CHAT, &call).await.json().await.unwrap();
    let choice = &body["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{body}");
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!("weather")));
    assert!(call["id"].is_string() && call.get("index").is_none());
    let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert!(arguments["city"].is_string());

    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let format = json!({"type": "json_schema", "json_schema": {"name": "number", "schema": schema}});
    let body: Value =
        app.post(CHAT, &with(chat(), &json!({"response_format": format}))).await.json().await.unwrap();
    let text = body["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(serde_json::from_str::<Value>(text).unwrap()["n"].is_i64(), "{text}");
    app.finish().await;
}

//= ORCH-3200 type=test
#[tokio::test]
async fn a_call_that_waits_is_kept_alive_with_comments() {
    let (app, engine) = one_engine().await;
    let slow = Act::Pause(Duration::from_secs(9));
    engine.push(
        [vec![stream_head(), slow], Voice::OPENAI.completion(&["late"], Ending::Eos)[1..].to_vec()].concat(),
    );
    let began = std::time::Instant::now();
    let mut response = app.post("/v1/completions", &scripted()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let first = response.chunk().await.unwrap().unwrap();
    assert_eq!(first, ": keep-alive\n\n");
    assert!(began.elapsed() < Duration::from_secs(15));
    let rest = response.text().await.unwrap();
    assert!(rest.contains("late") && rest.ends_with("data: [DONE]\n\n"), "{rest}");
    app.finish().await;
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_off_before_it_fills_the_memory() {
    let (app, engine) = one_engine().await;
    let text = "x".repeat(200 * 1024);
    let event = format!("data: {{\"choices\":[{{\"index\":0,\"text\":\"{text}\"}}]}}\n\n");
    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
    engine.push(vec![stream_head(), Act::Repeat(chunk.into_bytes(), 600), Act::UntilGone]);
    // 120 MB that are made, read and written by one process take a while on a machine that does other things.
    let asked = app.client.post(app.url("/v1/completions")).timeout(6 * PATIENCE).json(&scripted());
    let answered = asked.send().await.unwrap().text().await.unwrap();
    assert!(answered.len() < 70 * 1024 * 1024, "{} bytes", answered.len());
    let last = answered.lines().rev().find_map(|line| line.strip_prefix("data: ")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(last).unwrap()["error"]["code"], "worker_reset");
    app.finish().await;
}

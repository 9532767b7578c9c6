//! Engines that break: one terminal event, no leaked slot, and the server goes on.

use std::time::{Duration, Instant};

use mock::wire::{
    Act, Ending, Script, ScriptedEngine, answer, body_end, completion, last, stream_head, token, token_bytes,
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Event, TestApp, engine_task, text_of};

/// Runs one task against one engine that plays `script`, with quick timeouts.
async fn run(script: Script) -> Vec<Event> {
    let engine = ScriptedEngine::start(2).await.unwrap();
    engine.push(script);
    let pools = format!("default=llamacpp+{}", engine.url());
    let settings = [
        ("ORCHD_POOLS", pools.as_str()),
        ("ORCHD_ENGINE_FIRST_TOKEN_TIMEOUT_MS", "500"),
        ("ORCHD_ENGINE_IDLE_TIMEOUT_MS", "500"),
        ("ORCHD_ENGINE_WALL_TIMEOUT_MS", "2000"),
    ];
    let app = TestApp::with(&settings).await;
    let id = app.submit(&engine_task()).await;
    let events = app.events(&id).await;
    text_of(&events);
    // The engine is looked at again and serves the next task.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let next = app.submit(&engine_task()).await;
    assert_eq!(text_of(&app.events(&next).await), " ok");
    app.finish().await;
    events
}

fn error_of(events: &[Event]) -> &Value {
    let last = events.last().unwrap();
    assert_eq!(last.name, "error", "{last:?}");
    &last.data
}

fn tokens(texts: &[&str]) -> Script {
    let mut script = vec![stream_head()];
    script.extend(texts.iter().enumerate().map(|(index, text)| token(text, index + 1)));
    script
}

fn with(mut script: Script, more: impl IntoIterator<Item = Act>) -> Script {
    script.extend(more);
    script
}

// E01
#[tokio::test]
async fn an_engine_lost_before_the_first_token_is_replaced_by_another_one() {
    let (bad, good) = (ScriptedEngine::start(1).await.unwrap(), ScriptedEngine::start(1).await.unwrap());
    bad.push(vec![Act::Reset]);
    good.push(completion(&[" saved"], Ending::Eos));
    let pools = format!("a=llamacpp+{},b=llamacpp+{}", bad.url(), good.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    while app.get_json("/v2/meta/capabilities").await["engines"].as_array().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut task = engine_task();
    task["placement"] = json!({"mode": "prefer", "prefer_pools": ["a"]});
    let id = app.submit(&task).await;
    let events = app.events(&id).await;
    assert_eq!(text_of(&events), " saved");
    let started: Vec<_> = events.iter().filter(|event| event.name == "started").collect();
    let attempts: Vec<_> =
        started.iter().map(|it| (it.data["attempt"].clone(), it.data["pool_id"].clone())).collect();
    assert_eq!(attempts, [(json!(1), json!("a")), (json!(2), json!("b"))]);
    assert_eq!(app.get_json(&format!("/v2/tasks/{id}")).await["attempts"], 2);
    assert_eq!((bad.seen().len(), good.seen().len()), (1, 1));
    app.finish().await;
}

// E02
#[tokio::test]
async fn an_engine_lost_after_tokens_ends_the_job_with_their_number() {
    let events = run(with(tokens(&[" a", " b"]), [Act::Pause(Duration::from_millis(50)), Act::Reset])).await;
    assert_eq!(text_of(&events), " a b");
    let error = error_of(&events);
    assert_eq!((&error["code"], &error["retriable"]), (&json!("WORKER_RESET"), &json!(true)));
    assert_eq!((&error["tokens_out"], &error["attempts"]), (&json!(2), &json!(1)));
}

// E03
//= ORCH-2002 type=test
#[tokio::test]
async fn a_clean_end_without_the_end_marker_is_a_loss() {
    let events = run(with(tokens(&[" a"]), [body_end()])).await;
    assert_eq!(error_of(&events)["code"], "WORKER_RESET");
}

// E04
#[tokio::test]
async fn an_engine_that_says_nothing_is_given_up_at_the_first_token_timeout() {
    let began = Instant::now();
    for script in [vec![Act::UntilGone], vec![stream_head(), Act::UntilGone]] {
        let events = run(script).await;
        // There is no other replica to try, so the job ends.
        assert_eq!(error_of(&events)["code"], "WORKER_RESET");
        assert_eq!(error_of(&events)["tokens_out"], 0);
    }
    assert!(began.elapsed() >= Duration::from_millis(900));
}

// E05
//= ORCH-3016 type=test
#[tokio::test]
async fn an_engine_that_stalls_mid_stream_is_given_up_at_the_idle_timeout() {
    let events = run(with(tokens(&[" a"]), [Act::UntilGone])).await;
    assert_eq!(text_of(&events), " a");
    assert_eq!(
        (&error_of(&events)["code"], &error_of(&events)["retriable"]),
        (&json!("DECODE_TIMEOUT"), &json!(true))
    );
}

// E06
//= ORCH-3016 type=test
#[tokio::test]
async fn an_engine_that_trickles_is_given_up_at_the_wall() {
    let drip = (2..40).flat_map(|count| [Act::Pause(Duration::from_millis(100)), token(".", count)]);
    let began = Instant::now();
    let events = run(with(tokens(&["."]), drip)).await;
    assert_eq!(error_of(&events)["code"], "DECODE_TIMEOUT");
    assert!(began.elapsed() >= Duration::from_secs(2));
}

// E07
#[tokio::test]
async fn a_json_error_under_a_good_status_shows_no_token() {
    let body = r#"{"error":{"message":"out of memory","type":"server_error","code":500}}"#;
    let events = run(vec![Act::Send(answer("200 OK", body).into_bytes()), Act::Close]).await;
    assert_eq!(text_of(&events), "");
    assert_eq!(error_of(&events)["code"], "WORKER_RESET");
    assert!(!error_of(&events)["message"].as_str().unwrap().contains("out of memory"));
}

// E08
#[tokio::test]
async fn a_request_that_the_engine_refuses_is_tried_once() {
    let body = r#"{"error":{"code":400,"message":"no such grammar","type":"invalid_request_error"}}"#;
    let events = run(vec![Act::Send(answer("400 Bad Request", body).into_bytes()), Act::Close]).await;
    let error = error_of(&events);
    assert_eq!((&error["code"], &error["retriable"]), (&json!("INVALID_PARAMS"), &json!(false)));
    assert!(error["message"].as_str().unwrap().contains("no such grammar"), "{error}");
}

// E08
#[tokio::test]
async fn a_busy_engine_is_tried_again_after_the_time_that_it_names() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    engine.push(vec![Act::Send(busy.as_bytes().to_vec()), Act::Close]);
    engine.push(completion(&[" later"], Ending::Eos));
    let pools = format!("default=llamacpp+{}", engine.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    let began = Instant::now();
    let id = app.submit(&engine_task()).await;
    assert_eq!(text_of(&app.events(&id).await), " later");
    assert!(began.elapsed() >= Duration::from_secs(1));
    app.finish().await;
}

// E09
#[tokio::test]
async fn a_redirect_is_refused_and_not_followed() {
    let sink = ScriptedEngine::start(1).await.unwrap();
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {}/completion\r\nContent-Length: 0\r\n\r\n",
        sink.url()
    );
    let events = run(vec![Act::Send(redirect.into_bytes()), Act::Close]).await;
    assert_eq!(error_of(&events)["code"], "WORKER_RESET");
    assert_eq!(sink.connections(), 0);
}

// E10
#[tokio::test]
async fn garbage_is_never_relayed() {
    let garbage: Vec<u8> =
        (0..4_096_u32).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap_or(0)).collect();
    let broken = [
        vec![Act::Send(garbage.clone()), Act::Close],
        vec![stream_head(), Act::Chunk(b"data: {\"index\":0,\"content\":\" a\"\n\n".to_vec()), Act::Close],
        vec![stream_head(), Act::Chunk([b"data: {".as_slice(), &garbage, b"\n\n"].concat()), Act::Close],
        vec![stream_head(), Act::Send(b"zz\r\nnot a chunk".to_vec()), Act::Close],
    ];
    for script in broken {
        let events = run(script).await;
        assert_eq!(text_of(&events), "");
        assert_eq!(error_of(&events)["code"], "WORKER_RESET");
    }
}

// E11
#[tokio::test]
async fn a_character_cut_by_the_engine_arrives_whole() {
    let text = "é日😀";
    let (head, tail) = text.as_bytes().split_at(3);
    let script = vec![
        stream_head(),
        Act::Chunk(token_bytes(head, 1)),
        Act::Chunk(token_bytes(&tail[..4], 2)),
        Act::Chunk(token_bytes(&tail[4..], 3)),
        last(Ending::Eos, 3),
        body_end(),
    ];
    let events = run(script).await;
    assert_eq!(text_of(&events), text);
    assert!(events.last().unwrap().data.get("warnings").is_none());
}

// E12
#[tokio::test]
async fn bytes_that_are_no_text_are_replaced_and_reported() {
    let script = vec![
        stream_head(),
        Act::Chunk(token_bytes(b"a\xFFb", 1)),
        Act::Chunk(token_bytes(b"\xE6\x97", 2)),
        last(Ending::Eos, 2),
        body_end(),
    ];
    let events = run(script).await;
    assert_eq!(text_of(&events), "a\u{FFFD}b\u{FFFD}");
    assert_eq!(events.last().unwrap().data["warnings"], json!(["invalid_utf8"]));
}

// E13
#[tokio::test]
async fn an_endless_line_is_cut_off() {
    let line = vec![
        stream_head(),
        Act::Send(b"1000000\r\n".to_vec()),
        Act::Repeat(vec![b'x'; 65_536], 160),
        Act::Close,
    ];
    let events = run(line).await;
    assert_eq!(error_of(&events)["code"], "WORKER_RESET");
}

// E17
#[tokio::test]
async fn a_count_that_goes_backwards_is_a_contradiction() {
    let events = run(with(tokens(&[" a", " b"]), [token(" c", 1), Act::Close])).await;
    assert_eq!(error_of(&events)["code"], "WORKER_RESET");
}

// E18
#[tokio::test]
async fn the_first_end_wins() {
    let script =
        with(tokens(&[" a"]), [last(Ending::Limit, 1), token(" late", 2), last(Ending::Eos, 2), body_end()]);
    let events = run(script).await;
    assert_eq!(text_of(&events), " a");
    assert_eq!(events.last().unwrap().data["finish_reason"], "length");
}

// E19
#[tokio::test]
async fn an_engine_that_does_not_stop_is_cut_at_the_limit() {
    let many: Vec<_> = (0..100).map(|number| format!(" {number}")).collect();
    let texts: Vec<_> = many.iter().map(String::as_str).collect();
    let events = run(with(tokens(&texts), [Act::UntilGone])).await;
    let expected: String = many[..64].concat();
    assert_eq!(text_of(&events), expected);
    let end = &events.last().unwrap().data;
    assert_eq!((&end["finish_reason"], &end["tokens_out"]), (&json!("length"), &json!(64)));
}

// E24
//= ORCH-2103 type=test
#[tokio::test]
async fn when_the_engine_is_gone_new_tasks_are_told_and_waiting_ones_stay() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let pools = format!("default=llamacpp+{}", engine.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools), ("ORCHD_ENGINE_HEALTH_INTERVAL_MS", "100")]).await;
    drop(engine);
    let refused = async {
        loop {
            let response = app.post("/v2/tasks", &engine_task()).await;
            if response.status() == StatusCode::SERVICE_UNAVAILABLE {
                return response;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let response = tokio::time::timeout(crate::support::PATIENCE, refused).await.unwrap();
    assert!(response.headers().contains_key("retry-after"));
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["code"], &body["retriable"]), (&json!("POOL_UNAVAILABLE"), &json!(true)));
    assert_eq!(app.get("/ready").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(app.get("/health").await.status(), StatusCode::OK);
    let health = app.get_json("/v2/pools/default/health").await;
    assert_eq!((&health["live"], &health["ready"]), (&json!(false), &json!(false)));
    assert!(health["last_error"].as_str().is_some());
    app.finish().await;
}

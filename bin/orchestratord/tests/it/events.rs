//! Reading streams: early, late, resumed, many at once.

use std::time::Duration;

use mock::wire::{Act, Ending, ScriptedEngine, body_end, last, stream_head, token};
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::{TestApp, engine_task, mock_task, parse, text_of};

#[tokio::test]
async fn a_stream_has_the_headers_that_proxies_need() {
    let app = TestApp::start().await;
    let id = app.submit(&mock_task()).await;
    let response = app.get(&format!("/v2/tasks/{id}/events")).await;
    let headers = response.headers();
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers["cache-control"], "no-cache");
    assert_eq!(headers["x-accel-buffering"], "no");
    assert!(!headers.contains_key("content-encoding"));
    app.finish().await;
}

// H05
#[tokio::test]
async fn a_reader_resumes_after_any_event_and_gets_the_same_bytes() {
    let app = TestApp::start().await;
    let id = app.submit(&mock_task()).await;
    let whole = app.stream(&id, None).await;
    let count = parse(&whole).len() as u64;
    for after in 0..count {
        let rest = app.stream(&id, Some(after)).await;
        assert!(whole.ends_with(&rest), "after {after}");
        assert_eq!(parse(&rest).len() as u64, count - 1 - after);
        let by_query = app.get(&format!("/v2/tasks/{id}/events?after={after}")).await.text().await.unwrap();
        assert_eq!(by_query, rest);
    }
    app.finish().await;
}

// H06
#[tokio::test]
async fn a_bad_or_future_event_id_is_refused() {
    let app = TestApp::start().await;
    let id = app.submit(&mock_task()).await;
    let count = app.events(&id).await.len();
    let future = count.to_string();
    for bad in ["x", "-1", "1.5", "+1", "99999999999999999999", "4294967295", " 1x", "", future.as_str()] {
        let request = app.client.get(app.url(&format!("/v2/tasks/{id}/events"))).header("last-event-id", bad);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{bad:?}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["code"], "INVALID_PARAMS", "{bad:?}");
    }
    for query in ["after=1&after=2", "after=x", "after="] {
        let response = app.get(&format!("/v2/tasks/{id}/events?{query}")).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(response.json::<Value>().await.unwrap()["code"], "INVALID_PARAMS", "{query}");
    }
    app.finish().await;
}

/// Readers come, drop and resume at random while the engine speaks; together they see one stream.
#[tokio::test]
async fn readers_that_drop_and_resume_see_what_an_uninterrupted_one_sees() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let mut script = vec![stream_head()];
    for number in 0..300 {
        script.push(token(&format!(" {number}"), number + 1));
        if number % 10 == 0 {
            script.push(Act::Pause(Duration::from_millis(2)));
        }
    }
    script.extend([last(Ending::Eos, 300), body_end()]);
    engine.push(script);
    let pools = format!("default=llamacpp+{}", engine.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    let mut task = engine_task();
    task["max_tokens"] = 300.into();
    let id = app.submit(&task).await;
    let choppy = async |bytes_max: usize| {
        let mut seen = String::new();
        loop {
            let last = seen.rmatches("id: ").next().and(seen.rfind("id: "));
            let after = last.map(|at| seen[at + 4..].lines().next().unwrap().to_owned());
            let mut request = app.client.get(app.url(&format!("/v2/tasks/{id}/events")));
            if let Some(after) = &after {
                request = request.header("last-event-id", after);
            }
            let mut response = request.send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let mut part = Vec::new();
            while part.len() < bytes_max
                && let Some(chunk) = response.chunk().await.unwrap()
            {
                part.extend_from_slice(&chunk);
            }
            // Only whole events count; the rest is asked for again.
            let part = String::from_utf8(part).unwrap();
            let whole = part.rfind("\n\n").map_or(0, |at| at + 2);
            seen.push_str(&part[..whole]);
            if seen.contains("event: end") {
                return seen;
            }
        }
    };
    let (steady, a, b) = tokio::join!(app.stream(&id, None), choppy(1_000), choppy(3_333));
    let expected: String = (0..300).map(|number| format!(" {number}")).collect();
    assert_eq!(text_of(&parse(&steady)), expected);
    assert_eq!(a, steady);
    assert_eq!(b, steady);
    app.finish().await;
}

/// H01: who does not read costs nobody anything.
#[tokio::test]
async fn a_reader_that_does_not_read_does_not_hold_up_the_engine() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let mut script = vec![stream_head()];
    let text = "x".repeat(2_000);
    script.extend((0..2_000).map(|number| token(&text, number + 1)));
    script.extend([last(Ending::Eos, 2_000), body_end()]);
    engine.push(script);
    let pools = format!("default=llamacpp+{}", engine.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    let mut task = engine_task();
    task["max_tokens"] = 2_000.into();
    let id = app.submit(&task).await;
    let mut stuck = tokio::net::TcpStream::connect(app.addr).await.unwrap();
    let ask = format!("GET /v2/tasks/{id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stuck, ask.as_bytes()).await.unwrap();
    let task = app.until_state(&id, "completed").await;
    assert_eq!(task["usage"]["tokens_out"], 2_000);
    drop(stuck);
    app.finish().await;
}

// H07
#[tokio::test]
async fn a_stream_past_its_retention_is_gone_but_its_end_is_still_told() {
    let app = TestApp::with(&[("ORCHD_JOBS_RETAINED_BYTES_MAX", "65536")]).await;
    let first = app.submit(&mock_task()).await;
    app.until_state(&first, "completed").await;
    let mut large = mock_task();
    large["max_tokens"] = 2_000.into();
    let second = app.submit(&large).await;
    app.until_state(&second, "completed").await;
    let response = app.get(&format!("/v2/tasks/{first}/events")).await;
    assert_eq!(response.status(), StatusCode::GONE);
    let gone: Value = response.json().await.unwrap();
    assert_eq!((&gone["code"], &gone["retriable"]), (&"STREAM_EXPIRED".into(), &false.into()));
    assert_eq!(
        (&gone["task"]["state"], &gone["task"]["finish_reason"]),
        (&"completed".into(), &"length".into())
    );
    let task = app.get_json(&format!("/v2/tasks/{first}")).await;
    assert_eq!((task["state"].as_str(), task["usage"]["tokens_out"].as_u64()), (Some("completed"), Some(12)));
    assert!(task.get("text").is_none(), "{task}");
    app.finish().await;
}

#[tokio::test]
async fn a_verbose_reader_is_told_more_under_the_same_ids() {
    let app = TestApp::start().await;
    let id = app.submit(&mock_task()).await;
    let plain = app.events(&id).await;
    let stream = app.get(&format!("/v2/tasks/{id}/events?verbose=true")).await.text().await.unwrap();
    let verbose = parse(&stream);
    assert_eq!(text_of(&verbose), text_of(&plain));
    assert_eq!(verbose.len(), plain.len());
    for (more, less) in verbose.iter().zip(&plain).filter(|(more, _)| more.name == "metrics") {
        let human = more.data["human"].as_str().unwrap();
        assert!(!human.is_empty() && human.len() <= 100 && !human.contains(&id), "{human}");
        assert!(more.data["prep"]["steps"].is_array());
        assert!(less.data.get("human").is_none());
        assert_eq!(more.data["queue_depth"], less.data["queue_depth"]);
    }
    app.finish().await;
}

// H03
#[tokio::test]
async fn a_job_ends_with_its_last_reader_only_if_it_was_asked_to() {
    let engine = ScriptedEngine::start(2).await.unwrap();
    let pools = format!("default=llamacpp+{}", engine.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    let mut ids = Vec::new();
    for mode in ["continue", "cancel"] {
        engine.push(vec![stream_head(), token(" a", 1), Act::UntilGone]);
        let mut task = engine_task();
        task["on_disconnect"] = mode.into();
        let id = app.submit(&task).await;
        let mut reader = app.get(&format!("/v2/tasks/{id}/events")).await;
        let mut seen = String::new();
        while !seen.contains("event: token") {
            seen.push_str(&String::from_utf8_lossy(&reader.chunk().await.unwrap().unwrap()));
        }
        drop(reader);
        ids.push(id);
    }
    app.until_state(&ids[1], "canceled").await;
    assert_eq!(app.get_json(&format!("/v2/tasks/{}", ids[0])).await["state"], "running");
    assert_eq!(app.cancel(&ids[0]).await, StatusCode::NO_CONTENT);
    app.finish().await;
}

// H03
#[tokio::test]
async fn a_reader_that_comes_back_in_time_keeps_its_job_alive() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    engine.push(vec![
        stream_head(),
        token(" a", 1),
        Act::Pause(Duration::from_millis(1_600)),
        last(Ending::Eos, 1),
        body_end(),
    ]);
    let pools = format!("default=llamacpp+{}", engine.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    let mut task = engine_task();
    task["on_disconnect"] = "cancel".into();
    let id = app.submit(&task).await;
    drop(app.get(&format!("/v2/tasks/{id}/events")).await);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(text_of(&app.events(&id).await), " a");
    assert_eq!(app.get_json(&format!("/v2/tasks/{id}")).await["state"], "completed");
    app.finish().await;
}

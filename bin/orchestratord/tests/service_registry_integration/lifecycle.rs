//! Operators drain, reload and purge pools while tasks come in.

use std::time::Duration;

use mock::wire::{Act, Ending, ScriptedEngine, body_end, last, open_ended, stream_head, token};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use trace_export::sink::Sink;

use crate::{
    node::{Node, Reload},
    support::{PATIENCE, TestApp, engine_task, mock_task, text_of},
};

async fn ask(app: &TestApp, path: &str, body: &Value) -> (StatusCode, Value) {
    let answer = app.post(path, body).await;
    (answer.status(), answer.json().await.unwrap_or_default())
}

async fn operation(app: &TestApp, pool: &str, state: &str) -> Value {
    let reached = async {
        loop {
            let health = app.get_json(&format!("/v2/pools/{pool}/health")).await;
            if health["operation"]["state"] == state {
                return health;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, reached).await.expect("the operation comes to that state")
}

// N09
//= ORCH-2101 type=test
#[tokio::test]
async fn a_drained_pool_gets_nothing_new_and_finishes_what_it_has() {
    let engine = ScriptedEngine::start(2).await.unwrap();
    engine.push(vec![
        stream_head(),
        token(" a", 1),
        Act::Pause(Duration::from_millis(300)),
        token(" b", 2),
        last(Ending::Eos, 2),
        body_end(),
    ]);
    let pools = format!("p=llamacpp+{}", engine.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    let running = app.submit(&engine_task()).await;
    app.until_state(&running, "running").await;
    let (status, body) = ask(&app, "/v2/pools/p/drain", &json!({"deadline_ms": 10_000})).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(
        (&body["pool_id"], &body["operation"], &body["state"]),
        (&json!("p"), &json!("drain"), &json!("running"))
    );
    let (status, body) = ask(&app, "/v2/tasks", &engine_task()).await;
    assert_eq!((status, &body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("POOL_UNREADY")), "{body}");
    assert_eq!(text_of(&app.events(&running).await), " a b");
    let health = operation(&app, "p", "succeeded").await;
    assert_eq!((&health["draining"], &health["ready"]), (&json!(true), &json!(false)), "{health}");
    assert_eq!(engine.seen().len(), 1);
    let (status, body) = ask(&app, "/v2/pools/p/drain", &json!({"deadline_ms": 0})).await;
    assert_eq!((status, &body["operation_id"]), (StatusCode::ACCEPTED, &json!(2)), "again is no mistake");
    operation(&app, "p", "succeeded").await;
    let (status, _) = ask(&app, "/v2/pools/p/resume", &json!({})).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let id = app.submit(&engine_task()).await;
    assert_eq!(text_of(&app.events(&id).await), " ok");
    app.finish().await;
}

// N10
//= ORCH-3422 type=test
#[tokio::test]
async fn at_the_deadline_what_spoke_ends_and_what_did_not_goes_elsewhere() {
    let (old, new) = (ScriptedEngine::start(2).await.unwrap(), ScriptedEngine::start(1).await.unwrap());
    old.push(open_ended(&[" a"]));
    old.push(vec![stream_head(), Act::UntilGone]);
    let pools = format!("p=llamacpp+{},q=llamacpp+{}", old.url(), new.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    let mut there = engine_task();
    there["placement"] = json!({"mode": "prefer", "prefer_pools": ["p"]});
    let spoke = app.submit(&there).await;
    while old.completions() < 1 {
        sleep(Duration::from_millis(5)).await;
    }
    there["prompt"] = json!("another");
    let silent = app.submit(&there).await;
    while old.completions() < 2 {
        sleep(Duration::from_millis(5)).await;
    }
    let (status, _) = ask(&app, "/v2/pools/p/drain", &json!({"deadline_ms": 200})).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let events = app.events(&spoke).await;
    let end = &events.last().unwrap().data;
    assert_eq!((&end["code"], &end["retriable"]), (&json!("WORKER_RESET"), &json!(true)), "{end}");
    let events = app.events(&silent).await;
    assert_eq!(events.last().unwrap().name, "end", "{events:?}");
    assert_eq!(app.get_json(&format!("/v2/tasks/{silent}")).await["placement"]["pool_id"], "q");
    operation(&app, "p", "succeeded").await;
    assert_eq!(old.gone(), 2, "both connections are closed");
    app.finish().await;
}

//= ORCH-2102 type=test
#[tokio::test]
async fn a_pool_reloads_replica_by_replica_and_serves_the_new_model() {
    let app = TestApp::start().await;
    let base = app.url("");
    let (one, two) = (Node::start("a", "p", 1).await, Node::start("b", "p", 1).await);
    one.join(&base).await;
    two.join(&base).await;
    let (status, body) = ask(&app, "/v2/pools/p/reload", &json!({"new_model_ref": "next"})).await;
    assert_eq!((status, &body["state"]), (StatusCode::ACCEPTED, &json!("succeeded")), "{body}");
    for node in [&one, &two] {
        assert_eq!(node.asked(), ["reload"]);
        assert_eq!(node.agent.state.lock().asked[0].1["new_model_ref"], "next");
        node.until(&base, |replica| replica["models"] == json!(["next"])).await;
    }
    let mut task = engine_task();
    task["model_ref"] = json!("next");
    let id = app.submit(&task).await;
    app.until_state(&id, "completed").await;
    app.finish().await;
}

// N11
//= ORCH-2102 type=test
//= ORCH-3031 type=test
#[tokio::test]
async fn a_reload_that_fails_leaves_every_replica_with_the_model_that_it_had() {
    let app = TestApp::start().await;
    let base = app.url("");
    let (one, two) = (Node::start("a", "p", 1).await, Node::start("b", "p", 1).await);
    two.agent.state.lock().reloads = vec![Reload::Fails];
    one.join(&base).await;
    two.join(&base).await;
    let (status, body) = ask(&app, "/v2/pools/p/reload", &json!({"new_model_ref": "next"})).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("RELOAD_FAILED")), "{body}");
    assert!(body["message"].as_str().unwrap().contains("the engine does not come up"), "{body}");
    assert_eq!(one.asked(), ["reload", "reload"], "it went there and back");
    let health = operation(&app, "p", "failed").await;
    for replica in health["replicas"].as_array().unwrap() {
        assert_eq!(
            (&replica["models"][0], &replica["ready"]),
            (&json!("scripted"), &json!(true)),
            "{health}"
        );
    }
    let id = app.submit(&engine_task()).await;
    app.until_state(&id, "completed").await;
    app.finish().await;
}

// N13
#[tokio::test]
async fn of_operations_at_once_one_wins() {
    let app = TestApp::start().await;
    let base = app.url("");
    let node = Node::start("a", "p", 1).await;
    node.agent.state.lock().reloads = vec![Reload::Hangs];
    node.join(&base).await;
    let reload = json!({"new_model_ref": "next", "wait_ms": 0});
    let (status, body) = ask(&app, "/v2/pools/p/reload", &reload).await;
    assert_eq!((status, &body["state"]), (StatusCode::ACCEPTED, &json!("running")), "{body}");
    for (path, wanted) in [
        ("/v2/pools/p/drain", json!({"deadline_ms": 1})),
        ("/v2/pools/p/reload", reload.clone()),
        ("/v2/pools/p/purge", json!({})),
        ("/v2/pools/p/resume", json!({})),
    ] {
        let (status, body) = ask(&app, path, &wanted).await;
        assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("POOL_BUSY")), "{path}: {body}");
        assert_eq!(body["retriable"], true);
    }
    // The agent says how it ended after all.
    node.agent.state.lock().operation.as_mut().unwrap()["state"] = json!("succeeded");
    operation(&app, "p", "succeeded").await;
    app.finish().await;
}

//= ORCH-2104 type=test
#[tokio::test]
async fn a_purge_stops_the_engine_on_its_node_and_the_pool_stays_closed() {
    let app = TestApp::start().await;
    let base = app.url("");
    let node = Node::start("a", "p", 1).await;
    node.join(&base).await;
    node.engine.push(open_ended(&[" a"]));
    let running = app.submit(&engine_task()).await;
    app.until_state(&running, "running").await;
    let careful = json!({"drain_first": false});
    let (status, body) = ask(&app, "/v2/pools/p/purge", &careful).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("POOL_BUSY")), "{body}");
    assert_eq!(body["message"], "1 tasks run in this pool");
    let forced = json!({"drain_first": false, "force": true, "purge_models": ["old"]});
    let (status, body) = ask(&app, "/v2/pools/p/purge", &forced).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    operation(&app, "p", "succeeded").await;
    assert_eq!(node.asked(), ["purge"]);
    assert_eq!(node.agent.state.lock().asked[0].1["purge_models"], json!(["old"]));
    assert_eq!(app.events(&running).await.last().unwrap().name, "error");
    let (status, _) = ask(&app, "/v2/tasks", &engine_task()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let (status, _) = ask(&app, "/v2/pools/p/resume", &json!({})).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    node.is_heard(&base).await;
    let id = app.submit(&engine_task()).await;
    app.until_state(&id, "completed").await;
    app.finish().await;
}

#[tokio::test]
async fn an_engine_that_nobody_manages_can_be_drained_and_nothing_else() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let pools = format!("p=llamacpp+{}", engine.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    for (path, wanted) in
        [("/v2/pools/p/reload", json!({"new_model_ref": "next"})), ("/v2/pools/p/purge", json!({}))]
    {
        let (status, body) = ask(&app, path, &wanted).await;
        assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("POOL_NOT_MANAGED")), "{body}");
    }
    let id = app.submit(&engine_task()).await;
    app.until_state(&id, "completed").await;
    app.finish().await;
}

#[tokio::test]
async fn the_built_in_mock_reloads_too() {
    let app = TestApp::start().await;
    let (status, body) = ask(&app, "/v2/pools/default/reload", &json!({"new_model_ref": "other"})).await;
    assert_eq!((status, &body["state"]), (StatusCode::ACCEPTED, &json!("succeeded")), "{body}");
    let mut task = mock_task();
    let (status, _) = ask(&app, "/v2/tasks", &task).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    task["model_ref"] = json!("other");
    let id = app.submit(&task).await;
    app.until_state(&id, "completed").await;
    app.finish().await;
}

#[tokio::test]
async fn a_request_that_is_wrong_names_its_field_and_changes_nothing() {
    let app = TestApp::start().await;
    for (path, wanted, status, start) in [
        ("/v2/pools/default/drain", json!({}), 400, ""),
        ("/v2/pools/default/drain", json!({"deadline_ms": -1}), 400, "deadline_ms: "),
        ("/v2/pools/default/drain", json!({"deadline_ms": u64::MAX}), 400, "deadline_ms: "),
        ("/v2/pools/default/reload", json!({"new_model_ref": ""}), 400, "new_model_ref: "),
        ("/v2/pools/default/reload", json!({"new_model_ref": "http://x"}), 400, "new_model_ref: "),
        ("/v2/pools/default/purge", json!({"purge_models": "all"}), 400, "purge_models: "),
        ("/v2/pools/none/drain", json!({"deadline_ms": 1}), 404, ""),
        ("/v2/pools/none/reload", json!({"new_model_ref": "m"}), 404, ""),
        ("/v2/pools/none/purge", json!({}), 404, ""),
        ("/v2/pools/none/resume", json!({}), 404, ""),
    ] {
        let (got, body) = ask(&app, path, &wanted).await;
        assert_eq!(got, status, "{path} {wanted}: {body}");
        assert!(body["message"].as_str().unwrap().starts_with(start), "{path} {wanted}: {body}");
    }
    let id = app.submit(&mock_task()).await;
    app.until_state(&id, "completed").await;
    app.finish().await;
}

//= ORCH-3338 type=test
#[tokio::test]
async fn what_a_node_is_told_to_do_belongs_to_the_trace_of_whoever_asked() {
    const FROM: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let sink = Sink::start().await.unwrap();
    let url = sink.url();
    let (recording, silent) = ([("OTEL_EXPORTER_OTLP_ENDPOINT", &*url)], []);
    for settings in [&recording[..], &silent[..]] {
        let app = TestApp::with(settings).await;
        let node = Node::start("a", "p", 1).await;
        node.join(&app.url("")).await;
        for (what, body) in [
            ("drain", json!({"deadline_ms": 1_000})),
            ("resume", json!({})),
            ("purge", json!({"drain_first": false})),
        ] {
            let request = app.client.post(app.url(&format!("/v2/pools/p/{what}"))).json(&body);
            let answer = request.header("traceparent", FROM).send().await.unwrap();
            assert!(answer.status().is_success(), "{what}: {}", answer.status());
            let told = async {
                while node.asked().last().is_none_or(|asked| asked != what) {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(PATIENCE, told).await.expect("the agent is told");
            let told = node.agent.state.lock().traceparent.clone().expect("in a trace");
            if settings.is_empty() {
                assert_eq!(told, FROM, "{what}: nobody records here, but perhaps there");
                continue;
            }
            let name = format!("pool_{what}");
            let spans = sink.until(|spans| spans.iter().any(|span| span.name == name)).await;
            let span = spans.iter().find(|span| span.name == name).expect("it is a span");
            assert_eq!((&span.parent_id[..], &told[36..52]), (&FROM[36..52], &span.span_id[..]), "{what}");
        }
    }
    let spans = sink.spans();
    assert!(spans.iter().any(|span| span.name == "node_register"), "{spans:#?}");
    assert!(spans.iter().all(|span| span.name != "task" && !span.name.contains("heartbeat")), "{spans:#?}");
}

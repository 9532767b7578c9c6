//! Traces: what a collector gets to see of tasks and operations, what engines are told, and what a collector that is
//! away costs.

use std::time::{Duration, Instant};

use mock::wire::{Act, Ending, ScriptedEngine, completion, open_ended, stream_head, token};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use trace_export::sink::{Conduct, Seen, Sink};

use crate::{
    daemon::Daemon,
    logs::logging_into,
    support::{TestApp, engine_task, mock_task, text_of},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A collector, and a server with engines of one slot each that sends to it.
struct Stage {
    sink: Sink,
    app: TestApp,
    engines: Vec<ScriptedEngine>,
}

impl Stage {
    async fn with(engines: usize, more: &[(&str, &str)]) -> Self {
        let sink = Sink::start().await.unwrap();
        let mut all = Vec::new();
        for _ in 0..engines {
            all.push(ScriptedEngine::start(1).await.unwrap());
        }
        let pools: Vec<_> =
            all.iter().enumerate().map(|(at, engine)| format!("p{at}=llamacpp+{}", engine.url())).collect();
        let (pools, url) = (pools.join(","), sink.url());
        let mut settings = vec![("ORCHD_POOLS", &*pools), ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url)];
        settings.extend(more);
        let app = TestApp::with(&settings).await;
        while app.get_json("/v2/meta/capabilities").await["engines"].as_array().unwrap().len() < engines {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self { sink, app, engines: all }
    }

    /// The spans of the only task, once its own span is there.
    async fn task(&self) -> Vec<Seen> {
        self.sink.until(|spans| spans.iter().any(|span| span.name == "task")).await
    }

    async fn submit_from(&self, traceparent: &str, task: &Value) -> String {
        let request = self.app.client.post(self.app.url("/v2/tasks")).json(task);
        let request = request.header("traceparent", traceparent).header("tracestate", "rojo=1, congo=t61");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        answer.json::<Value>().await.unwrap()["job_id"].as_str().unwrap().to_owned()
    }
}

fn from(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

fn names(spans: &[Seen]) -> Vec<&str> {
    let mut names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    names
}

fn all<'a>(spans: &'a [Seen], name: &str) -> Vec<&'a Seen> {
    let mut all: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    all.sort_by_key(|span| span.time);
    all
}

fn one<'a>(spans: &'a [Seen], name: &str) -> &'a Seen {
    let all = all(spans, name);
    assert_eq!(all.len(), 1, "{name}: {spans:#?}");
    all[0]
}

/// Checks that all of it is one tree below `task`, each span within its parent's time.
fn check_tree(spans: &[Seen]) {
    let task = one(spans, "task");
    for span in spans {
        assert_eq!(span.trace_id, task.trace_id, "{spans:#?}");
        assert!(span.time.0 <= span.time.1, "{span:?}");
        if span.name == "task" {
            continue;
        }
        let parent = spans.iter().find(|other| other.span_id == span.parent_id);
        let parent = parent.unwrap_or_else(|| panic!("{} is below nothing: {spans:#?}", span.name));
        assert!(span.is_within(parent), "{span:#?} is not within {parent:#?}");
        let expected = if ["first_token", "stream"].contains(&&*span.name) { "dispatch" } else { "task" };
        assert_eq!(parent.name, expected, "{}", span.name);
    }
    let mut ids: Vec<_> = spans.iter().map(|span| &span.span_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), spans.len(), "each has an id of its own");
}

const TREE: [&str; 7] = ["admission", "dispatch", "first_token", "placement", "queue", "stream", "task"];

//= ORCH-3330 type=test
//= ORCH-3331 type=test
//= ORCH-3333 type=test
//= ORCH-3334 type=test
#[tokio::test]
async fn one_task_is_one_tree_below_its_clients_span_and_says_nothing_of_texts() {
    let stage = Stage::with(1, &[]).await;
    stage.engines[0].push(completion(&[" canary-answer", " two"], Ending::Eos));
    let mut task = engine_task();
    task["prompt"] = json!("canary-prompt");
    let id = stage.submit_from(&from("01"), &task).await;
    assert_eq!(text_of(&stage.app.events(&id).await), " canary-answer two");
    let spans = stage.task().await;
    assert_eq!(names(&spans), TREE, "{spans:#?}");
    check_tree(&spans);
    let task = one(&spans, "task");
    assert_eq!((&*task.trace_id, &*task.parent_id, &*task.kind), (TRACE, PARENT, "Server"));
    assert_eq!(
        (&*task.state, &*task.service, task.error.as_deref()),
        ("rojo=1,congo=t61", "orchestratord", None)
    );
    for (key, value) in [
        ("job_id", &*id),
        ("pool_id", "p0"),
        ("replica_id", "local/p0"),
        ("engine", "llamacpp"),
        ("priority", "interactive"),
        ("queue_position", "0"),
        ("attempt", "1"),
        ("outcome", "completed"),
        ("tokens_out", "2"),
        ("finish_reason", "stop"),
        ("gen_ai.operation.name", "text_completion"),
        ("gen_ai.request.model", "scripted"),
        ("gen_ai.provider.name", "llamacpp"),
        ("gen_ai.usage.output_tokens", "2"),
        ("gen_ai.response.finish_reasons", "stop"),
        ("recovered", ""),
    ] {
        assert_eq!(task.attribute(key), value, "{key}: {task:#?}");
    }
    assert!(!task.attribute("correlation_id").is_empty());
    let placement = one(&spans, "placement");
    for (key, value) in [("candidates", "1"), ("strategy", "least-loaded"), ("outcome", "placed")] {
        assert_eq!(placement.attribute(key), value, "{placement:#?}");
    }
    // The engine's work belongs to the dispatch, and to nothing else.
    let dispatch = one(&spans, "dispatch");
    assert_eq!(dispatch.kind, "Client");
    let told = &stage.engines[0].seen()[0];
    assert_eq!(told.header("traceparent"), Some(&*format!("00-{TRACE}-{}-01", dispatch.span_id)));
    assert_eq!(told.header("tracestate"), Some("rojo=1,congo=t61"));
    // One follows the other, without a gap.
    let ends = |name| one(&spans, name).time;
    assert_eq!((ends("queue").1, ends("placement").1), (ends("placement").0, dispatch.time.0));
    assert_eq!((ends("first_token").0, ends("first_token").1), (dispatch.time.0, ends("stream").0));
    assert!(stage.sink.has_bytes("gen_ai.request.model") && !stage.sink.has_bytes("canary"));
    let served = stage.app.get("/metrics").await.text().await.unwrap();
    assert!(served.contains(r#"orchd_trace_spans_total{outcome="exported"} 7"#), "{served}");
    stage.app.finish().await;
}

//= ORCH-3331 type=test
//= ORCH-3332 type=test
#[tokio::test]
async fn a_client_that_does_not_record_is_not_recorded_and_its_engine_hears_what_it_said() {
    let stage = Stage::with(1, &[]).await;
    let quiet = stage.submit_from(&from("00"), &engine_task()).await;
    stage.app.events(&quiet).await;
    assert_eq!(stage.engines[0].seen()[0].header("traceparent"), Some(&*from("00")));
    // What is no context begins a trace of its own, which shows that the other one would have come by now.
    let own = stage.submit_from(&from("01").to_uppercase(), &engine_task()).await;
    stage.app.events(&own).await;
    let spans = stage.task().await;
    assert_eq!(names(&spans), TREE, "{spans:#?}");
    let task = one(&spans, "task");
    assert_eq!((task.attribute("job_id"), &*task.parent_id), (&*own, ""));
    assert_ne!(task.trace_id, TRACE);
    stage.app.finish().await;
}

//= ORCH-3332 type=test
#[tokio::test]
async fn a_sampler_that_takes_none_tells_engines_so() {
    let stage = Stage::with(1, &[("OTEL_TRACES_SAMPLER", "always_off")]).await;
    let id = stage.app.submit(&engine_task()).await;
    stage.app.events(&id).await;
    let seen = stage.engines[0].seen();
    let told = seen[0].header("traceparent").expect("the engine is told");
    assert!(told.starts_with("00-") && told.ends_with("-00"), "{told}");
    let Stage { sink, app, .. } = stage;
    app.finish().await;
    assert_eq!(sink.requests(), 0);
}

//= ORCH-3331 type=test
#[tokio::test]
async fn without_a_collector_engines_hear_what_the_client_said() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let app = TestApp::with(&[("ORCHD_POOLS", &format!("p=llamacpp+{}", engine.url()))]).await;
    for (sent, heard) in [(Some(from("01")), Some(from("01"))), (Some(from("xx")), None), (None, None)] {
        let mut request = app.client.post(app.url("/v2/tasks")).json(&engine_task());
        if let Some(sent) = sent {
            request = request.header("traceparent", sent);
        }
        let id: Value = request.send().await.unwrap().json().await.unwrap();
        app.events(id["job_id"].as_str().unwrap()).await;
        assert_eq!(engine.seen().last().unwrap().header("traceparent"), heard.as_deref());
    }
    app.finish().await;
}

//= ORCH-3333 type=test
#[tokio::test]
async fn each_attempt_has_its_own_dispatch_and_says_how_it_failed() {
    let stage = Stage::with(2, &[]).await;
    stage.engines[0].push(vec![Act::Pause(Duration::from_millis(30)), Act::Reset]);
    stage.engines[1].push(completion(&[" x"], Ending::Eos));
    let mut task = engine_task();
    task["placement"] = json!({"mode": "prefer", "prefer_pools": ["p0"]});
    let id = stage.app.submit(&task).await;
    assert_eq!(text_of(&stage.app.events(&id).await), " x");
    let spans = stage.task().await;
    check_tree(&spans);
    let dispatches = all(&spans, "dispatch");
    let [first, second] = dispatches[..] else { panic!("{spans:#?}") };
    assert_eq!((first.error.as_deref(), first.attribute("pool_id")), (Some("WORKER_RESET"), "p0"));
    assert_eq!((second.error.as_deref(), second.attribute("pool_id")), (None, "p1"));
    assert_eq!((first.attribute("attempt"), second.attribute("attempt")), ("1", "2"));
    assert_eq!((first.attribute("outcome"), second.attribute("outcome")), ("lost", "completed"));
    assert_eq!((all(&spans, "queue").len(), all(&spans, "placement").len()), (2, 2));
    assert_eq!(one(&spans, "stream").parent_id, second.span_id);
    assert_eq!(one(&spans, "task").error, None, "the task got over it");
    let heard = |engine: &ScriptedEngine| engine.seen()[0].header("traceparent").unwrap()[36..52].to_owned();
    assert_eq!([heard(&stage.engines[0]), heard(&stage.engines[1])], [&*first.span_id, &*second.span_id]);
    stage.app.finish().await;
}

//= ORCH-3333 type=test
#[tokio::test]
async fn a_cancel_ends_all_spans_at_once_running_or_waiting() {
    let stage = Stage::with(1, &[]).await;
    stage.engines[0].push(open_ended(&[" a"]));
    let running = stage.app.submit(&engine_task()).await;
    stage.app.until_state(&running, "running").await;
    let waiting = stage.app.submit(&engine_task()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    for id in [&waiting, &running] {
        assert_eq!(stage.app.cancel(id).await, StatusCode::NO_CONTENT);
    }
    let spans =
        stage.sink.until(|spans| names(spans).iter().filter(|name| **name == "task").count() == 2).await;
    let of = |id: &str| {
        let task = spans.iter().find(|span| span.name == "task" && span.attribute("job_id") == id).unwrap();
        spans.iter().filter(|span| span.trace_id == task.trace_id).cloned().collect::<Vec<_>>()
    };
    let (ran, waited) = (of(&running), of(&waiting));
    check_tree(&ran);
    check_tree(&waited);
    assert_eq!(names(&ran), TREE);
    assert_eq!(one(&ran, "dispatch").attribute("outcome"), "canceled");
    assert_eq!(names(&waited), ["admission", "queue", "task"]);
    for task in [one(&ran, "task"), one(&waited, "task")] {
        assert_eq!((task.attribute("outcome"), task.error.as_deref()), ("canceled", None));
    }
    stage.app.finish().await;
}

//= ORCH-3333 type=test
#[tokio::test]
async fn a_task_that_fails_ends_with_its_code() {
    let stage = Stage::with(1, &[]).await;
    stage.engines[0].push(vec![
        stream_head(),
        token(" a", 1),
        Act::Pause(Duration::from_millis(30)),
        Act::Reset,
    ]);
    let id = stage.app.submit(&engine_task()).await;
    assert_eq!(stage.app.events(&id).await.last().unwrap().data["code"], "WORKER_RESET");
    let spans = stage.task().await;
    assert_eq!(names(&spans), TREE, "{spans:#?}");
    check_tree(&spans);
    for name in ["task", "dispatch"] {
        let span = one(&spans, name);
        assert_eq!(
            (span.error.as_deref(), span.attribute("error.type")),
            (Some("WORKER_RESET"), "WORKER_RESET")
        );
    }
    drop(stage);
}

//= ORCH-3333 type=test
#[tokio::test]
async fn a_refusal_is_an_admission_with_its_code() {
    let stage = Stage::with(1, &[("ORCHD_ADMISSION_CAPACITY", "1")]).await;
    stage.engines[0].push(open_ended(&[" a"]));
    let running = stage.app.submit(&engine_task()).await;
    stage.app.until_state(&running, "running").await;
    let waiting = stage.app.submit(&engine_task()).await;
    assert_eq!(stage.app.post("/v2/tasks", &engine_task()).await.status(), StatusCode::TOO_MANY_REQUESTS);
    let refused =
        |spans: &[Seen]| spans.iter().filter(|span| span.error.is_some()).cloned().collect::<Vec<_>>();
    let spans = refused(&stage.sink.until(|spans| refused(spans).len() == 2).await);
    assert_eq!(names(&spans), ["admission", "task"]);
    check_tree(&spans);
    assert!(spans.iter().all(|span| span.error.as_deref() == Some("ADMISSION_REJECT")), "{spans:#?}");
    for id in [&waiting, &running] {
        stage.app.cancel(id).await;
    }
    stage.app.finish().await;
}

//= ORCH-3330 type=test
#[tokio::test]
async fn a_call_in_openais_dialect_is_a_task_like_any_other() {
    let sink = Sink::start().await.unwrap();
    let app = TestApp::with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &sink.url())]).await;
    let body = json!({"model": "mock", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2});
    let request = app.client.post(app.url("/v1/chat/completions")).json(&body);
    assert_eq!(request.header("traceparent", from("01")).send().await.unwrap().status(), StatusCode::OK);
    let spans = sink.until(|spans| spans.len() == TREE.len()).await;
    assert_eq!(names(&spans), TREE, "{spans:#?}");
    check_tree(&spans);
    let task = one(&spans, "task");
    assert_eq!((&*task.parent_id, task.attribute("gen_ai.operation.name")), (PARENT, "chat"));
    app.finish().await;
}

#[tokio::test]
async fn the_same_request_again_adds_nothing_to_a_trace() {
    let stage = Stage::with(1, &[]).await;
    let mut task = engine_task();
    task["task_id"] = json!("00000000-0000-4000-8000-000000000007");
    let id = stage.app.submit(&task).await;
    assert_eq!(stage.app.post("/v2/tasks", &task).await.status(), StatusCode::OK);
    stage.app.events(&id).await;
    let spans = stage.sink.until(|spans| spans.len() >= TREE.len()).await;
    assert_eq!(names(&spans), TREE, "{spans:#?}");
    stage.app.finish().await;
}

//= ORCH-3337 type=test
#[tokio::test]
async fn a_task_that_comes_back_after_a_kill_stays_in_its_trace() {
    let (state, sink) = (TempDir::new().unwrap(), Sink::start().await.unwrap());
    let engine = ScriptedEngine::start(1).await.unwrap();
    let (pools, url) = (format!("default=llamacpp+{}", engine.url()), sink.url());
    let settings = [("ORCHD_POOLS", &*pools), ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url)];
    engine.push(vec![Act::UntilGone]);
    let server = Daemon::start(state.path(), &settings).await;
    let id = server.submit(&engine_task()).await;
    server.until_state(&id, "running").await;
    // What has ended by then is sent, although its task has not.
    let before = sink.until(|spans| !spans.is_empty()).await;
    server.kill();
    let server = Daemon::start(state.path(), &settings).await;
    server.until_state(&id, "completed").await;
    let spans = sink.until(|spans| spans.iter().any(|span| span.name == "task")).await;
    server.stop().await;
    assert_eq!(names(&before), ["admission"]);
    assert_eq!(names(&spans), TREE, "{spans:#?}");
    check_tree(&spans);
    assert_eq!(one(&spans, "task").attribute("recovered"), "true");
    assert_eq!(one(&spans, "dispatch").attribute("attempt"), "2", "the first one was cut off untold");
}

//= ORCH-3335 type=test
//= ORCH-3336 type=test
#[tokio::test]
async fn a_collector_that_hangs_or_is_away_delays_no_task_and_no_stop() {
    let sink = Sink::start().await.unwrap();
    sink.conduct(Conduct::Hangs);
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for endpoint in [sink.url(), format!("http://{nobody}")] {
        let mut app = TestApp::with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).await;
        let began = Instant::now();
        for _ in 0..20 {
            let id = app.submit(&mock_task()).await;
            app.events(&id).await;
        }
        assert!(began.elapsed() < Duration::from_secs(8), "{endpoint}: {:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let began = Instant::now();
        app.stop().await;
        assert!(began.elapsed() < Duration::from_secs(6), "{endpoint}: {:?}", began.elapsed());
    }
}

//= ORCH-3335 type=test
#[tokio::test]
async fn the_log_tells_once_that_a_collector_is_away_and_once_that_it_is_back() {
    let (state, folder, sink) =
        (TempDir::new().unwrap(), TempDir::new().unwrap(), Sink::start().await.unwrap());
    sink.conduct(Conduct::Fails);
    let path = folder.path().join("log");
    let url = sink.url();
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*url)];
    let server = logging_into(&path, &state, &settings).await;
    for count in 1..=3 {
        let id = server.submit(&mock_task()).await;
        server.until_state(&id, "completed").await;
        assert!(sink.until_requests(count).await >= count);
    }
    sink.conduct(Conduct::Takes);
    let id = server.submit(&mock_task()).await;
    server.until_state(&id, "completed").await;
    server.stop().await;
    let log = std::fs::read_to_string(&path).unwrap();
    let said = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert_eq!(said("the collector does not take traces"), 1, "{log}");
    assert_eq!(said("the collector takes traces"), 1, "{log}");
}

//= ORCH-3336 type=test
#[tokio::test]
async fn a_stop_sends_what_is_left() {
    let mut stage = Stage::with(1, &[]).await;
    let id = stage.app.submit(&engine_task()).await;
    stage.app.events(&id).await;
    stage.app.stop().await;
    assert_eq!(names(&stage.sink.spans()), TREE);
}

//= ORCH-3330 type=test
#[tokio::test]
async fn an_endpoint_that_is_none_refuses_the_start() {
    let state = TempDir::new().unwrap();
    let (code, said) =
        Daemon::refuses(state.path(), &[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")]).await;
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{said}");
}

//= ORCH-3338 type=test
#[tokio::test]
async fn an_operation_is_a_span_and_questions_are_none() {
    let stage = Stage::with(1, &[]).await;
    let request =
        stage.app.client.post(stage.app.url("/v2/pools/p0/drain")).json(&json!({"deadline_ms": 1000}));
    let answer = request.header("traceparent", from("01")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let answer = stage.app.post("/v2/pools/nowhere/drain", &json!({"deadline_ms": 1000})).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let spans = stage.sink.until(|spans| spans.len() >= 2).await;
    assert_eq!(names(&spans), ["pool_drain", "pool_drain"], "{spans:#?}");
    let (drained, refused) = (&spans[0], &spans[1]);
    assert_eq!((&*drained.trace_id, &*drained.parent_id, &*drained.kind), (TRACE, PARENT, "Server"));
    assert_eq!(drained.attribute("http.response.status_code"), "202");
    assert_eq!(drained.attribute("http.route"), "/v2/pools/{id}/drain");
    assert_eq!((refused.error.as_deref(), &*refused.parent_id), (Some("NOT_FOUND"), ""));
}

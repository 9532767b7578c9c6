//! What a collector gets to see of engines that start, and of what is done to pools.

use std::fs;

use pool_registry_types::OperationState;
use reqwest::StatusCode;
use serde_json::{Value, json};
use trace_export::sink::{Seen, Sink};

use crate::{
    engine::{beside, left},
    node::{Disk, Node},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

async fn node(disk: &mut Disk, sink: &Sink) -> Node {
    disk.set(&format!("traces.endpoint = \"{}\"", sink.url()));
    Node::start(disk).await
}

/// Asks for something as the control plane does, within a trace.
async fn post(node: &Node, what: &str, body: &Value) -> StatusCode {
    let request = node.door.client.post(node.door.url(&format!("/v2/pools/a/{what}"))).json(body);
    let request = request.header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
    request.send().await.unwrap().status()
}

fn named<'a>(spans: &'a [Seen], name: &str) -> Vec<&'a Seen> {
    spans.iter().filter(|span| span.name == name).collect()
}

async fn until_named(sink: &Sink, name: &str, count: usize) -> Vec<Seen> {
    let spans = sink.until(|spans| named(spans, name).len() >= count).await;
    assert_eq!(named(&spans, name).len(), count, "{name}: {spans:#?}");
    spans
}

//= ORCH-3338 type=test
#[tokio::test]
async fn the_start_of_an_engine_is_a_span_from_nothing_until_it_is_ready() {
    let sink = Sink::start().await.unwrap();
    let (mut disk, model) = Disk::with_pool("slow", "");
    let node = node(&mut disk, &sink).await;
    node.door.until("loading", |_| left(&model, "pid").is_some()).await;
    assert!(sink.spans().is_empty(), "it is not over");
    fs::write(beside(&model, "go"), "").unwrap();
    node.door.until_ready().await;
    let spans = until_named(&sink, "engine_start", 1).await;
    let start = &spans[0];
    assert_eq!((&*start.service, &*start.kind, &*start.parent_id), ("pool-managerd", "Internal", ""));
    assert_eq!((start.attribute("pool_id"), start.attribute("engine")), ("a", "llamacpp"));
    assert_eq!((start.attribute("state"), start.error.as_deref()), ("ready", None));
    assert!(start.time.0 < start.time.1);
    let served = node.door.text("/metrics").await;
    assert!(served.contains("pool_managerd_trace_spans_total{outcome=\"exported\"} 1"), "{served}");
    node.stop().await;
}

//= ORCH-3338 type=test
#[tokio::test]
async fn a_start_that_fails_ends_with_a_code() {
    let sink = Sink::start().await.unwrap();
    let (mut disk, _) = Disk::with_pool("exits", "");
    let node = node(&mut disk, &sink).await;
    let spans = sink.until(|spans| !spans.is_empty()).await;
    let start = &spans[0];
    assert_eq!((&*start.name, start.error.as_deref()), ("engine_start", Some("POOL_UNREADY")));
    assert_ne!(start.attribute("state"), "ready");
    node.stop().await;
}

//= ORCH-3338 type=test
#[tokio::test]
async fn an_operation_belongs_to_whoever_asked_for_it_and_its_start_to_the_operation() {
    let sink = Sink::start().await.unwrap();
    let (mut disk, _) = Disk::with_pool("good", "");
    let second = disk.model("second.gguf", "good");
    let node = node(&mut disk, &sink).await;
    node.door.until_ready().await;
    let wanted = json!({"new_model_ref": second.display().to_string()});
    assert_eq!(post(&node, "reload", &wanted).await, StatusCode::ACCEPTED);
    let done = |status: &pool_registry_types::PoolStatus| {
        status.operation.as_ref().is_some_and(|operation| operation.state == OperationState::Succeeded)
    };
    node.door.until("reloaded", done).await;
    let spans = until_named(&sink, "pool_reload", 1).await;
    let spans = if named(&spans, "engine_start").len() == 2 {
        spans
    } else {
        until_named(&sink, "engine_start", 2).await
    };
    let reload = named(&spans, "pool_reload")[0];
    assert_eq!((&*reload.trace_id, &*reload.parent_id, &*reload.kind), (TRACE, PARENT, "Server"));
    assert_eq!(reload.error, None);
    let of_reload = named(&spans, "engine_start").into_iter().find(|start| start.trace_id == TRACE);
    assert_eq!(of_reload.expect("one start is part of it").parent_id, reload.span_id);
    assert_eq!(post(&node, "drain", &json!({"deadline_ms": 0})).await, StatusCode::ACCEPTED);
    until_named(&sink, "pool_drain", 1).await;
    assert_eq!(post(&node, "purge", &json!({})).await, StatusCode::ACCEPTED);
    let spans = until_named(&sink, "pool_purge", 1).await;
    for name in ["pool_drain", "pool_purge"] {
        let span = named(&spans, name)[0];
        assert_eq!(
            (&*span.trace_id, &*span.parent_id, span.error.as_deref()),
            (TRACE, PARENT, None),
            "{name}"
        );
    }
    node.stop().await;
}

//= ORCH-3338 type=test
#[tokio::test]
async fn a_reload_that_fails_ends_with_its_code() {
    let sink = Sink::start().await.unwrap();
    let (mut disk, _) = Disk::with_pool("good", "");
    let bad = disk.model("bad.gguf", "exits");
    let node = node(&mut disk, &sink).await;
    node.door.until_ready().await;
    let wanted = json!({"new_model_ref": bad.display().to_string()});
    assert_eq!(post(&node, "reload", &wanted).await, StatusCode::ACCEPTED);
    let spans = until_named(&sink, "pool_reload", 1).await;
    assert_eq!(named(&spans, "pool_reload")[0].error.as_deref(), Some("MODEL_NOT_AVAILABLE"));
    node.stop().await;
}

//= ORCH-3332 type=test
#[tokio::test]
async fn an_operation_that_its_caller_does_not_record_is_not_recorded() {
    let sink = Sink::start().await.unwrap();
    let (mut disk, _) = Disk::with_pool("good", "");
    let node = node(&mut disk, &sink).await;
    node.door.until_ready().await;
    let request = node.door.client.post(node.door.url("/v2/pools/a/drain")).json(&json!({"deadline_ms": 0}));
    let request = request.header("traceparent", format!("00-{TRACE}-{PARENT}-00"));
    assert_eq!(request.send().await.unwrap().status(), StatusCode::ACCEPTED);
    node.stop().await;
    assert!(sink.spans().iter().all(|span| span.name == "engine_start"), "{:#?}", sink.spans());
}

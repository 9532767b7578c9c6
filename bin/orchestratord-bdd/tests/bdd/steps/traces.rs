//! A collector of traces, and what it got.

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use trace_export::sink::{Conduct, Seen, Sink};

use super::answers;
use crate::{
    phrases::{Phrase, phrase},
    said::Said,
    support::{LOOK, PATIENCE},
    world::World,
};

pub(super) const PHRASES: &[Phrase] = &[
    phrase!(r"^a collector of traces( that never answers| that fails)?$", start),
    phrase!(r#"^the collector soon has the spans "(.*)"$"#, has_spans),
    phrase!(r#"^the collector soon has a span "(\w+)" with$"#, has_span),
    phrase!(r"^each span lies within its parent's time, in one trace$", is_tree),
    phrase!(r#"^the collector never got "(.*)"$"#, never_got),
    phrase!(r"^the collector got nothing$", got_nothing),
];

async fn start(world: &mut World, said: Said) {
    let sink = Sink::start().await.expect("loopback can be listened on");
    sink.conduct(match said.word(0) {
        "" => Conduct::Takes,
        " that fails" => Conduct::Fails,
        _ => Conduct::Hangs,
    });
    world.names.insert("collector".to_owned(), sink.url());
    world.collector = Some(sink);
}

fn sink(world: &World) -> &Sink {
    world.collector.as_ref().expect("the scenario has a collector")
}

async fn has_spans(world: &mut World, said: Said) {
    let names = |spans: &[Seen]| {
        let mut names: Vec<_> = spans.iter().map(|span| span.name.clone()).collect();
        names.sort();
        names.join(" ")
    };
    let spans = sink(world).until(|spans| names(spans) == said.word(0)).await;
    assert_eq!(names(&spans), said.word(0));
}

/// A span as a document: what each has, and its attributes.
fn document(span: &Seen) -> Value {
    let mut document = json!(span.attributes);
    document["trace_id"] = json!(span.trace_id);
    document["parent_id"] = json!(span.parent_id);
    document["error"] = json!(span.error);
    document
}

async fn has_span(world: &mut World, said: Said) {
    let began = Instant::now();
    loop {
        let spans = sink(world).spans();
        let mut called = spans.iter().filter(|span| span.name == said.word(0)).map(document);
        if called.any(|span| answers::check_all(world, &span, &said).is_ok()) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "no span is like {:?}: {spans:#?}", said.rows);
        sleep(LOOK).await;
    }
}

async fn is_tree(world: &mut World, _: Said) {
    let spans = sink(world).spans();
    let task = spans.iter().find(|span| span.name == "task").expect("the task has a span");
    for span in spans.iter().filter(|span| span.name != "task") {
        let parent = spans.iter().find(|other| other.span_id == span.parent_id);
        let parent = parent.unwrap_or_else(|| panic!("{} is below nothing: {spans:#?}", span.name));
        assert!(span.is_within(parent), "{span:#?} is not within {parent:#?}");
        assert_eq!(span.trace_id, task.trace_id);
    }
}

async fn never_got(world: &mut World, said: Said) {
    assert!(sink(world).requests() > 0, "something was sent");
    assert!(!sink(world).has_bytes(said.word(0)));
}

async fn got_nothing(world: &mut World, _: Said) {
    assert_eq!(sink(world).requests(), 0);
}

//! Nodes: an engine, and an agent that says what it is told.

use std::sync::Arc;

use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::answers;
use crate::{
    facts::value,
    node::{Node, Reload},
    phrases::{Phrase, phrase},
    said::Said,
    support::{LOOK, PATIENCE},
    world::{Answer, Engine, World},
};

pub(super) const PHRASES: &[Phrase] = &[
    phrase!(r"^a node (\w+) with pool (\w+)(?: of (\d+) slots?)?$", start),
    phrase!(r"^node (\w+) reports$", reports),
    phrase!(r"^node (\w+) joins$", joins),
    phrase!(r"^node (\w+) registers(?: with)?$", registers),
    phrase!(r"^node (\w+) sends a heartbeat(?: with)?$", beats),
    phrase!(r"^node (\w+) will (fail|hang) when it reloads$", will_reload),
    phrase!(r#"^node (\w+) was told to "(.*)"$"#, was_told),
];

async fn start(world: &mut World, said: Said) {
    let slots = if said.word(2).is_empty() { 1 } else { said.number(2) };
    let node = Node::start(said.word(0), said.word(1), slots.try_into().expect("slots are few")).await;
    // Its engine goes by the node's name.
    let voice = mock::wire::Voice::LLAMACPP;
    let engine = Engine { wire: Arc::clone(&node.engine), kind: "llamacpp".to_owned(), voice };
    world.engines.insert(said.word(0).to_owned(), engine);
    world.nodes.insert(said.word(0).to_owned(), node);
}

async fn reports(world: &mut World, said: Said) {
    for (field, cell) in said.pairs() {
        let cell = world.fill(cell);
        world.node(said.word(0)).says(field, value(&cell));
    }
}

async fn joins(world: &mut World, said: Said) {
    let base = world.base();
    world.node(said.word(0)).join(&base).await;
}

async fn registers(world: &mut World, said: Said) {
    let registration = world.node(said.word(0)).registration();
    let registration = answers::document(world, &said, registration);
    let request = answers::ask(world, Method::POST, "/v2/nodes/register").json(&registration);
    world.answer = Answer::of(request.send().await.expect("the server answers")).await;
}

async fn beats(world: &mut World, said: Said) {
    let report = world.node(said.word(0)).report();
    let beat = json!({"timestamp": "2026-01-01T00:00:00Z", "pools": [report]});
    let beat = answers::document(world, &said, beat);
    let path = format!("/v2/nodes/{}/heartbeat", said.word(0));
    let request = answers::ask(world, Method::POST, &path).json(&beat);
    world.answer = Answer::of(request.send().await.expect("the server answers")).await;
}

async fn will_reload(world: &mut World, said: Said) {
    let reload = if said.word(1) == "fail" { Reload::Fails } else { Reload::Hangs };
    world.node(said.word(0)).agent.state.lock().reloads.push(reload);
}

async fn was_told(world: &mut World, said: Said) {
    let began = Instant::now();
    loop {
        let told = world.node(said.word(0)).asked().join(" ");
        if told == said.word(1) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "it was told to {told:?}");
        sleep(LOOK).await;
    }
}

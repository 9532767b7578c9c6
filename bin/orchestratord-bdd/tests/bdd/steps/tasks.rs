//! Tasks: how they are submitted, run and canceled.

use reqwest::Method;
use serde_json::{Value, json};

use super::{answers, streams};
use crate::{
    phrases::{Phrase, phrase},
    said::Said,
    world::{Answer, World},
};

pub(super) const PHRASES: &[Phrase] = &[
    phrase!(r"^I submit task (\w+)(?: of (\d+) tokens?)?(?: with)?$", submit),
    phrase!(r"^I run task (\w+)(?: of (\d+) tokens?)?(?: with)?$", run),
    phrase!(r"^I try to submit a task(?: with)?$", try_to_submit),
    phrase!(r"^I try to submit a task with a prompt of (\d+) bytes$", try_long_prompt),
    phrase!(r"^I cancel task (\w+)$", cancel),
];

/// What is asked where the scenario does not say.
fn task(world: &World) -> Value {
    let model = if world.engines.is_empty() { "mock" } else { "scripted" };
    json!({"model_ref": model, "prompt": "Count:", "max_tokens": 12})
}

async fn send(world: &mut World, said: &Said, mut task: Value) {
    task = answers::document(world, said, task);
    let response = answers::ask(world, Method::POST, "/v2/tasks").json(&task).send().await;
    world.answer = Answer::of(response.expect("the server answers")).await;
}

/// Submits a task that must be accepted.
async fn submit(world: &mut World, said: Said) {
    let mut task = task(world);
    if !said.word(1).is_empty() {
        task["max_tokens"] = json!(said.number(1));
    }
    send(world, &said, task).await;
    let (status, body) = (world.answer.status, world.answer.json());
    assert!([200, 202].contains(&status), "{status} {body}");
    let id = body["job_id"].as_str().expect("a task has an id");
    world.names.insert(said.word(0).to_owned(), id.to_owned());
}

/// Submits a task and reads its stream to the end.
async fn run(world: &mut World, said: Said) {
    let name = said.word(0).to_owned();
    submit(world, said).await;
    streams::whole(world, &name).await;
}

async fn try_to_submit(world: &mut World, said: Said) {
    let task = task(world);
    send(world, &said, task).await;
}

async fn try_long_prompt(world: &mut World, said: Said) {
    let mut task = task(world);
    task["prompt"] = json!("x".repeat(said.number(0).try_into().expect("a length")));
    send(world, &said, task).await;
}

async fn cancel(world: &mut World, said: Said) {
    let path = format!("/v2/tasks/{}/cancel", world.task(said.word(0)));
    let response = answers::ask(world, Method::POST, &path).send().await;
    world.answer = Answer::of(response.expect("the server answers")).await;
}

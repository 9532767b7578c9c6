//! Disks without room, and disks that fail.

use std::{fs, path::PathBuf, process::Command};

use reqwest::Method;
use serde_json::{Value, json};

use super::{answers, server};
use crate::{
    phrases::{Phrase, phrase},
    process::Process,
    programs,
    said::Said,
    world::{Answer, World},
};

/// More tasks than a small disk has room for, and than a failing one flushes.
const TASKS_MAX: usize = 300;
/// What a task takes of a small disk.
const PROMPT: usize = 7_500;
/// Bytes of the small disk that are taken.
const BALLAST: usize = 500 * 1_024;

pub(super) const PHRASES: &[Phrase] = &[
    phrase!(r"^a state folder on a small disk that is nearly full$", small_disk),
    phrase!(r"^the small disk has room again$", make_room),
    phrase!(r"^a server whose disk will fail$", failing_disk),
    phrase!(r"^I submit tasks until one is refused$", submit_many),
    phrase!(r"^the server ends as a failure$", ends_as_failure),
    phrase!(r"^every task that was accepted is there$", all_are_there),
    phrase!(r"^every task that was accepted becomes completed$", all_complete),
];

fn ballast(world: &World) -> PathBuf {
    world.folder.path().join("state/ballast")
}

async fn small_disk(world: &mut World, _: Said) {
    let state = world.folder.path().join("state");
    fs::create_dir(&state).expect("a folder");
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&state);
    if mount.output().is_ok_and(|output| output.status.success()) {
        world.mounted = Some(state);
        fs::write(ballast(world), vec![0; BALLAST]).expect("the ballast is written");
    } else {
        world.lacks = Some("the right to mount a small disk");
    }
}

async fn make_room(world: &mut World, _: Said) {
    fs::remove_file(ballast(world)).expect("the ballast is there");
}

/// The server under a tracer that fails its flushes, from some time after the start on.
async fn failing_disk(world: &mut World, said: Said) {
    if Command::new("strace").arg("-V").output().is_err() {
        world.lacks = Some("strace");
        return;
    }
    // The first start has the store made.
    server::start(world, said).await;
    server::stop_now(world).await;
    let inject = "inject=fsync,fdatasync:error=EIO:when=12+";
    let arguments =
        ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", inject].map(str::to_owned);
    let program = programs::path("orchestratord").display().to_string();
    let arguments = [&arguments[..], &[program]].concat();
    let variables = server::variables(world);
    world.server = Some(Process::start("strace".as_ref(), &arguments, &variables));
    assert!(world.running().listens().await, "the server starts");
}

async fn submit_many(world: &mut World, _: Said) {
    let model = if world.engines.is_empty() { "mock" } else { "scripted" };
    let task = json!({"model_ref": model, "prompt": "x".repeat(PROMPT), "max_tokens": 3});
    for _ in 0..TASKS_MAX {
        let sent = answers::ask(world, Method::POST, "/v2/tasks").json(&task).send().await;
        // A server that ends does not answer.
        let Ok(response) = sent else { return };
        world.answer = Answer::of(response).await;
        if world.answer.status != 202 {
            return;
        }
        let id = world.answer.json()["job_id"].as_str().expect("a task has an id").to_owned();
        world.accepted.push(id);
    }
    panic!("none of {TASKS_MAX} tasks was refused");
}

async fn ends_as_failure(world: &mut World, _: Said) {
    let code = world.running().ends().await;
    assert_ne!(code, Some(0));
}

async fn view(world: &mut World, id: &str) -> Value {
    let response = answers::ask(world, Method::GET, &format!("/v2/tasks/{id}")).send().await;
    response.expect("the server answers").json().await.expect("a task is JSON")
}

async fn all_are_there(world: &mut World, _: Said) {
    assert!(!world.accepted.is_empty(), "some were accepted");
    for id in world.accepted.clone() {
        let view = view(world, &id).await;
        assert!(view["state"].is_string(), "{id}: {view}");
    }
}

async fn all_complete(world: &mut World, _: Said) {
    assert!(!world.accepted.is_empty(), "some were accepted");
    for id in world.accepted.clone() {
        answers::until_state(world, &id, "completed").await;
    }
}

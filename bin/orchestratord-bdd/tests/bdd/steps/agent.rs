//! The agent of a node as a process, with engines that are processes of their own.

use std::{env, fs, path::PathBuf};

use nix::sys::signal::Signal;
use reqwest::Method;
use tokio::time::{Instant, sleep};

use super::answers;
use crate::{
    engine::{beside, left, script},
    phrases::{Phrase, phrase},
    process::Process,
    programs,
    said::Said,
    support::{LOOK, PATIENCE},
    world::World,
};

pub(super) const PHRASES: &[Phrase] = &[
    phrase!(r#"^an agent whose model is "([a-z]+)"(?: and whose pool has)?$"#, start),
    phrase!(r"^the agent starts again$", start_again),
    phrase!(r"^the agent is killed$", kill),
    phrase!(r"^the agent stops in order$", stop),
    phrase!(r#"^a model "(.*)" that is "([a-z]+)"$"#, model),
    phrase!(r#"^the agent soon narrates "(.*)"$"#, narrates),
    phrase!(r"^the agent's pool soon shows$", soon_shows),
    phrase!(r"^the engine has made (\d+) tokens?$", has_made),
    phrase!(r"^the engine may load now$", may_load),
    phrase!(r#"^the engine's (args|env) (hold|do not hold) "(.*)"$"#, holds),
    phrase!(r"^the engine was never started$", never_started),
    phrase!(r"^the engine is killed$", kill_engine),
    phrase!(r"^the engine's process is gone$", gone),
    phrase!(r"^the engine's process is another one$", another),
];

fn own_model(world: &World) -> PathBuf {
    world.folder.path().join("first.gguf")
}

/// Lays down an engine, a model and a configuration, and starts the agent.
async fn start(world: &mut World, said: Said) {
    prepare(world, said.word(0), &said);
    start_again(world, said).await;
}

fn prepare(world: &mut World, words: &str, said: &Said) {
    let folder = world.folder.path().to_owned();
    script(&folder, "engine", "");
    fs::write(own_model(world), words).expect("the model is written");
    let plane = world.server.as_ref().and_then(|server| server.address);
    let plane =
        plane.map_or_else(String::new, |address| format!("orchestratord_url = \"http://{address}\"\n"));
    let keys = world.fill(said.text.as_deref().unwrap_or_default());
    let way = if keys.contains("provisioning") {
        ""
    } else {
        "provisioning = \"binary\"\nbinary = \"{folder}/engine\"\n"
    };
    let config = [
        "bind_addr = \"127.0.0.1:0\"\nnode_id = \"n1\"\nstate_dir = \"{folder}/node\"\n",
        &plane,
        "[[pools]]\nid = \"a\"\nengine = \"llamacpp\"\nmodel = \"{folder}/first.gguf\"\nslots = 2\n",
        way,
        &keys,
    ];
    let config = world.fill(&config.concat());
    fs::write(folder.join("node.toml"), config + "\n").expect("the configuration is written");
}

fn spawn(world: &mut World) {
    let arguments = ["--config".to_owned(), world.folder.path().join("node.toml").display().to_string()];
    let path = env::var_os("PATH").map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    let variables = [
        ("PATH".to_owned(), path),
        ("ORCHD_LOG_FORMAT".to_owned(), "json".to_owned()),
        ("RUST_LOG".to_owned(), "info".to_owned()),
    ];
    world.agent = Some(Process::start(programs::path("pool-managerd"), &arguments, &variables));
}

async fn start_again(world: &mut World, _: Said) {
    spawn(world);
    assert!(agent(world).listens().await, "the agent starts");
    let address = agent(world).address.expect("the agent listens");
    world.names.insert("agent".to_owned(), address.to_string());
}

fn agent(world: &mut World) -> &mut Process {
    world.agent.as_mut().expect("the scenario has an agent")
}

async fn kill(world: &mut World, _: Said) {
    agent(world).kill();
}

async fn stop(world: &mut World, _: Said) {
    agent(world).signal(Signal::SIGTERM);
    assert_eq!(agent(world).ends().await, Some(0), "the agent says that all is well");
}

async fn model(world: &mut World, said: Said) {
    fs::write(world.folder.path().join(said.word(0)), said.word(1)).expect("the model is written");
}

async fn soon_shows(world: &mut World, said: Said) {
    let url = world.fill("http://{agent}/v2/pools/a/status");
    let began = Instant::now();
    loop {
        let answer = answers::ask(world, Method::GET, &url).send().await.expect("the agent answers");
        let status = answer.json().await.expect("a status is JSON");
        match answers::check_all(world, &status, &said) {
            Ok(()) => return,
            Err(problem) => assert!(began.elapsed() < PATIENCE, "{problem}"),
        }
        sleep(LOOK).await;
    }
}

/// Waits until something outside of the agent is so.
async fn until(what: &str, is: impl Fn() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENCE, "it does not come to this: {what}");
        sleep(LOOK).await;
    }
}

async fn has_made(world: &mut World, said: Said) {
    let made = left(&own_model(world), "completions").and_then(|count| count.parse().ok());
    assert_eq!(made.unwrap_or(0), said.number(0));
}

async fn may_load(world: &mut World, _: Said) {
    fs::write(beside(&own_model(world), "go"), "").expect("a file is written");
}

async fn holds(world: &mut World, said: Said) {
    let model = own_model(world);
    until("the engine runs", || left(&model, said.word(0)).is_some()).await;
    let all = left(&model, said.word(0)).unwrap_or_default();
    assert_eq!(all.contains(said.word(2)), said.word(1) == "hold", "{all}");
}

async fn never_started(world: &mut World, _: Said) {
    assert_eq!(left(&own_model(world), "pid"), None);
}

/// The engine's process by the number that it left.
fn pid(world: &World) -> String {
    left(&own_model(world), "pid").expect("the engine has run")
}

fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    state.is_some_and(|state| state != "Z" && state != "X")
}

async fn kill_engine(world: &mut World, _: Said) {
    let pid = pid(world);
    let number = pid.parse().expect("a process has a number");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(number), Signal::SIGKILL).expect("the engine is there");
    world.names.insert("killed".to_owned(), pid);
}

async fn gone(world: &mut World, _: Said) {
    let pid = pid(world);
    until("the engine is gone", || !lives(&pid)).await;
}

async fn another(world: &mut World, _: Said) {
    let (model, killed) = (own_model(world), world.task("killed"));
    until("another engine runs", || left(&model, "pid").is_some_and(|pid| pid != killed && lives(&pid)))
        .await;
}

async fn narrates(world: &mut World, said: Said) {
    let began = Instant::now();
    loop {
        let lines = agent(world).lines();
        let mut lines = lines.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        if lines.any(|line| line["human"].as_str().is_some_and(|human| human.contains(said.word(0)))) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{}", agent(world).tail());
        sleep(LOOK).await;
    }
}

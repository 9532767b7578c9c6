//! The server as a process: how it is started, stopped and lost.

use std::{net::TcpListener, time::Duration};

use nix::sys::signal::Signal;
use tokio::time::{sleep, timeout};

use crate::{
    phrases::{Phrase, phrase},
    process::Process,
    programs,
    said::Said,
    support::{LOOK, PATIENCE},
    world::World,
};

pub(super) const PHRASES: &[Phrase] = &[
    phrase!(r"^a server(, not ready yet)?(?: with)?$", start),
    phrase!(r"^the server starts again(, not ready yet)?(?: with)?$", start),
    phrase!(r"^a (?:second )?server that does not start(?: with)?$", refuse),
    phrase!(r#"^it says "(.*)"$"#, says),
    phrase!(r#"^it does not say "(.*)"$"#, does_not_say),
    phrase!(r"^its exit code is (\d+)$", exit_code),
    phrase!(r"^the server is killed$", kill),
    phrase!(r"^the server is told to stop$", tell_to_stop),
    phrase!(r"^the server stops in order$", stop),
    phrase!(r"^the server stands still for (\d+) ms$", stand_still),
    phrase!(r"^a (free|taken) port (\w+)$", port),
    phrase!(r"^(\d+) ms pass$", pass),
];

/// Starts it with what the scenario has said of it so far.
pub(super) async fn start(world: &mut World, said: Said) {
    spawn(world, &said);
    let listens = world.running().listens().await;
    assert!(listens, "the server starts");
    if said.word(0).is_empty() {
        until_ready(world).await;
    }
}

fn spawn(world: &mut World, said: &Said) {
    for (name, value) in said.pairs() {
        let value = world.fill(value);
        world.settings.insert(name.to_owned(), value);
    }
    // What is written as a flag is one.
    let flags = world.settings.iter().filter(|(name, _)| name.starts_with("--"));
    let flags: Vec<_> = flags.map(|(name, value)| format!("{name}={value}")).collect();
    let variables = variables(world);
    world.server = Some(Process::start(programs::path("orchestratord"), &flags, &variables));
}

/// All variables of the server.
pub(super) fn variables(world: &World) -> Vec<(String, String)> {
    let folder = world.folder.path().display().to_string();
    let mut variables = vec![
        ("ORCHD_BIND_ADDR".to_owned(), "127.0.0.1:0".to_owned()),
        ("ORCHD_STATE_DIR".to_owned(), format!("{folder}/state")),
        ("ORCHD_LOG_FORMAT".to_owned(), "json".to_owned()),
        ("RUST_LOG".to_owned(), "info,orchestratord=debug".to_owned()),
    ];
    let attached = world.engines.iter().filter(|(name, _)| !world.nodes.contains_key(*name));
    let pools: Vec<_> =
        attached.map(|(name, engine)| format!("{name}={}+{}", engine.kind, engine.wire.url())).collect();
    if !pools.is_empty() && !world.settings.contains_key("ORCHD_CONFIG") {
        variables.push(("ORCHD_POOLS".to_owned(), pools.join(",")));
    }
    // A later value of a variable wins.
    let own = world.settings.iter().filter(|(name, _)| !name.starts_with("--"));
    variables.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    variables
}

/// Waits until it is ready, with every engine that it was told of.
async fn until_ready(world: &mut World) {
    let base = world.base();
    let engines = world.engines.keys().filter(|name| !world.nodes.contains_key(*name)).count();
    let ready = async {
        loop {
            let answer = world.client.get(format!("{base}/ready")).send().await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                let metrics = world.client.get(format!("{base}/metrics")).send().await.expect("metrics");
                let metrics = metrics.text().await.expect("metrics");
                let there = metrics.lines().find_map(|line| line.strip_prefix("orchd_pools_available "));
                if there.and_then(|there| there.parse().ok()).is_some_and(|there: usize| there >= engines) {
                    return;
                }
            }
            sleep(LOOK).await;
        }
    };
    timeout(PATIENCE, ready).await.expect("the server becomes ready");
}

async fn refuse(world: &mut World, said: Said) {
    // One that runs goes on.
    world.earlier.extend(world.server.take());
    spawn(world, &said);
    let listens = world.running().listens().await;
    assert!(!listens, "the server must not start");
}

async fn says(world: &mut World, said: Said) {
    let words = world.fill(said.word(0));
    world.running().ends().await;
    let tail = world.running().tail();
    assert!(tail.contains(&words), "`{words}` is not in\n{tail}");
}

async fn does_not_say(world: &mut World, said: Said) {
    world.running().ends().await;
    let tail = world.running().tail();
    assert!(!tail.contains(said.word(0)), "{tail}");
}

async fn exit_code(world: &mut World, said: Said) {
    let code = world.running().ends().await.expect("it ended by itself");
    assert_eq!(u64::try_from(code).ok(), Some(said.number(0)));
}

async fn kill(world: &mut World, _: Said) {
    world.running().kill();
}

async fn tell_to_stop(world: &mut World, _: Said) {
    world.running().signal(Signal::SIGTERM);
}

async fn stop(world: &mut World, _: Said) {
    stop_now(world).await;
}

/// Tells it to stop, and waits until it has.
pub(super) async fn stop_now(world: &mut World) {
    world.running().signal(Signal::SIGTERM);
    let code = world.running().ends().await;
    assert_eq!(code, Some(0), "the server says that all is well");
}

async fn stand_still(world: &mut World, said: Said) {
    world.running().signal(Signal::SIGSTOP);
    sleep(Duration::from_millis(said.number(0))).await;
    world.running().signal(Signal::SIGCONT);
}

async fn port(world: &mut World, said: Said) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let port = listener.local_addr().expect("it listens").port();
    world.names.insert(said.word(1).to_owned(), port.to_string());
    if said.word(0) == "taken" {
        world.taken.push(listener);
    }
}

async fn pass(_: &mut World, said: Said) {
    sleep(Duration::from_millis(said.number(0))).await;
}

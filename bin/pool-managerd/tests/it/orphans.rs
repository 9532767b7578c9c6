//! No engine outlives its agent.

use nix::{
    sys::signal::{Signal, kill as signal},
    unistd::Pid,
};

use crate::{
    engine::left,
    node::{Daemon, Disk, Node, kill, lives, pid_of, until},
};

//= ORCH-3440 type=test
#[tokio::test]
async fn nothing_of_an_engine_is_left_when_its_agent_is_killed() {
    let (disk, model) = Disk::with_pool("forks", "");
    let agent = Daemon::start(&disk).await;
    agent.door.until_ready().await;
    let (engine, child) = (pid_of(&model), left(&model, "child").unwrap());
    assert!(lives(&engine) && lives(&child));
    agent.kill();
    until("engine and its child are gone", || !lives(&engine) && !lives(&child)).await;
}

//= ORCH-3440 type=test
#[tokio::test]
async fn an_engine_that_does_not_heed_sigterm_is_killed_after_its_time_and_its_children_too() {
    let (mut disk, model) = Disk::with_pool("forks", "stop_timeout_ms = 300");
    let (engine, stubborn) = (disk.path("engine"), disk.path("stubborn"));
    disk.toml = disk.toml.replace(&engine.display().to_string(), &stubborn.display().to_string());
    let node = Node::start(&disk).await;
    node.door.until_ready().await;
    let (engine, child) = (pid_of(&model), left(&model, "child").unwrap());
    node.stop().await;
    assert!(!lives(&engine) && !lives(&child));
}

//= ORCH-3440 type=test
#[tokio::test]
async fn a_child_that_an_engine_leaves_behind_goes_with_it() {
    let (disk, model) = Disk::with_pool("forks", "");
    let node = Node::start(&disk).await;
    node.door.until_ready().await;
    let (engine, child) = (pid_of(&model), left(&model, "child").unwrap());
    kill(&engine);
    until("the child is gone", || !lives(&child)).await;
    node.stop().await;
}

//= ORCH-3440 type=test
#[tokio::test]
async fn an_agent_that_is_told_to_stop_takes_its_engines_along() {
    let (disk, model) = Disk::with_pool("forks", "");
    let mut agent = Daemon::start(&disk).await;
    agent.door.until_ready().await;
    let (engine, child) = (pid_of(&model), left(&model, "child").unwrap());
    signal(Pid::from_raw(i32::try_from(agent.child.id()).unwrap()), Signal::SIGTERM).unwrap();
    let ended = tokio::task::spawn_blocking(move || agent.child.wait().unwrap()).await.unwrap();
    assert!(ended.success());
    assert!(!lives(&engine) && !lives(&child));
}

//! What is lost: an agent, the way to a node, the server.

use std::{cell::Cell, path::Path, rc::Rc, time::Duration};

use anyhow::{Result, bail};
use nix::sys::signal::Signal;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    SHORT,
    crowd::{Ending, Flight, Seen, by_pool, not_whole},
    figures::{Report, median_and_max, ms, row, seconds},
    land::Land,
    stage::{Node, SLOTS, Stage, living, signal_all},
    until_gone,
};

/// A long task, in tokens.
const LONG: u32 = 4_000;
/// So many tokens are out before anything is broken.
const UNDER_WAY: u32 = 10;
const POLL: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_mins(1);
/// What a reader may wait for the end on a quiet machine; printed, and no breach.
const GOAL_MEDIAN: Duration = Duration::from_millis(100);
const GOAL_MAX: Duration = Duration::from_millis(300);
/// A breach also on a busy one.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Long tasks in all slots, each with tokens out.
async fn fill(stage: &Stage) -> Result<Vec<(Flight, JoinHandle<()>)>> {
    let flights: Vec<_> = (0..2 * SLOTS).map(|_| stage.crowd.launch(LONG)).collect();
    let began = Instant::now();
    while !flights.iter().all(|(seen, _)| seen.borrow().tokens >= UNDER_WAY) {
        if began.elapsed() > PATIENCE {
            bail!("not all slots are taken");
        }
        sleep(POLL).await;
    }
    Ok(flights)
}

async fn landed(flights: Vec<(Flight, JoinHandle<()>)>) -> Result<Vec<Seen>> {
    let mut all = Vec::new();
    for (seen, flight) in flights {
        flight.await?;
        all.push(seen.borrow().clone());
    }
    Ok(all)
}

/// Holds the streams of a lost pool against their promise, and gives how long their readers waited.
fn lost_streams(all: &[Seen], pool: &str, since: Instant, report: &mut Report) -> Vec<Duration> {
    let mut waits = Vec::new();
    for seen in all.iter().filter(|seen| seen.pool == pool) {
        let is_reset = seen.terminals == 1 && matches!(&seen.ending, Ending::Failed(_, true));
        report.hold(is_reset, || format!("stream {} of the lost pool ended {:?}", seen.id, seen.ending));
        waits.extend(seen.ended.map(|ended| ended.saturating_duration_since(since)));
    }
    waits
}

/// The agent of the first node is killed in the middle of streams.
pub(super) async fn agent(stage: &mut Stage, report: &mut Report) -> Result<()> {
    let before = stage.nodes[0].incarnation()?;
    let long = fill(stage).await?;
    let waiting: Vec<_> = (0..SLOTS).map(|_| stage.crowd.launch(SHORT)).collect();
    while waiting.iter().any(|(seen, _)| seen.borrow().id.is_empty()) {
        sleep(POLL).await;
    }
    let killed = Instant::now();
    if let Some(agent) = &mut stage.nodes[0].agent {
        agent.kill()?;
    }
    let left = until_gone(&stage.nodes[0].folder, Duration::from_secs(3)).await?;
    row("the engine is gone after", format!("{}, {left} processes left", ms(killed.elapsed())));
    report.hold(left == 0, || format!("{left} processes of the dead agent are left after 3 s"));
    let (long, waiting) = (landed(long).await?, landed(waiting).await?);
    let waits = lost_streams(&long, "a", killed, report);
    let resets =
        long.iter().filter(|it| it.ending == Ending::Failed("WORKER_RESET".to_owned(), true)).count();
    row("streams of its pool", format!("{}, {resets} ended with WORKER_RESET", waits.len()));
    report.hold(resets == waits.len() && resets > 0, || format!("{resets} of {} were reset", waits.len()));
    if let Some((median, max)) = median_and_max(waits) {
        let met = if median <= GOAL_MEDIAN && max <= GOAL_MAX { "met" } else { "MISSED" };
        let goal = format!("goal {} and {} {met}", ms(GOAL_MEDIAN), ms(GOAL_MAX));
        row("from the kill to the reader's error", format!("p50 {}, max {}; {goal}", ms(median), ms(max)));
        report.hold(max <= WAIT_MAX, || format!("a reader waited {}", ms(max)));
    }
    let others: Vec<_> = long.iter().filter(|seen| seen.pool == "b").chain(&waiting).cloned().collect();
    let (bad, first) = not_whole(&others);
    row("the other streams, and tasks without a token", format!("{}, {bad} not completed", others.len()));
    report.hold(bad == 0, || format!("{bad} others did not complete: {first}"));
    report.hold(by_pool(&waiting).keys().all(|pool| *pool == "b"), || {
        format!("tasks without a token ran in {:?}", by_pool(&waiting))
    });
    stage.nodes[0].agent = None;
    stage.start_agent(0)?;
    let started = Instant::now();
    stage.until_ready(&["a"]).await?;
    let ready = started.elapsed();
    stage.until_serves("a").await?;
    let after = stage.nodes[0].incarnation()?;
    row(
        "its next life is ready, and serves, after",
        format!("{}, {}", seconds(ready), seconds(started.elapsed())),
    );
    row("incarnation", format!("{before}, then {after}"));
    report.hold(after > before, || format!("incarnation {after} does not follow {before}"));
    Ok(())
}

fn cut(stage: &Stage, node: &Node) -> Result<()> {
    match stage.land {
        Land::Apart => Land::cut(node.place),
        Land::Together => still(&node.folder, Signal::SIGSTOP),
    }
}

fn heal(stage: &Stage, node: &Node) -> Result<()> {
    match stage.land {
        Land::Apart => Land::heal(node.place),
        Land::Together => still(&node.folder, Signal::SIGCONT),
    }
}

fn still(folder: &Path, signal: Signal) -> Result<()> {
    signal_all(&living(folder)?, signal);
    Ok(())
}

/// The second node is cut off for as long as it takes to be offline, and joined again.
pub(super) async fn partition(stage: &Stage, report: &mut Report) -> Result<()> {
    let node = &stage.nodes[1];
    let long = fill(stage).await?;
    let (heard, cut_at) = (stage.node(node.name).await["last_heard_ms"].as_u64(), Instant::now());
    let heard = Duration::from_millis(heard.unwrap_or_default());
    cut(stage, node)?;
    let apart = Rc::new(Cell::new(true));
    let is_apart = Rc::clone(&apart);
    let lanes = stage.crowd.lanes(2, SHORT, move || is_apart.get());
    while stage.node(node.name).await["status"] != "offline" {
        if cut_at.elapsed() > PATIENCE {
            bail!("the node does not go offline: {}", stage.node(node.name).await);
        }
        sleep(POLL).await;
    }
    let silence = cut_at.elapsed() + heard;
    row("offline after a silence of", format!("{} (goal 30 to 32 s)", seconds(silence)));
    let offline = Duration::from_millis(29_800)..Duration::from_secs(34);
    report.hold(offline.contains(&silence), || format!("offline after {}", seconds(silence)));
    let long = landed(long).await?;
    let waits = lost_streams(&long, "b", cut_at, report);
    if let Some((median, max)) = median_and_max(waits) {
        row("its silent streams ended after", format!("p50 {}, max {}", seconds(median), seconds(max)));
    }
    apart.set(false);
    let mut all = lanes.land().await?;
    all.extend(long.into_iter().filter(|seen| seen.pool != "b"));
    let (bad, first) = not_whole(&all);
    row("other tasks meanwhile, by pool", format!("{} {:?}, {bad} not completed", all.len(), by_pool(&all)));
    report.hold(bad == 0, || format!("{bad} tasks did not complete: {first}"));
    report.hold(by_pool(&all).len() == 1, || format!("tasks ran in {:?}", by_pool(&all)));
    heal(stage, node)?;
    let healed = Instant::now();
    while stage.node(node.name).await["status"] != "online" {
        if healed.elapsed() > PATIENCE {
            bail!("the node does not come back: {}", stage.node(node.name).await);
        }
        sleep(POLL).await;
    }
    let online = healed.elapsed();
    stage.until_serves(node.pool).await?;
    row("online again, and serves, after", format!("{}, {}", seconds(online), seconds(healed.elapsed())));
    Ok(())
}

/// The server is killed while clients are at work, and comes back to the same state.
pub(super) async fn server(stage: &mut Stage, report: &mut Report) -> Result<()> {
    let lanes = stage.crowd.lanes(3 * SLOTS, 10 * SHORT, || true);
    while lanes.ended() < 3 * SLOTS {
        sleep(POLL).await;
    }
    let killed = Instant::now();
    if let Some(mut server) = stage.server.take() {
        server.kill()?;
    }
    let all = lanes.land().await?;
    stage.start_server()?;
    stage.until_ready(&["a", "b"]).await?;
    row("both nodes are heard again after", seconds(killed.elapsed()));
    let accepted: Vec<_> = all.iter().filter(|seen| !seen.id.is_empty()).collect();
    let (mut completed, mut failed) = (0, 0);
    for seen in &accepted {
        match ended(stage, &seen.id).await?.as_str() {
            "completed" => completed += 1,
            "failed" if !seen.is_whole() => failed += 1,
            other => report
                .hold(false, || format!("task {} is {other}, its reader saw {:?}", seen.id, seen.ending)),
        }
    }
    let open = accepted.iter().filter(|seen| !seen.is_whole()).count();
    row("accepted", format!("{}, of them {open} open at the kill", accepted.len()));
    row("found again", format!("{completed} completed, {failed} failed with their server"));
    stage.until_serves("a").await?;
    stage.until_serves("b").await?;
    row("both nodes serve again after", seconds(killed.elapsed()));
    Ok(())
}

/// The state in which a task ended.
async fn ended(stage: &Stage, id: &str) -> Result<String> {
    let began = Instant::now();
    loop {
        let answer = stage.call("GET", &format!("/v2/tasks/{id}"), "").await?;
        if answer.status != 200 {
            return Ok(format!("answered {}", answer.shown()));
        }
        let standing = answer.json()["state"].as_str().unwrap_or_default().to_owned();
        if matches!(standing.as_str(), "completed" | "failed" | "canceled") || began.elapsed() > PATIENCE {
            return Ok(standing);
        }
        sleep(POLL).await;
    }
}

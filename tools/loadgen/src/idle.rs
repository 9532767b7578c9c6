//! The benchmark of nodes: what it costs the server that a hundred of them are there and say so.
//!
//! The nodes are made up: one cheap engine stands for all of theirs, and this process sends their heartbeats. The
//! server without any node is measured in the same run, so that only the difference is theirs.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    chaos::{
        client::Client,
        engine::CountingEngine,
        server::{Server, Setup, free_address},
    },
    load::as_f64,
    relay::{Scratch, time_of},
};

/// Options of `nodes`.
#[derive(Args)]
pub(crate) struct IdleArgs {
    /// The server's executable.
    #[arg(long)]
    orchestratord: PathBuf,
    /// How many nodes there are.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    nodes: u32,
    /// How long the idle server is measured.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Heartbeats per second in the second phase.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
}

/// How often a node says that it is well.
const HEARTBEAT: Duration = Duration::from_secs(10);
const FAST: Duration = Duration::from_secs(5);
const LANES: u32 = 8;
/// No more of a core than this, in percent, for a hundred nodes.
const GOAL_PERCENT: f64 = 2.0;
/// Whatever happens at a start is over after this time.
const SETTLE: Duration = Duration::from_secs(3);
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Measures and prints.
pub(crate) async fn run(args: &IdleArgs) -> Result<()> {
    let scratch = Scratch::new("idle")?;
    let engine = CountingEngine::start(1).await?;
    let setup = Setup {
        executable: args.orchestratord.clone(),
        folder: scratch.path().to_owned(),
        target: free_address()?,
        settings: Vec::new(),
    };
    let mut server = Server::start(&setup)?;
    server.ready().await?;
    sleep(SETTLE).await;
    let seconds = Duration::from_secs(args.seconds);
    let control = measure(&server, async {
        sleep(seconds).await;
        Ok(0)
    })
    .await?;
    let control_rss = resident_kib(server.process())?;
    let mut nodes: Vec<_> = (0..args.nodes).map(|number| Node::new(number, engine.url())).collect();
    join(setup.target, &mut nodes).await?;
    sleep(SETTLE).await;
    let idle = measure(&server, beats(setup.target, &mut nodes, (HEARTBEAT / args.nodes, seconds))).await?;
    let rss = resident_kib(server.process())?;
    let pause = Duration::from_secs(1) / args.rate;
    let fast = measure(&server, beats(setup.target, &mut nodes, (pause, FAST))).await?;
    let met = if is_met(idle.percent(), args.nodes) { "met" } else { "MISSED" };
    println!("{:<12} {:>14} {:>10} {:>14}", "nodes", "% of a core", "RSS MiB", "heartbeats/s");
    for (nodes, part, rss) in [(0, &control, control_rss), (args.nodes, &idle, rss)] {
        println!("{nodes:<12} {:>14.2} {:>10.1} {:>14.1}", part.percent(), as_f64(rss) / 1024.0, part.rate());
    }
    println!("goal: at most {GOAL_PERCENT} % of a core with 100 nodes: {met}");
    let us = us_per_beat(&fast, &idle);
    println!(
        "fast: {:.0} heartbeats/s, {us:.1} us of CPU each, the idle server's own share taken off",
        fast.rate()
    );
    Ok(())
}

/// What a phase cost and did.
#[derive(Debug, Clone, Copy)]
struct Phase {
    used: Duration,
    took: Duration,
    beats: u64,
}

impl Phase {
    fn percent(&self) -> f64 {
        self.used.as_secs_f64() / self.took.as_secs_f64() * 100.0
    }

    fn rate(&self) -> f64 {
        as_f64(self.beats) / self.took.as_secs_f64()
    }
}

fn is_met(percent: f64, nodes: u32) -> bool {
    percent <= GOAL_PERCENT * (f64::from(nodes) / 100.0).max(1.0)
}

/// CPU time of a heartbeat, behind what the server spends anyway.
fn us_per_beat(fast: &Phase, idle: &Phase) -> f64 {
    let own = idle.used.as_secs_f64() / idle.took.as_secs_f64() * fast.took.as_secs_f64();
    (fast.used.as_secs_f64() - own) * 1e6 / as_f64(fast.beats.max(1))
}

async fn measure(server: &Server, work: impl Future<Output = Result<u64>>) -> Result<Phase> {
    let (before, began) = (time_of(&[server.process()])?, Instant::now());
    let beats = work.await?;
    let used = time_of(&[server.process()])?.saturating_sub(before);
    Ok(Phase { used, took: began.elapsed(), beats })
}

/// The memory that a process holds now.
pub(crate) fn resident_kib(process: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    kib(&text).context("/proc/PID/status does not tell VmRSS")
}

fn kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A node that is not there.
#[derive(Debug)]
struct Node {
    name: String,
    report: Value,
    seq: u64,
}

impl Node {
    fn new(number: u32, engine: &str) -> Self {
        let report = json!({
            "pool_id": format!("p{number}"), "ready": true, "slots_free": 1, "slots_total": 1,
            "vram_free_bytes": 8_u64 << 30, "vram_total_bytes": 16_u64 << 30, "engine": "llamacpp",
            "endpoint": engine, "model_id": "cheap-counter.gguf", "device_mask": "0", "ctx_max": 4_096,
        });
        Self { name: format!("node-{number}"), report, seq: 0 }
    }

    fn registration(&self) -> Value {
        json!({
            "node_id": self.name, "machine_id": self.name, "address": "127.0.0.1:9", "version": "0.0.0",
            "pools": [self.report["pool_id"]], "capabilities": { "gpus": [] }, "incarnation": 1,
        })
    }

    fn beat(&mut self) -> (String, String) {
        self.seq += 1;
        let body = json!({
            "timestamp": "2026-01-01T00:00:00Z", "pools": [self.report], "incarnation": 1, "seq": self.seq,
        });
        (format!("/v2/nodes/{}/heartbeat", self.name), body.to_string())
    }
}

async fn post(client: &mut Client, path: &str, body: &str) -> Result<Value> {
    let answer = client.call("POST", path, body).await?;
    ensure!(answer.status == 200, "POST {path}: {}", answer.shown());
    Ok(answer.json())
}

/// Registers all nodes, and waits until the server has seen all of their engines.
async fn join(target: SocketAddr, nodes: &mut [Node]) -> Result<()> {
    let mut client = Client::new(target);
    for node in &mut *nodes {
        post(&mut client, "/v2/nodes/register", &node.registration().to_string()).await?;
        let (path, body) = node.beat();
        post(&mut client, &path, &body).await?;
    }
    let began = Instant::now();
    for node in nodes {
        let path = format!("/v2/pools/{}/health", node.report["pool_id"].as_str().unwrap_or_default());
        while client.call("GET", &path, "").await?.json()["ready"] != true {
            ensure!(began.elapsed() < READY_WITHIN, "{} is not ready", node.name);
            sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

/// Sends heartbeats, each node's in turn, one per pause, and says how many. Each must be taken in.
async fn beats(
    target: SocketAddr,
    nodes: &mut Vec<Node>,
    (pause, span): (Duration, Duration),
) -> Result<u64> {
    let mut parts: Vec<Vec<Node>> = (0..LANES).map(|_| Vec::new()).collect();
    for (number, node) in nodes.drain(..).enumerate() {
        parts[number % LANES as usize].push(node);
    }
    let (began, mut lanes) = (Instant::now(), JoinSet::new());
    for (lane, part) in (0_u32..).zip(parts) {
        let first = began + pause * lane;
        lanes.spawn(lane_of(target, part, (first, pause * LANES, began + span)));
    }
    let mut sent = 0;
    while let Some(lane) = lanes.join_next().await {
        let (part, count) = lane??;
        nodes.extend(part);
        sent += count;
    }
    Ok(sent)
}

async fn lane_of(
    target: SocketAddr,
    mut nodes: Vec<Node>,
    (first, pause, end): (Instant, Duration, Instant),
) -> Result<(Vec<Node>, u64)> {
    let (mut client, mut sent, mut due) = (Client::new(target), 0, first);
    while due < end && !nodes.is_empty() {
        sleep_until(due).await;
        let index = usize::try_from(sent)? % nodes.len();
        let (path, body) = nodes[index].beat();
        let answer = post(&mut client, &path, &body).await?;
        ensure!(answer["success"] == true, "a heartbeat was not taken in: {answer}");
        sent += 1;
        due += pause;
    }
    sleep_until(end).await;
    Ok((nodes, sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(used_ms: u64, took_s: u64, beats: u64) -> Phase {
        Phase { used: Duration::from_millis(used_ms), took: Duration::from_secs(took_s), beats }
    }

    #[test]
    fn percent_and_cost_follow_from_cpu_time() {
        let idle = phase(600, 60, 600);
        assert!((idle.percent() - 1.0).abs() < 1e-9 && (idle.rate() - 10.0).abs() < 1e-9);
        // Of 1050 ms in five seconds, 50 are the idle server's own.
        assert!((us_per_beat(&phase(1_050, 5, 10_000), &idle) - 100.0).abs() < 1e-6);
    }

    #[test]
    fn the_goal_grows_with_more_than_a_hundred_nodes_and_shrinks_with_none() {
        assert!(is_met(2.0, 100) && is_met(3.9, 200) && is_met(1.9, 1));
        assert!(!is_met(2.1, 100) && !is_met(2.1, 1));
    }

    #[test]
    fn resident_memory_is_read_from_its_line() {
        assert_eq!(kib("VmHWM:\t  99 kB\nVmRSS:\t   2048 kB\n"), Some(2_048));
        assert_eq!(kib("VmHWM:\t  99 kB\n"), None);
    }
}

//! `chaos nodes`: one server and two agents, each with a real engine, and what befalls them: agents are killed, a
//! node is cut off, pools are reloaded and drained under load, the server is killed.
//!
//! What is told by clients is held against what they were promised; figures are printed beside it.

mod crowd;
mod figures;
mod land;
mod loss;
mod operate;
mod stage;

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use clap::Args;
use tokio::{
    task::LocalSet,
    time::{Instant, sleep},
};

use self::{
    crowd::{by_pool, not_whole},
    figures::{Report, row, seconds},
    land::Land,
    stage::{Parts, Stage, Tokens, living},
};
use crate::relay::Scratch;

/// Options of `chaos nodes`.
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct NodesArgs {
    /// The server's executable.
    #[arg(long)]
    orchestratord: PathBuf,
    /// The agent's executable.
    #[arg(long)]
    pool_managerd: PathBuf,
    /// The engine's program; given again, its first arguments.
    #[arg(long, required = true)]
    engine: Vec<PathBuf>,
    /// The file of the model that counts.
    #[arg(long)]
    model: PathBuf,
    /// Fewer tasks, and no partition: a minute instead of five.
    #[arg(long)]
    quick: bool,
    /// Stay out of namespaces also where they are allowed.
    #[arg(long)]
    loopback: bool,
    /// The tool runs in namespaces of its own already, and had this process id outside of them.
    #[arg(long, hide = true)]
    apart: Option<u32>,
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amounts {
    spread: usize,
    reloaded: usize,
    reloads: usize,
}

const WHOLE: Amounts = Amounts { spread: 200, reloaded: 2_000, reloads: 4 };
const QUICK: Amounts = Amounts { spread: 60, reloaded: 200, reloads: 2 };
/// A short task, in tokens.
pub(super) const SHORT: u32 = 20;

/// Plays all scenes and prints the verdict. The folder of a bad run stays.
pub(crate) async fn run(args: &NodesArgs) -> Result<()> {
    let land = if args.apart.is_some() {
        Land::build()?
    } else {
        land::move_apart()?;
        println!(
            "namespaces are not allowed here: all runs on 127.0.0.x, and a node is cut off by stopping it"
        );
        Land::Together
    };
    let scratch = Scratch::new(&format!("chaos-nodes-{}", args.apart.unwrap_or_default()))?;
    let outcome = LocalSet::new().run_until(play(args, land, &scratch)).await;
    if outcome.is_err() {
        println!("logs and state are in {}", scratch.keep().display());
    }
    outcome
}

async fn play(args: &NodesArgs, land: Land, scratch: &Scratch) -> Result<()> {
    let (began, mut report) = (Instant::now(), Report::default());
    let amounts = if args.quick { QUICK } else { WHOLE };
    let parts = Parts {
        orchestratord: args.orchestratord.clone(),
        pool_managerd: args.pool_managerd.clone(),
        engine: args.engine.clone(),
        model: args.model.clone(),
    };
    report.scene("one token for all planes");
    let mut stage = Stage::new(land, parts.clone(), scratch.path().join("one"), Tokens::One)?;
    spread(&mut stage, &mut report, amounts.spread / 4).await?;
    end(stage, &mut report).await?;

    report.scene("1. spread, with a token of their own for nodes");
    let mut stage = Stage::new(land, parts, scratch.path().join("two"), Tokens::OneForNodes)?;
    spread(&mut stage, &mut report, amounts.spread).await?;
    report.scene("2. an agent is killed");
    loss::agent(&mut stage, &mut report).await?;
    if !args.quick {
        report.scene("3. a node is cut off");
        loss::partition(&stage, &mut report).await?;
    }
    report.scene("4. reloads under load");
    operate::reloads(&stage, &mut report, amounts).await?;
    report.scene("5. drained to zero");
    operate::drain(&stage, &mut report).await?;
    report.scene("6. the server is killed");
    loss::server(&mut stage, &mut report).await?;
    report.scene("7. the end");
    end(stage, &mut report).await?;
    println!("\n{} in all", seconds(began.elapsed()));
    report.end()
}

/// Starts everything and shares some tasks among the nodes.
async fn spread(stage: &mut Stage, report: &mut Report, tasks: usize) -> Result<()> {
    row("both nodes serve after", seconds(stage.start().await?));
    let all = stage.crowd.wave(tasks, 2 * stage::SLOTS, SHORT).await?;
    let (bad, first) = not_whole(&all);
    row("tasks, by pool", format!("{} {:?}", all.len(), by_pool(&all)));
    report.hold(bad == 0, || format!("{bad} tasks did not complete: {first}"));
    let pools = by_pool(&all);
    report.hold(["a", "b"].iter().all(|pool| pools.contains_key(pool)), || "a node got no work".to_owned());
    Ok(())
}

/// Stops everything in order.
async fn end(mut stage: Stage, report: &mut Report) -> Result<()> {
    for node in &mut stage.nodes {
        if let Some(agent) = node.agent.take() {
            row(&format!("{} stopped within", node.name), seconds(agent.stop().await?));
        }
    }
    if let Some(server) = stage.server.take() {
        row("the server stopped within", seconds(server.stop().await?));
    }
    let left = until_gone(&stage.folder, Duration::from_secs(1)).await?;
    row("processes left", left);
    report.hold(left == 0, || format!("{left} processes are left"));
    let mut open = stage.land.listeners()?.unwrap_or(0);
    for address in stage.addresses() {
        open += usize::from(std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok());
    }
    row("ports open", open);
    report.hold(open == 0, || format!("{open} ports are open"));
    ensure!(stage.server.is_none());
    Ok(())
}

/// Waits until no process names this folder, and says how many still do.
pub(super) async fn until_gone(folder: &std::path::Path, patience: Duration) -> Result<usize> {
    let began = Instant::now();
    loop {
        let left = living(folder)?.len();
        if left == 0 || began.elapsed() > patience {
            return Ok(left);
        }
        sleep(Duration::from_millis(20)).await;
    }
}

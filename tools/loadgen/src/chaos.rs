//! Proofs of durability by an outside client: it keeps the truth of what it was told, and the server is killed.
//!
//! `kill` kills it again and again at random moments and holds all that comes back against all that was told.
//! `strace` watches its system calls, for a kill cannot show what a power cut would: that an answer leaves
//! only when the disk has what it promises. `nodes` breaks what stands around the server: agents, engines, network.

mod actors;
mod audit;
pub(crate) mod client;
mod dice;
pub(crate) mod engine;
mod frames;
mod kill;
mod nodes;
pub(crate) mod server;
mod strace;
mod task;
mod verdict;
mod world;

use anyhow::{Result, bail};
use clap::Subcommand;
use tokio::signal::unix::{SignalKind, signal};

/// What is done to the server.
#[derive(Subcommand)]
pub(crate) enum ChaosCommand {
    /// Kill it again and again, and check that nothing is lost that was promised.
    Kill(kill::KillArgs),
    /// Watch its system calls, and check that no 202 leaves before its task is on the disk.
    Strace(strace::StraceArgs),
    /// Break nodes, their agents, the network and the server while real engines work, and check what readers see.
    Nodes(nodes::NodesArgs),
}

/// Runs it; a signal ends it and everything that it started.
pub(crate) async fn run(command: &ChaosCommand) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let work = async {
        match command {
            ChaosCommand::Kill(args) => kill::run(args).await,
            ChaosCommand::Strace(args) => strace::run(args).await,
            ChaosCommand::Nodes(args) => nodes::run(args).await,
        }
    };
    tokio::select! {
        outcome = work => outcome,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

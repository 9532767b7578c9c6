//! Proofs of durability by an outside client: it keeps the truth of what it was told, and the server is killed.
//!
//! `kill` kills it again and again at random moments and holds all that comes back against all that was told.
//! `strace` watches its system calls, for a kill cannot show what a power cut would: that an answer leaves
//! only when the disk has what it promises.

mod actors;
mod client;
mod dice;
mod engine;
mod frames;
mod kill;
mod server;
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
}

/// Runs it; a signal ends it and everything that it started.
pub(crate) async fn run(command: &ChaosCommand) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let work = async {
        match command {
            ChaosCommand::Kill(args) => kill::run(args).await,
        }
    };
    tokio::select! {
        outcome = work => outcome,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

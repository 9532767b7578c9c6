//! The commands, and the one thread that runs them.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::{accept, chaos, engine, idle, limits, load, relay, table};

#[derive(Parser)]
#[command(
    name = "tools-loadgen",
    about = "A cheap engine, a load generator, benchmarks, and checks of durability"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve llama.cpp's dialect with prepared tokens, as fast as possible or at a steady pace.
    Engine(engine::EngineArgs),
    /// Run streams against a server in a closed loop and print what came out as JSON.
    Load(load::LoadArgs),
    /// Measure the CPU cost of a relayed token: the engine alone, nginx, orchestratord.
    Relay(relay::RelayArgs),
    /// Measure how fast tasks become durable, what it costs, and how fast they come back.
    Accept(accept::AcceptArgs),
    /// Measure what a hundred nodes cost an idle server, and what one heartbeat costs.
    Nodes(idle::IdleArgs),
    /// Measure all that the product promises of its speed and size, in one table.
    Table(table::TableArgs),
    /// Break the server, and check that it keeps what it promised.
    #[command(subcommand)]
    Chaos(chaos::ChaosCommand),
}

/// One thread drives everything: the other cores belong to the process under test.
pub(crate) fn run() -> Result<()> {
    let command = Cli::parse().command;
    limits::raise_open_files().context("raising the limit of open files")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match command {
        Command::Engine(args) => runtime.block_on(engine::run(&args)),
        Command::Load(args) => runtime.block_on(load::run(&args)),
        Command::Relay(args) => runtime.block_on(relay::run(&args)),
        Command::Accept(args) => runtime.block_on(accept::run(&args)),
        Command::Nodes(args) => runtime.block_on(idle::run(&args)),
        Command::Table(args) => runtime.block_on(table::run(&args)),
        Command::Chaos(command) => runtime.block_on(chaos::run(&command)),
    }
}

//! A cheap engine, a load generator for token streams, and the benchmark that puts a relay between them.
//!
//! The product's promise is a small cost per relayed token. Only a tool that is itself much cheaper than
//! what it measures, and that measures a known relay beside ours in the same run, can check that promise.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks on its terminal")]

mod engine;
mod load;
mod relay;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

#[derive(Parser)]
#[command(name = "tools-loadgen", about = "A cheap engine, a load generator, and the relay benchmark")]
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
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One thread drives everything: the other cores belong to the process under test.
fn run(command: Command) -> Result<()> {
    raise_open_files().context("raising the limit of open files")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match command {
        Command::Engine(args) => runtime.block_on(engine::run(&args)),
        Command::Load(args) => runtime.block_on(load::run(&args)),
        Command::Relay(args) => runtime.block_on(relay::run(&args)),
    }
}

/// A thousand streams need more descriptors than the usual soft limit of 1024; children inherit this.
fn raise_open_files() -> Result<()> {
    let (_soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

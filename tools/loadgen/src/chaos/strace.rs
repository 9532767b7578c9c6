//! `chaos strace`: the server's system calls, watched while it accepts tasks.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    audit::Audit,
    engine::CountingEngine,
    server::{Server, Setup, free_address},
};
use crate::{
    flood::flood,
    relay::{Scratch, children_of},
};

/// Options of `chaos strace`.
#[derive(Args)]
pub(crate) struct StraceArgs {
    /// The server's executable.
    #[arg(long)]
    orchestratord: PathBuf,
    /// How many tasks are submitted.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    tasks: u32,
    /// How many connections submit them.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    connections: u32,
}

const STRACE: &str = "/usr/bin/strace";
const CALLS: &str = "trace=fdatasync,fsync,sendto,write,writev,sendmsg,pwrite64";
/// A page of the log is written whole.
const STRING_BYTES: &str = "4200";

/// Traces and audits. Without strace it says so, and that is no failure.
pub(crate) async fn run(args: &StraceArgs) -> Result<()> {
    if !can_trace() {
        println!("skipped: {STRACE} is not there or may not trace: apt-get install strace");
        return Ok(());
    }
    let scratch = Scratch::new("chaos-strace")?;
    if let Err(error) = trace(args, &scratch).await {
        return Err(error.context(format!("the trace is in {}", scratch.keep().display())));
    }
    Ok(())
}

async fn trace(args: &StraceArgs, scratch: &Scratch) -> Result<()> {
    let trace = scratch.path().join("trace");
    let engine = CountingEngine::start(4).await?;
    let setup = Setup {
        executable: args.orchestratord.clone(),
        folder: scratch.path().to_owned(),
        target: free_address()?,
        settings: vec![
            ("ORCHD_POOLS", format!("p0=llamacpp+{}", engine.url())),
            ("ORCHD_ADMISSION_CAPACITY", "1000000".to_owned()),
            ("ORCHD_STORE_COMMIT_TIMEOUT_MS", "60000".to_owned()),
        ],
    };
    let mut traced = Traced(Server::start_as(command(&setup, &trace), setup.target, &setup.folder)?);
    traced.0.ready().await?;
    let took = flood(setup.target, args.tasks, args.connections).await?;
    drop(traced);
    let mut audit = Audit::default();
    let mut lines = BufReader::new(File::open(&trace)?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        audit.push(&line)?;
        line.clear();
    }
    let found = audit.found;
    ensure!(
        found.accepted == u64::from(args.tasks),
        "{} tasks were answered 202, and the trace shows {} such answers",
        args.tasks,
        found.accepted
    );
    println!("{:<34} {:>9}", "answers with 202", found.accepted);
    println!("{:<34} {:>9}", "writes to the log", found.writes);
    println!("{:<34} {:>9}", "syncs of the log", found.syncs);
    println!("{:<34} {:>9}", "202s before their task was on disk", 0);
    println!("{took:.1?} under strace");
    Ok(())
}

fn can_trace() -> bool {
    let tried = Command::new(STRACE).args(["-o", "/dev/null", "/bin/true"]).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

fn command(setup: &Setup, trace: &Path) -> Command {
    let server = setup.command();
    let mut command = Command::new(STRACE);
    command.env_clear().envs(server.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
        .args(["-f", "-ttt", "-y", "-s", STRING_BYTES, "-e", CALLS, "-o"])
        .arg(trace)
        .arg(server.get_program());
    command
}

/// A server below strace. A tracer that is killed lets go of its program, so the program is killed.
struct Traced(Server);

impl Drop for Traced {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("stopping the traced server: {error:#}");
        }
    }
}

impl Traced {
    fn stop(&mut self) -> Result<()> {
        for process in children_of(self.0.process())? {
            kill(Pid::from_raw(process.try_into()?), Signal::SIGKILL)?;
        }
        self.0.wait().context("strace")
    }
}

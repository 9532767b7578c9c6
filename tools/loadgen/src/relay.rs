//! The benchmark: what a relayed token costs in CPU time of the process that relays it.
//!
//! Wall-clock figures of a shared machine say little, so the unit is the CPU time that the kernel has
//! charged to the process under test, and every figure stands beside its controls, which were measured
//! in turn with it: the engine alone, and nginx as the known relay that does nothing but copy.

mod child;
mod cpu;
mod nginx;
mod scratch;
mod stage;
mod table;

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, bail, ensure};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use self::{
    cpu::{children_of, time_of},
    scratch::Scratch,
};
use self::{
    stage::{Path, Stage},
    table::Sample,
};
use crate::load::{DEFAULT_MODEL, Fleet, Plan, Until};

/// Options of `relay`.
#[derive(Args)]
pub(crate) struct RelayArgs {
    /// The server's executable; without it only the controls are measured.
    #[arg(long)]
    orchestratord: Option<PathBuf>,
    /// Length of one measurement; the tasks that run at its end are finished.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Numbers of streams at once, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "1,64,1000", value_parser = clap::value_parser!(u32).range(1..=8_000))]
    streams: Vec<u32>,
    /// Tokens of each task.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=30_000))]
    tokens: u32,
    /// Tokens per second of each stream in the main table; 0 is as fast as possible.
    #[arg(long, default_value_t = 0)]
    pace: u32,
    /// Measurements of each kind; the tables show medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..))]
    rounds: u32,
}

/// The second table: a speed at which real engines run.
const PACED_TOKENS_PER_S: u32 = 200;
const PACED_STREAMS: u32 = 64;
/// Nothing that is measured takes longer unless it hangs.
const CELL_TIMEOUT: Duration = Duration::from_mins(1);

/// Runs the benchmark; a signal ends it and everything that it started.
pub(crate) async fn run(args: &RelayArgs) -> Result<()> {
    ensure!(args.seconds > 0.0 && args.seconds <= 60.0, "--seconds: must be above 0 and at most 60");
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = bench(args) => outcome,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn bench(args: &RelayArgs) -> Result<()> {
    println!("{}", table::conditions());
    if nginx::find().is_none() {
        println!("nginx is not installed, so there is no ratio to it: apt-get install nginx-light");
    }
    if args.orchestratord.is_none() {
        println!("--orchestratord was not given, so only the controls are measured");
    }
    let streams_max = args.streams.iter().copied().fold(PACED_STREAMS, u32::max);
    let limit = Duration::from_secs_f64(args.seconds);
    let stage = Stage::start(args.orchestratord.as_deref(), args.pace, streams_max).await?;
    for tokens in [args.tokens, 1] {
        table::print_head(tokens, args.pace);
        for &streams in &args.streams {
            measure_row(&stage, &Row { streams, tokens, limit, rounds: args.rounds }).await?;
        }
    }
    drop(stage);

    let stage = Stage::start(args.orchestratord.as_deref(), PACED_TOKENS_PER_S, streams_max).await?;
    table::print_head(args.tokens, PACED_TOKENS_PER_S);
    // At this pace the CPU is mostly idle: a longer look, for as many ticks of its clock.
    let row = Row { streams: PACED_STREAMS, tokens: args.tokens, limit: limit * 2, rounds: args.rounds };
    measure_row(&stage, &row).await
}

struct Row {
    streams: u32,
    tokens: u32,
    limit: Duration,
    rounds: u32,
}

/// Measures every path in turn, again and again, so that a neighbour's load falls on all of them.
async fn measure_row(stage: &Stage, row: &Row) -> Result<()> {
    let paths = stage.paths();
    let mut samples: Vec<Vec<Sample>> = paths.iter().map(|_| Vec::new()).collect();
    for path in &paths {
        measure(path, row, Until::Rounds(1)).await?;
    }
    for _ in 0..row.rounds {
        for (path, samples) in paths.iter().zip(&mut samples) {
            samples.push(measure(path, row, Until::Elapsed(row.limit)).await?);
        }
    }
    let medians: Vec<_> = samples.iter().map(|samples| table::median_sample(samples)).collect();
    for (path, median) in paths.iter().zip(&medians) {
        let control = path.control.and_then(|index| medians.get(index)).copied();
        println!("{}", table::line(row.streams, path.name, *median, control));
    }
    Ok(())
}

async fn measure(path: &Path, row: &Row, until: Until) -> Result<Sample> {
    let plan = Plan {
        target: path.target,
        mode: path.mode,
        model: DEFAULT_MODEL.to_owned(),
        streams: row.streams,
        tokens: row.tokens,
        until,
        timeout: CELL_TIMEOUT,
    };
    let fleet = Fleet::connect(plan).await?;
    let before = cpu::time_of(&path.processes)?;
    let mut tally = fleet.run().await?;
    let used = cpu::time_of(&path.processes)?.saturating_sub(before);
    match tally.first_error.take() {
        None => Ok(Sample::new(&tally, used)),
        Some(error) => {
            Err(error.context(format!("{}: {} of {} streams failed", path.name, tally.errors, row.streams)))
        }
    }
}

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

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Result, bail, ensure};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use self::{
    cpu::{children_of, time_of, time_of_thread},
    scratch::Scratch,
    stage::{Dialect, Path, Shape, Stage},
    table::{Sample, conditions, median},
};
use crate::load::{DEFAULT_MODEL, DEFAULT_PROMPT, Fleet, Plan, Until};

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
    println!("{}", conditions());
    if nginx::find().is_none() {
        println!("nginx is not installed, so there is no ratio to it: apt-get install nginx-light");
    }
    if args.orchestratord.is_none() {
        println!("--orchestratord was not given, so only the controls are measured");
    }
    let streams_max = args.streams.iter().copied().fold(PACED_STREAMS, u32::max);
    let limit = Duration::from_secs_f64(args.seconds);
    let stage = Stage::start(args.orchestratord.as_deref(), &Shape::roomy(args.pace, streams_max)).await?;
    for tokens in [args.tokens, 1] {
        table::print_head(tokens, args.pace);
        for &streams in &args.streams {
            measure_row(&stage, &Work { streams, limit, rounds: args.rounds, ..Work::of(tokens) }).await?;
        }
    }
    drop(stage);

    let shape = Shape::roomy(PACED_TOKENS_PER_S, streams_max);
    let stage = Stage::start(args.orchestratord.as_deref(), &shape).await?;
    table::print_head(args.tokens, PACED_TOKENS_PER_S);
    // At this pace the CPU is mostly idle: a longer look, for as many ticks of its clock.
    let work =
        Work { streams: PACED_STREAMS, limit: limit * 2, rounds: args.rounds, ..Work::of(args.tokens) };
    measure_row(&stage, &work).await
}

/// What is run over each path.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) streams: u32,
    pub(crate) tokens: u32,
    pub(crate) prompt: Arc<str>,
    pub(crate) limit: Duration,
    pub(crate) rounds: u32,
}

impl Work {
    /// One stream with so many tokens per task, measured three times for a second.
    pub(crate) fn of(tokens: u32) -> Self {
        let (prompt, limit) = (DEFAULT_PROMPT.into(), Duration::from_secs(1));
        Self { streams: 1, tokens, prompt, limit, rounds: 3 }
    }

    /// The plan of the load over one path.
    pub(crate) fn plan(&self, path: &Path, until: Until) -> Plan {
        Plan {
            target: path.target,
            mode: path.mode,
            model: DEFAULT_MODEL.to_owned(),
            prompt: Arc::clone(&self.prompt),
            streams: self.streams,
            tokens: self.tokens,
            until,
            timeout: CELL_TIMEOUT,
        }
    }
}

async fn measure_row(stage: &Stage, work: &Work) -> Result<()> {
    let paths = stage.paths();
    let medians = medians(&paths, work).await?;
    for (path, median) in paths.iter().zip(&medians) {
        let control = path.control.and_then(|index| medians.get(index)).copied();
        println!("{}", table::line(work.streams, path.name, *median, control));
    }
    Ok(())
}

/// Measures every path in turn, again and again, so that a neighbour's load falls on all of them.
pub(crate) async fn medians(paths: &[Path], work: &Work) -> Result<Vec<Sample>> {
    let mut samples: Vec<Vec<Sample>> = paths.iter().map(|_| Vec::new()).collect();
    for path in paths {
        measure(path, work, Until::Rounds(1)).await?;
    }
    for _ in 0..work.rounds {
        for (path, samples) in paths.iter().zip(&mut samples) {
            samples.push(measure(path, work, Until::Elapsed(work.limit)).await?);
        }
    }
    Ok(samples.iter().map(|samples| table::median_sample(samples)).collect())
}

async fn measure(path: &Path, work: &Work, until: Until) -> Result<Sample> {
    let fleet = Fleet::connect(work.plan(path, until)).await?;
    let before = cpu::time_of(&path.processes)?;
    let mut tally = fleet.run().await?;
    let used = cpu::time_of(&path.processes)?.saturating_sub(before);
    match tally.first_error.take() {
        None => Ok(Sample::new(&tally, used)),
        Some(error) => {
            Err(error.context(format!("{}: {} of {} streams failed", path.name, tally.errors, work.streams)))
        }
    }
}

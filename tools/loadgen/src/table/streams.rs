//! The memory of many open streams, none of which may lose a token.
//!
//! Each stream needs two descriptors of the server, its reader's and its engine's. Where the limit of
//! descriptors allows fewer than ten thousand streams, as many as it allows are measured, and their memory is
//! scaled up.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use super::{Bench, row::Row};
use crate::{
    idle::resident_kib,
    limits::open_files_max,
    load::{Fleet, Until, as_f64},
    relay::{Dialect, Shape, Stage, Work},
};

pub(super) const GOAL: u32 = 10_000;
const GOAL_MIB: f64 = 256.0;
/// What a process has open besides its streams.
const SPARE: u64 = 500;
const SAMPLE: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_mins(3);

pub(super) async fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let streams = streams_within(open_files_max()?);
    ensure!(streams >= 100, "the limit of open files (ulimit -Hn) is too low for this");
    let shape = Shape { slots: streams, ..Shape::roomy(1, streams) };
    let stage = Stage::start(Some(&bench.server), &shape).await?;
    let path = stage.paths_of(Dialect::Own).pop().context("there is no server")?;
    let work = Work { streams, ..Work::of(bench.pick(10, 40)) };
    let mut plan = work.plan(&path, Until::Rounds(1));
    plan.timeout = PATIENCE;
    let process = *path.processes.first().context("the server has no process")?;
    let before = resident_kib(process)?;
    let fleet = Fleet::connect(plan).await?;
    let mut highest = 0;
    let watch = async {
        loop {
            sleep(SAMPLE).await;
            match resident_kib(process) {
                Ok(kib) => highest = highest.max(kib),
                Err(error) => return error,
            }
        }
    };
    let mut tally = tokio::select! {
        tally = fleet.run() => tally?,
        error = watch => return Err(error),
    };
    if let Some(error) = tally.first_error.take() {
        return Err(error.context(format!("{} of {streams} streams had a gap or failed", tally.errors)));
    }
    let expected = u64::from(streams) * u64::from(work.tokens);
    ensure!(tally.tokens == expected, "{} tokens came of {expected}", tally.tokens);
    let what = if streams == GOAL {
        format!("RSS, {GOAL} open streams at 1 token/s, 0 gaps")
    } else {
        format!("RSS, {GOAL} streams at 1 token/s, 0 gaps, from {streams}")
    };
    let each = as_f64(highest.saturating_sub(before)) / f64::from(streams);
    Ok(vec![
        Row::new(what, "MiB", scaled(before, highest, streams) / 1024.0).at_most(GOAL_MIB),
        Row::new("of that, each stream", "KiB", each),
    ])
}

/// How many streams the descriptors of one process are enough for.
fn streams_within(files: u64) -> u32 {
    let streams = files.saturating_sub(SPARE) / 2 / 100 * 100;
    u32::try_from(streams).unwrap_or(GOAL).min(GOAL)
}

/// The memory in KiB with all streams, if each further one takes what the others took.
fn scaled(before: u64, highest: u64, streams: u32) -> f64 {
    let each = as_f64(highest.saturating_sub(before)) / f64::from(streams);
    each.mul_add(f64::from(GOAL), as_f64(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_bound_the_number_of_streams() {
        assert_eq!(streams_within(20_000), 9_700);
        assert_eq!(streams_within(1_024), 200);
        assert_eq!(streams_within(10), 0);
        assert_eq!(streams_within(u64::MAX), GOAL);
    }

    #[test]
    fn memory_is_scaled_without_what_was_there_before() {
        let kib = scaled(10_000, 20_000, 5_000);
        assert!((kib - 30_000.0).abs() < 1e-6, "{kib}");
    }
}

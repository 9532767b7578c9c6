//! What one task costs: a small one, and one whose prompt is the length of a book.

use std::time::Duration;

use anyhow::Result;

use super::{
    Bench,
    arrivals::{quantile_ms, steady},
    relayed::measure,
    row::Row,
};
use crate::{
    load::Until,
    relay::{Dialect, Shape, Stage, Work, median},
};

const SMALL_BYTES: usize = 1_000;
const LONG_BYTES: usize = 400_000;
/// Tasks per second of the open loop.
const RATE: u32 = 1_000;

/// A task of one token with a prompt of a kilobyte, kept in memory.
pub(super) async fn small(bench: &Bench) -> Result<Vec<Row>> {
    let stage = Stage::start(Some(&bench.server), &Shape::roomy(0, 1)).await?;
    let work = Work { streams: 16, prompt: "x".repeat(SMALL_BYTES).into(), ..Work::of(1) };
    let mut rows = Vec::new();
    for (dialect, name) in [(Dialect::Own, "native"), (Dialect::OpenAi, "OpenAI")] {
        let pair = measure(bench, &stage, dialect, work.clone()).await?;
        let what = format!("1 KB in, 1 token out, {name}");
        let row = Row::new(what, "CPU us/task", pair.own.us_per_task)
            .against(pair.nginx.map(|sample| sample.us_per_task));
        rows.push(if matches!(dialect, Dialect::Own) { row.at_most(100.0) } else { row });
    }
    rows.extend(tail(bench, &stage, &work).await?);
    Ok(rows)
}

/// The slow end at an even rate: engine and server in turn, and the medians of the rounds.
async fn tail(bench: &Bench, stage: &Stage, work: &Work) -> Result<Vec<Row>> {
    let (span, rounds) = bench.pick((Duration::from_secs(2), 3), (Duration::from_secs(6), 5));
    let paths = stage.paths_of(Dialect::Own);
    let mut tails = vec![Vec::new(); paths.len()];
    for _ in 0..rounds {
        for (path, tails) in paths.iter().zip(&mut tails) {
            let times = steady(&work.plan(path, Until::Rounds(1)), RATE, span).await?;
            tails.push(quantile_ms(&times, 0.99));
        }
    }
    let tails: Vec<f64> = tails.into_iter().map(median).collect();
    let (direct, own) = (tails[0], tails[tails.len() - 1]);
    let nginx = (tails.len() == 3).then(|| tails[1] - direct);
    let what = format!("p99 added at {RATE} tasks/s (engine alone {direct:.2} ms, server {own:.2} ms)");
    Ok(vec![Row::new(what, "ms", own - direct).against(nginx).at_most(1.0)])
}

/// A task whose prompt is as long as its context allows.
pub(super) async fn long_prompt(bench: &Bench) -> Result<Vec<Row>> {
    let stage = Stage::start(Some(&bench.server), &Shape::roomy(0, 1)).await?;
    let work = Work { streams: 4, prompt: "word ".repeat(LONG_BYTES / 5).into(), ..Work::of(1) };
    let mut rows = Vec::new();
    for (dialect, name) in [(Dialect::Own, "native"), (Dialect::OpenAi, "OpenAI")] {
        let pair = measure(bench, &stage, dialect, work.clone()).await?;
        let row = Row::new(format!("400 KB in, 1 token out, {name}"), "CPU us/task", pair.own.us_per_task);
        rows.push(row.against(pair.nginx.map(|sample| sample.us_per_task)).at_most(2_000.0));
    }
    Ok(rows)
}

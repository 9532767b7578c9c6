//! What one relayed token costs, beside nginx before the same engine.
//!
//! Unpaced, a token shares its packet with hundreds; at a pace it is a packet of its own, as it is with real
//! engines. Both are measured, since a relay may be good at one and bad at the other.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Bench, row::Row};
use crate::relay::{Dialect, Sample, Shape, Stage, Work, medians};

const STREAMS: u32 = 64;
const TOKENS: u32 = 32;
/// A stream so long that what a task costs is lost in it.
const LONG: u32 = 2_048;
const PACE: u32 = 200;

pub(super) async fn openai(bench: &Bench) -> Result<Vec<Row>> {
    both_paces(bench, Dialect::OpenAi, 1.5).await
}

pub(super) async fn native(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = both_paces(bench, Dialect::Own, 2.0).await?;
    let stage = Stage::start(Some(&bench.server), &Shape::roomy(0, STREAMS)).await?;
    let work = Work { streams: STREAMS, ..Work::of(LONG) };
    let pair = measure(bench, &stage, Dialect::Own, work).await?;
    let per_core = |sample: Sample| 1e6 / sample.us_per_token;
    rows.push(
        Row::new(format!("{STREAMS} x {LONG} tokens, unpaced"), "tokens/s per core", per_core(pair.own))
            .against(pair.nginx.map(per_core))
            .at_least(250_000.0),
    );
    Ok(rows)
}

async fn both_paces(bench: &Bench, dialect: Dialect, limit: f64) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for pace in [0, PACE] {
        let stage = Stage::start(Some(&bench.server), &Shape::roomy(pace, STREAMS)).await?;
        let work = Work { streams: STREAMS, ..Work::of(TOKENS) };
        let pair = measure(bench, &stage, dialect, work).await?;
        let speed = if pace == 0 { "unpaced".to_owned() } else { format!("{pace} tokens/s each") };
        let what = format!("{STREAMS} x {TOKENS} tokens, {speed}");
        rows.push(
            Row::new(what, "CPU us/token", pair.own.us_per_token)
                .against(pair.nginx.map(|sample| sample.us_per_token))
                .ratio_at_most(limit),
        );
    }
    Ok(rows)
}

/// The server's figures, and nginx's where it is installed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) own: Sample,
    pub(super) nginx: Option<Sample>,
}

/// Measures server and controls in turn.
pub(super) async fn measure(bench: &Bench, stage: &Stage, dialect: Dialect, work: Work) -> Result<Pair> {
    let (limit, rounds) = bench.pick((Duration::from_secs(1), 3), (Duration::from_secs(2), 5));
    let paths = stage.paths_of(dialect);
    let medians = medians(&paths, &Work { limit, rounds, ..work }).await?;
    let (own, path) = medians.last().zip(paths.last()).context("nothing was measured")?;
    Ok(Pair { own: *own, nginx: path.control.and_then(|at| medians.get(at)).copied() })
}

//! A million tasks one after the other: memory must not grow with them, and nothing may be left of them.
//!
//! Ended tasks are kept for their readers, up to bounds that an operator sets; here the bounds are low, so that
//! they are reached early and what grows behind them is a leak.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep};

use super::{Bench, overload::load_of, row::Row};
use crate::{
    chaos::client::Client,
    idle::resident_kib,
    load::{Fleet, Until, as_f64},
    relay::{Dialect, Path, Shape, Stage, Work},
};

const STREAMS: u32 = 50;
/// The memory is read so many times, and the first quarter of them is warm-up.
const PARTS: u32 = 40;
const WARM_UP: usize = 10;
const GOAL_MB: f64 = 1.0;
const PATIENCE: Duration = Duration::from_mins(10);
/// Idle connections to an engine are closed after four seconds.
const QUIET: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);
const BOUNDS: &str = "jobs.retained_max = 1000
sessions.max = 1000
sessions.ttl_ms = 1000";

pub(super) async fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let shape = Shape { more: BOUNDS, ..Shape::roomy(0, STREAMS) };
    let stage = Stage::start(Some(&bench.server), &shape).await?;
    let path = stage.paths_of(Dialect::Own).pop().context("there is no server")?;
    let process = *path.processes.first().context("the server has no process")?;
    let sockets = sockets_of(process)?;
    let rounds = bench.pick(100_000, 1_000_000) / PARTS / STREAMS;
    let each = rounds * STREAMS;
    let (work, mut points) = (Work { streams: STREAMS, ..Work::of(1) }, Vec::new());
    for part in 1..=PARTS {
        let mut plan = work.plan(&path, Until::Rounds(rounds));
        plan.timeout = PATIENCE;
        let mut tally = Fleet::connect(plan).await?.run().await?;
        if let Some(error) = tally.first_error.take() {
            return Err(error.context(format!("part {part} of {PARTS}")));
        }
        ensure!(tally.tasks == u64::from(each), "{} tasks of {each} ended", tally.tasks);
        points.push((f64::from(part * each) / 1e5, as_f64(resident_kib(process)?) * 1_024.0 / 1e6));
    }
    let tasks = each * PARTS;
    let left = left_over(&path, process, sockets).await?;
    let growth = slope(&points[WARM_UP..]);
    let last = points.last().map_or(f64::NAN, |(_, size)| *size);
    let what = format!("{tasks} tasks, RSS growth behind the warm-up (at the end {last:.1} MB)");
    let mut rows = vec![Row::new(what, "MB/100 000 tasks", growth).at_most(GOAL_MB)];
    for (name, count) in left {
        rows.push(Row::new(format!("left over: {name}"), "count", as_f64(count)).at_most(0.0));
    }
    Ok(rows)
}

/// What is there after all tasks have ended, and should not be. Connections may take their time to close.
async fn left_over(path: &Path, process: u32, sockets_before: u64) -> Result<Vec<(&'static str, u64)>> {
    let (mut client, begun) = (Client::new(path.target), Instant::now());
    loop {
        let pools = client.call("GET", "/v2/pools", "").await?.json();
        let load = load_of(&pools).context("/v2/pools does not tell its load")?;
        let mut tasks = 0;
        for state in ["running", "queued"] {
            let page = client.call("GET", &format!("/v2/tasks?state={state}"), "").await?.json();
            tasks += page["tasks"].as_array().context("/v2/tasks has no tasks")?.len() as u64;
        }
        // The connection of this audit is open as well.
        let sockets = sockets_of(process)?.saturating_sub(sockets_before + 1);
        let left = vec![
            ("tasks that wait, slots that are taken", load),
            ("tasks that are queued or running", tasks),
            ("connections", sockets),
        ];
        if left.iter().all(|(_, count)| *count == 0) || begun.elapsed() > QUIET {
            return Ok(left);
        }
        sleep(POLL).await;
    }
}

fn sockets_of(process: u32) -> Result<u64> {
    let mut sockets = 0;
    for entry in fs::read_dir(format!("/proc/{process}/fd"))? {
        // A descriptor may be closed while the list is read.
        let target = fs::read_link(entry?.path()).unwrap_or_default();
        sockets += u64::from(target.to_string_lossy().starts_with("socket:"));
    }
    Ok(sockets)
}

/// How steep the straight line is that lies closest to all points.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = as_f64(points.len() as u64);
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x_mean, y_mean) = (mean(|point| point.0), mean(|point| point.1));
    let products = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum::<f64>();
    products / points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn slope_is_that_of_the_line_and_none_of_one_point() {
        let line: Vec<_> = (0..10).map(|x| (f64::from(x), 5.0 + 0.5 * f64::from(x))).collect();
        assert!((slope(&line) - 0.5).abs() < 1e-9);
        assert!(slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 1.0)]).abs() < 1e-9);
        assert!(slope(&[(1.0, 1.0)]).is_nan());
    }

    #[test]
    fn open_sockets_of_a_process_are_counted() {
        let _listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(sockets_of(std::process::id()).unwrap() >= 1);
        sockets_of(u32::MAX).unwrap_err();
    }
}

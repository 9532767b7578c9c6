//! Ten times the work that the engine can do, and what the people among the clients notice of it.
//!
//! Interactive tasks come at a fifth of what the engine can do, in each phase. In the first they are alone; in the
//! second batch tasks fill the engine up; in the third there are so many of them that ten times its work is asked
//! for; then all is over. A task that meets full slots has to wait until one is free, however good the scheduler
//! is, so what overload does to it is held against the second phase; the first is told beside it.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    Bench,
    arrivals::{note, quantile_ms, times},
    row::Row,
};
use crate::{
    chaos::client::Client,
    load::{Connection, NativeClient, Plan, Submitted, Until},
    relay::{Dialect, Path, Shape, Stage, Work},
};

const SLOTS: u32 = 32;
const PACE: u32 = 200;
/// Tasks have from so many tokens, so that slots do not become free all at once.
const TOKENS_MIN: u32 = 10;
const TOKENS_STEPS: u32 = 21;
/// What the engine can do: slots, tokens a second of each, 20 tokens a task.
const PER_S: u32 = SLOTS * PACE / 20;
const INTERACTIVE_PER_S: u32 = PER_S / 5;
/// How many of each class may be under way at once.
const LANES: u32 = 128;
const GOAL_REFUSAL_MS: f64 = 10.0;
const GOAL_RECOVERY_S: f64 = 5.0;
const GOAL_RATIO: f64 = 2.0;
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);

pub(super) async fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let stage =
        Stage::start(Some(&bench.server), &Shape { pace: PACE, slots: SLOTS, capacity: 100, more: "" })
            .await?;
    let path = stage.paths_of(Dialect::Own).pop().context("there is no server")?;
    let (calm, storm) = bench.pick((8, 10), (30, 60));
    let (calm, storm) = (Duration::from_secs(calm), Duration::from_secs(storm));
    let alone = phase(&path, 0, calm).await?;
    settle(&path).await?;
    let full = phase(&path, PER_S - INTERACTIVE_PER_S, calm).await?;
    settle(&path).await?;
    let over = phase(&path, PER_S * 10 - INTERACTIVE_PER_S, storm).await?;
    let recovery = settle(&path).await?;
    ensure!(!over.refused.is_empty(), "ten times the work was asked for, and nothing was refused");
    let p99 = |phase: &Phase| quantile_ms(&phase.started, 0.99);
    let what = format!(
        "interactive p99 to the first token at 10 x {PER_S} tasks/s, beside 1 x (alone {:.1} ms)",
        p99(&alone)
    );
    Ok(vec![
        Row::new(what, "ms", p99(&over)).against(Some(p99(&full))).ratio_at_most(GOAL_RATIO),
        Row::new(
            format!("p99 of {} answers 429", over.refused.len()),
            "ms",
            quantile_ms(&over.refused, 0.99),
        )
        .at_most(GOAL_REFUSAL_MS),
        Row::new(
            "asked for, of what the engine can do",
            "times",
            over.asked / storm.as_secs_f64() / f64::from(PER_S),
        ),
        Row::new("from the last request to an empty queue", "s", recovery.as_secs_f64())
            .at_most(GOAL_RECOVERY_S),
    ])
}

/// What the clients of one phase saw.
struct Phase {
    /// From when an interactive task was due to its first token.
    started: Histogram<u64>,
    /// From when a refused request was due to its refusal.
    refused: Histogram<u64>,
    asked: f64,
}

/// Interactive tasks at their rate, and batch tasks at another.
async fn phase(path: &Path, batch_per_s: u32, span: Duration) -> Result<Phase> {
    let (start, mut lanes) = (Instant::now() + Duration::from_millis(200), JoinSet::new());
    for (class, rate) in [("interactive", INTERACTIVE_PER_S), ("batch", batch_per_s)] {
        if rate == 0 {
            continue;
        }
        let period = Duration::from_secs(LANES.into()) / rate;
        for lane in 0..LANES {
            let tokens = TOKENS_MIN + lane % TOKENS_STEPS;
            let plan = Work::of(tokens).plan(path, Until::Rounds(1));
            let first = start + period * lane / LANES;
            lanes.spawn(run_lane(Arc::new(plan), class, (first, period, start + span)));
        }
    }
    let mut all = Phase { started: times()?, refused: times()?, asked: 0.0 };
    while let Some(lane) = lanes.join_next().await {
        let lane = lane??;
        all.started.add(lane.started)?;
        all.refused.add(lane.refused)?;
        all.asked += lane.asked;
    }
    Ok(all)
}

/// One client. An interactive one reads its tasks, which are checked token by token; a batch one does not.
async fn run_lane(
    plan: Arc<Plan>,
    class: &'static str,
    (first, period, end): (Instant, Duration, Instant),
) -> Result<Phase> {
    let mut connection = Connection::open(plan.target).await?;
    let mut client = NativeClient::with_priority(&plan, class);
    let mut seen = Phase { started: times()?, refused: times()?, asked: 0.0 };
    let mut due = first;
    // A lane that is late asks for less: how much was asked for is told.
    while due < end && Instant::now() < end {
        sleep_until(due).await;
        seen.asked += 1.0;
        match client.submit(&mut connection).await? {
            Submitted::Refused(_) => note(&mut seen.refused, due.elapsed()),
            Submitted::Accepted(job_id) if class == "interactive" => {
                let streamed = client.read(&mut connection, &job_id).await?;
                ensure!(streamed.tokens == plan.tokens, "{} tokens of {}", streamed.tokens, plan.tokens);
                note(&mut seen.started, streamed.first_token - due);
            }
            Submitted::Accepted(_) => {}
        }
        due += period;
    }
    Ok(seen)
}

/// Waits until nothing waits and nothing runs, and says how long that took.
async fn settle(path: &Path) -> Result<Duration> {
    let (mut client, begun) = (Client::new(path.target), Instant::now());
    let empty = async {
        loop {
            let pools = client.call("GET", "/v2/pools", "").await?.json();
            if load_of(&pools).context("/v2/pools does not tell its load")? == 0 {
                return anyhow::Ok(begun.elapsed());
            }
            sleep(POLL).await;
        }
    };
    timeout(PATIENCE, empty).await.context("the queue did not become empty")?
}

/// Tasks that wait, and slots that are taken.
pub(super) fn load_of(pools: &Value) -> Option<u64> {
    let metrics = &pools["pools"][0]["metrics"];
    let number = |name: &str| metrics[name].as_u64();
    number("queue_depth")?.checked_add(number("slots_total")?.checked_sub(number("slots_free")?)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn load_is_what_waits_and_what_runs() {
        let pools = |depth: u64, free: u64| {
            json!({"pools": [{"metrics":
            {"queue_depth": depth, "slots_total": 4, "slots_free": free}}]})
        };
        assert_eq!(load_of(&pools(3, 1)), Some(6));
        assert_eq!(load_of(&pools(0, 4)), Some(0));
        assert_eq!(load_of(&json!({"pools": []})), None);
    }
}

//! What operators do while clients are at work: reload and drain.

use std::{cell::Cell, path::Path, rc::Rc, time::Duration};

use anyhow::{Result, bail};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    Amounts, SHORT,
    crowd::{Ending, Seen, by_pool, not_whole},
    figures::{Report, median_and_max, ms, row, seconds},
    stage::{SLOTS, Stage},
};
use crate::chaos::client::Answer;

const POLL: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_mins(1);
/// A `started` that was under way at the 202 reaches its reader within this time.
const UNDER_WAY: Duration = Duration::from_millis(100);

async fn reload(stage: &Stage, pool: &str, model: &Path) -> Result<Answer> {
    let body = json!({ "new_model_ref": model, "deadline_ms": 20_000, "wait_ms": 40_000 });
    stage.call("POST", &format!("/v2/pools/{pool}/reload"), &body.to_string()).await
}

/// Both pools are reloaded in turn until enough tasks are through.
pub(super) async fn reloads(stage: &Stage, report: &mut Report, amounts: Amounts) -> Result<()> {
    let open = Rc::new(Cell::new(true));
    let is_open = Rc::clone(&open);
    let (began, mut times) = (Instant::now(), Vec::new());
    let lanes = stage.crowd.lanes(2 * SLOTS, SHORT, move || is_open.get());
    while times.len() < amounts.reloads || lanes.ended() < amounts.reloaded {
        let node = &stage.nodes[times.len() % 2];
        let at = Instant::now();
        let answer = reload(stage, node.pool, &node.model(times.len() / 2 + 1)).await?;
        let outcome = answer.json()["state"].clone();
        report.hold(answer.status == 202 && outcome == "succeeded", || {
            format!("the reload of {} was answered {}", node.pool, answer.shown())
        });
        times.push(at.elapsed());
        if began.elapsed() > 2 * PATIENCE {
            report.hold(false, || "two minutes were not enough".to_owned());
            break;
        }
        // Both pools serve for a moment, as they do in life.
        sleep(Duration::from_secs(1)).await;
    }
    let node = &stage.nodes[0];
    let bad = reload(stage, node.pool, &node.folder.join("no/such.gguf")).await?;
    let code = bad.json()["code"].clone();
    row("a model that is not there", format!("{} {code}", bad.status));
    report.hold(bad.status == 409, || format!("a model that is not there: {}", bad.shown()));
    stage.until_ready(&["a", "b"]).await?;
    open.set(false);
    let all = lanes.land().await?;
    let (failed, first) = not_whole(&all);
    row("tasks, by pool", format!("{} {:?} in {}", all.len(), by_pool(&all), seconds(began.elapsed())));
    if let Some((median, max)) = median_and_max(times.clone()) {
        row("reloads", format!("{}, p50 {}, max {}", times.len(), seconds(median), seconds(max)));
    }
    row("failed tasks", failed);
    report.hold(failed == 0, || format!("{failed} tasks failed: {first}"));
    stage.until_serves("a").await?;
    Ok(())
}

/// Both pools are drained under load and resumed.
pub(super) async fn drain(stage: &Stage, report: &mut Report) -> Result<()> {
    let lanes = stage.crowd.lanes(2 * SLOTS, 10 * SHORT, || true);
    while lanes.ended() < 2 * SLOTS {
        sleep(POLL).await;
    }
    let mut closed = Vec::new();
    for pool in ["a", "b"] {
        let answer =
            stage.call("POST", &format!("/v2/pools/{pool}/drain"), r#"{"deadline_ms":20000}"#).await?;
        closed.push((pool, Instant::now()));
        report.hold(answer.status == 202, || format!("the drain of {pool} was answered {}", answer.shown()));
    }
    let refused = stage.crowd.one(SHORT).await;
    row("a new task", format!("{:?}", refused.ending));
    let unready = Ending::Refused(503, "POOL_UNREADY".to_owned());
    report.hold(refused.ending == unready, || format!("a new task: {:?}", refused.ending));
    let all = lanes.land().await?;
    let (began, late) = (Instant::now(), started_late(&all, &closed));
    row("started behind their pool's 202", format!("{} of {}", late.len(), all.len()));
    report.hold(late.is_empty(), || format!("{} tasks started behind the 202, e.g. {}", late.len(), late[0]));
    let ran: Vec<_> = all.iter().filter(|seen| seen.started.is_some()).cloned().collect();
    let (bad, first) = not_whole(&ran);
    row("what had started", format!("{}, {bad} not completed", ran.len()));
    report.hold(bad == 0, || format!("{bad} that had started did not complete: {first}"));
    let turned = all.iter().filter(|seen| matches!(seen.ending, Ending::Refused(..))).count();
    let waited = all.len() - ran.len() - turned;
    row("refused, and ended while they waited", format!("{turned}, {waited}"));
    for pool in ["a", "b"] {
        until_drained(stage, pool, began).await?;
    }
    row("both are drained, by their health, after", ms(closed[1].1.elapsed()));
    let resumed = Instant::now();
    for pool in ["a", "b"] {
        let answer = stage.call("POST", &format!("/v2/pools/{pool}/resume"), "").await?;
        report.hold(answer.status == 204, || format!("the resume of {pool} was answered {}", answer.shown()));
    }
    stage.until_ready(&["a", "b"]).await?;
    stage.until_serves("a").await?;
    stage.until_serves("b").await?;
    row("both serve again after", ms(resumed.elapsed()));
    Ok(())
}

/// Tasks whose readers were told of a start well behind the answer that closed their pool.
fn started_late(all: &[Seen], closed: &[(&str, Instant)]) -> Vec<String> {
    let late = |seen: &&Seen| {
        let at = closed.iter().find(|(pool, _)| *pool == seen.pool);
        at.zip(seen.started).is_some_and(|((_, at), started)| started > *at + UNDER_WAY)
    };
    all.iter().filter(late).map(|seen| format!("{} in {}", seen.id, seen.pool)).collect()
}

async fn until_drained(stage: &Stage, pool: &str, began: Instant) -> Result<()> {
    loop {
        let health = stage.pool(pool).await;
        let operation = &health["operation"];
        if health["draining"] == true
            && operation["operation"] == "drain"
            && operation["state"] == "succeeded"
        {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            bail!("pool {pool} is not drained: {health}");
        }
        sleep(POLL).await;
    }
}

//! Tasks that come at fixed times, whether or not earlier ones have ended.
//!
//! A client that waits for an answer before it asks again is slowed down by the server that it measures, and
//! then sees only its good times. Here a task's time begins when it was due, however late its lane is.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::load::{Plan, Single};

/// How many may be under way at once.
const LANES: u32 = 128;
/// How late the lanes may be altogether, when there is more to do than can be done.
const LATE_MAX: Duration = Duration::from_secs(10);
/// Times are told from each other within a thousandth, up to a minute.
const DIGITS: u8 = 3;
const MAX_US: u64 = 60_000_000;

/// Times in microseconds.
pub(super) fn times() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(MAX_US, DIGITS)?)
}

/// Notes a time; one that is too long for the scale is the longest.
pub(super) fn note(times: &mut Histogram<u64>, took: Duration) {
    times.saturating_record(u64::try_from(took.as_micros()).unwrap_or(MAX_US));
}

/// The time in milliseconds that `part` of all do not exceed; none of none.
pub(super) fn quantile_ms(times: &Histogram<u64>, part: f64) -> f64 {
    let us = times.value_at_quantile(part);
    if times.is_empty() { f64::NAN } else { Duration::from_micros(us).as_secs_f64() * 1e3 }
}

/// Runs `rate` tasks per second for `span`, each to its end, and returns their times.
pub(super) async fn steady(plan: &Plan, rate: u32, span: Duration) -> Result<Histogram<u64>> {
    let (period, plan) = (Duration::from_secs(LANES.into()) / rate, Arc::new(plan.clone()));
    let mut singles = Vec::new();
    for _ in 0..LANES {
        singles.push(Single::connect(&plan).await?);
    }
    let (start, mut lanes) = (Instant::now() + Duration::from_millis(50), JoinSet::new());
    for (lane, mut single) in (0_u32..).zip(singles) {
        let first = start + period * lane / LANES;
        lanes.spawn(async move {
            let (mut times, mut due) = (times()?, first);
            while due < start + span {
                sleep_until(due).await;
                ensure!(Instant::now() < start + span + LATE_MAX, "{rate} tasks/s are more than can be done");
                single.task().await.context("a task of an even stream of them")?;
                note(&mut times, due.elapsed());
                due += period;
            }
            anyhow::Ok(times)
        });
    }
    let mut all = times()?;
    while let Some(times) = lanes.join_next().await {
        all.add(times??)?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;
    use crate::{
        engine::{Engine, serve},
        load::{DEFAULT_MODEL, DEFAULT_PROMPT, Mode, Until},
    };

    #[test]
    fn quantiles_are_in_milliseconds_and_none_of_nothing() {
        let mut all = times().unwrap();
        assert!(quantile_ms(&all, 0.99).is_nan());
        for us in 1..=1_000 {
            all.record(us * 10).unwrap();
        }
        assert!((quantile_ms(&all, 0.99) - 9.9).abs() < 0.02, "{}", quantile_ms(&all, 0.99));
    }

    #[tokio::test]
    async fn every_task_that_is_due_is_run_and_counted() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let plan = Plan {
            target: listener.local_addr().unwrap(),
            mode: Mode::Raw,
            model: DEFAULT_MODEL.to_owned(),
            prompt: DEFAULT_PROMPT.into(),
            streams: 1,
            tokens: 2,
            until: Until::Rounds(1),
            timeout: Duration::from_secs(30),
        };
        let mut engine = JoinSet::new();
        engine.spawn(serve(listener, Engine::new(0, 200)));
        let times = steady(&plan, 1_280, Duration::from_millis(500)).await.unwrap();
        assert_eq!(times.len(), 640);
    }
}

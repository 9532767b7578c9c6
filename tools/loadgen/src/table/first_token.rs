//! How much later the first token comes because of a relay.
//!
//! One request after the other over kept connections, each path in turn, so that a neighbour's load falls on
//! all of them; the figures are medians of what the relays add to the engine's own time.

use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use super::{Bench, row::Row};
use crate::{
    load::{Single, Until},
    relay::{Dialect, Shape, Stage, Work, median},
};

pub(super) async fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let stage = Stage::start(Some(&bench.server), &Shape::roomy(0, 1)).await?;
    let mut rows = Vec::new();
    for (dialect, name) in [(Dialect::OpenAi, "OpenAI"), (Dialect::Own, "native")] {
        let paths = stage.paths_of(dialect);
        let mut lanes = Vec::new();
        for path in &paths {
            lanes.push(Single::connect(&Work::of(1).plan(path, Until::Rounds(1))).await?);
        }
        let mut times = vec![Vec::new(); lanes.len()];
        for _ in 0..bench.pick(300, 2_000) {
            for (lane, times) in lanes.iter_mut().zip(&mut times) {
                let begun = Instant::now();
                times.push(us(lane.task().await? - begun));
            }
        }
        let medians: Vec<f64> = times.into_iter().map(median).collect();
        let added = added(&medians);
        let what = format!("added to the first token, {name}, 1 connection (direct {:.0} us)", medians[0]);
        rows.push(Row::new(what, "us", added.own).against(added.nginx).ratio_at_most(2.0));
    }
    Ok(rows)
}

#[derive(Debug, PartialEq)]
struct Added {
    own: f64,
    nginx: Option<f64>,
}

/// Of the times through the engine alone, nginx if it is there, and the server.
fn added(medians: &[f64]) -> Added {
    match medians {
        [direct, nginx, own] => Added { own: own - direct, nginx: Some(nginx - direct) },
        [direct, own] => Added { own: own - direct, nginx: None },
        _ => Added { own: f64::NAN, nginx: None },
    }
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_the_difference_to_the_engine_alone() {
        assert_eq!(added(&[50.0, 80.0, 110.0]), Added { own: 60.0, nginx: Some(30.0) });
        assert_eq!(added(&[50.0, 110.0]), Added { own: 60.0, nginx: None });
        assert!(added(&[50.0]).own.is_nan());
    }
}

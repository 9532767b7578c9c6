//! What is printed, and what is held against the promises.

use std::{fmt::Display, time::Duration};

use anyhow::{Result, bail};

/// All breaches of a run. A breach does not end it: what comes next may tell more.
#[derive(Debug, Default)]
pub(super) struct Report {
    breaches: Vec<String>,
    scene: &'static str,
}

impl Report {
    pub(super) fn scene(&mut self, name: &'static str) {
        self.scene = name;
        println!("\n{name}");
    }

    /// Notes a breach unless it holds.
    #[expect(clippy::fn_params_excessive_bools, reason = "a condition, as in an assertion")]
    pub(super) fn hold(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            let breach = format!("{}: {}", self.scene, what());
            println!("  BREACH: {breach}");
            self.breaches.push(breach);
        }
    }

    /// The verdict.
    pub(super) fn end(self) -> Result<()> {
        if self.breaches.is_empty() {
            println!("\nverdict: good, no breach");
            return Ok(());
        }
        bail!("verdict: {} breaches\n{}", self.breaches.len(), self.breaches.join("\n"))
    }
}

/// Prints a figure.
pub(super) fn row(name: &str, figure: impl Display) {
    println!("  {name:<44} {figure}");
}

/// The median and the largest.
pub(super) fn median_and_max(mut times: Vec<Duration>) -> Option<(Duration, Duration)> {
    times.sort_unstable();
    let max = *times.last()?;
    Some((times[(times.len() - 1) / 2], max))
}

pub(super) fn ms(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1e3)
}

pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_one_of_the_times_and_nothing_has_none() {
        let times = [9, 1, 5, 7].map(Duration::from_millis).to_vec();
        assert_eq!(median_and_max(times), Some((Duration::from_millis(5), Duration::from_millis(9))));
        assert_eq!(median_and_max(Vec::new()), None);
    }

    #[test]
    fn one_breach_makes_the_verdict_bad() {
        let mut report = Report::default();
        report.hold(true, || unreachable!());
        report.hold(false, || "a stream ended twice".to_owned());
        assert!(report.end().unwrap_err().to_string().contains("1 breaches"));
        Report::default().end().unwrap();
    }
}

//! What came out of a run.

use std::time::Duration;

use anyhow::Error;
use serde_json::json;

/// Counts and times of one stream, or of all of them.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) tokens: u64,
    pub(crate) tasks: u64,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<Error>,
    pub(crate) wall: Duration,
    first_token: Vec<Duration>,
}

impl Tally {
    /// Counts a task that went well.
    pub(crate) fn task(&mut self, tokens: u32, first_token: Duration) {
        self.tokens += u64::from(tokens);
        self.tasks += 1;
        self.first_token.push(first_token);
    }

    /// Counts a stream that failed.
    pub(crate) fn failure(&mut self, error: Error) {
        self.errors += 1;
        self.first_error.get_or_insert(error);
    }

    /// Adds another stream's tally to this one.
    pub(crate) fn add(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.tasks += other.tasks;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.first_token.extend(other.first_token);
    }

    /// Closes the tally of a run that took `wall`.
    pub(crate) fn finish(mut self, wall: Duration) -> Self {
        self.wall = wall;
        self.first_token.sort_unstable();
        self
    }

    pub(crate) fn tokens_per_s(&self) -> f64 {
        as_f64(self.tokens) / self.wall.as_secs_f64().max(1e-9)
    }

    /// The time from a task's request to its first token that `percent` of the tasks did not exceed.
    pub(crate) fn first_token(&self, percent: usize) -> Duration {
        let rank = (self.first_token.len() * percent).div_ceil(100).max(1);
        self.first_token.get(rank - 1).copied().unwrap_or_default()
    }

    pub(crate) fn json(&self) -> String {
        let micros = |percent| json!(self.first_token(percent).as_micros());
        json!({
            "tokens": self.tokens,
            "tasks": self.tasks,
            "wall_s": self.wall.as_secs_f64(),
            "tokens_per_s": self.tokens_per_s(),
            "ttft_p50_us": micros(50),
            "ttft_p99_us": micros(99),
            "errors": self.errors,
        })
        .to_string()
    }
}

/// A count in a ratio.
#[expect(clippy::cast_precision_loss, reason = "no count comes near 2^52")]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let mut tally = Tally::default();
        assert_eq!(tally.first_token(50), Duration::ZERO);
        for ms in (1..=200).rev() {
            tally.task(2, Duration::from_millis(ms));
        }
        let tally = tally.finish(Duration::from_secs(2));
        assert_eq!(tally.first_token(50), Duration::from_millis(100));
        assert_eq!(tally.first_token(99), Duration::from_millis(198));
        assert_eq!(tally.first_token(100), Duration::from_millis(200));
        assert!((tally.tokens_per_s() - 200.0).abs() < 1e-9);
    }

    #[test]
    fn sum_keeps_every_count_and_the_first_error() {
        let mut sum = Tally::default();
        sum.failure(Error::msg("first"));
        let mut other = Tally::default();
        other.task(5, Duration::ZERO);
        other.failure(Error::msg("second"));
        sum.add(other);
        assert_eq!((sum.tokens, sum.tasks, sum.errors), (5, 1, 2));
        assert_eq!(sum.first_error.unwrap().to_string(), "first");
    }
}

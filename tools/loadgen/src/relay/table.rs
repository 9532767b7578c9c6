//! The figures and how they are shown.

use std::{fs, time::Duration};

use crate::load::{Tally, as_f64};

/// One measurement, or the median of several, figure by figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    pub(crate) tokens_per_s: f64,
    pub(crate) us_per_token: f64,
    pub(crate) us_per_task: f64,
    pub(crate) first_token_ms: f64,
}

impl Sample {
    pub(crate) fn new(tally: &Tally, used: Duration) -> Self {
        let used_us = used.as_secs_f64() * 1e6;
        Self {
            tokens_per_s: tally.tokens_per_s(),
            us_per_token: used_us / as_f64(tally.tokens.max(1)),
            us_per_task: used_us / as_f64(tally.tasks.max(1)),
            first_token_ms: tally.first_token(50).as_secs_f64() * 1e3,
        }
    }
}

/// The median of each figure by itself.
pub(crate) fn median_sample(samples: &[Sample]) -> Sample {
    let of = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure).collect());
    Sample {
        tokens_per_s: of(|sample| sample.tokens_per_s),
        us_per_token: of(|sample| sample.us_per_token),
        us_per_task: of(|sample| sample.us_per_task),
        first_token_ms: of(|sample| sample.first_token_ms),
    }
}

/// The middle figure; the mean of the middle two of an even number.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    let (low, high) = (figures.len().saturating_sub(1) / 2, figures.len() / 2);
    let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
    f64::midpoint(at(low), at(high))
}

/// What the figures depend on besides the code.
pub(crate) fn conditions() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    let build =
        if cfg!(debug_assertions) { "debug build: only ratios mean anything" } else { "release build" };
    format!("{cores} cores, load {load} at the start, load generator and engine: {build}")
}

pub(crate) fn print_head(tokens: u32, pace: u32) {
    let speed = if pace == 0 { "unpaced".to_owned() } else { format!("{pace} tokens/s per stream") };
    println!("\n{tokens} tokens per task, {speed}");
    println!("streams  path             tokens/s  CPU us/token  CPU us/task  ratio to nginx  ttft p50 ms");
}

/// One line of the table; the ratio is that of the CPU time per token.
pub(crate) fn line(streams: u32, path: &str, sample: Sample, control: Option<Sample>) -> String {
    let ratio = match control.filter(|control| control.us_per_token > 0.0) {
        Some(control) => format!("{:.2}", sample.us_per_token / control.us_per_token),
        None => "-".to_owned(),
    };
    let Sample { tokens_per_s, us_per_token, us_per_task, first_token_ms } = sample;
    format!(
        "{streams:>7}  {path:<13} {tokens_per_s:>11.0}  {us_per_token:>12.3}  {us_per_task:>11.1}  \
         {ratio:>14}  {first_token_ms:>11.2}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_whatever_the_order() {
        let is = |figures: &[f64], expected: f64| (median(figures.to_vec()) - expected).abs() < 1e-12;
        assert!(is(&[9.0, 1.0, 2.0], 2.0));
        assert!(is(&[4.0, 1.0, 2.0, 9.0], 3.0));
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn sample_divides_the_processor_time_by_tokens_and_by_tasks() {
        let mut tally = Tally::default();
        tally.task(100, Duration::from_millis(3));
        tally.task(100, Duration::from_millis(3));
        let sample = Sample::new(&tally.finish(Duration::from_secs(1)), Duration::from_millis(1));
        let expected =
            Sample { tokens_per_s: 200.0, us_per_token: 5.0, us_per_task: 500.0, first_token_ms: 3.0 };
        assert_eq!(sample, expected);
    }

    #[test]
    fn line_shows_the_ratio_to_the_control_or_none() {
        let sample = Sample { tokens_per_s: 1.0, us_per_token: 3.0, us_per_task: 6.0, first_token_ms: 0.5 };
        let control = Sample { us_per_token: 2.0, ..sample };
        assert!(line(64, "orchestratord", sample, Some(control)).contains("1.50"));
        assert!(line(64, "orchestratord", sample, None).contains("  -  "));
        let idle = Sample { us_per_token: 0.0, ..sample };
        assert!(line(64, "orchestratord", sample, Some(idle)).contains("  -  "));
    }
}

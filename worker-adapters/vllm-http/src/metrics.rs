//! The few numbers that are wanted from hundreds of lines of metrics.
//!
//! A parser for the whole format would read all of it for these, so their lines are looked for in
//! place and nothing is copied.

const RUNNING: &[u8] = b"vllm:num_requests_running";
const WAITING: &[u8] = b"vllm:num_requests_waiting";
/// How full the cache is; the second name is that of versions before 0.9.
const KV_CACHE: [&[u8]; 2] = [b"vllm:kv_cache_usage_perc", b"vllm:gpu_cache_usage_perc"];

/// Requests that run or wait, over all of the server's engines; `None` when it does not tell.
pub(crate) fn requests(text: &[u8]) -> Option<u32> {
    let counts =
        lines(text).filter_map(|line| value(line, RUNNING).or(value(line, WAITING))).filter_map(whole);
    counts.fold(None, |sum: Option<u32>, count| Some(sum.unwrap_or(0).saturating_add(count)))
}

/// How full its fullest cache is, in thousandths; `None` when it does not tell.
pub(crate) fn kv_cache_per_mille(text: &[u8]) -> Option<u16> {
    let told = lines(text).filter_map(|line| KV_CACHE.iter().find_map(|name| value(line, name)));
    let ratios = told.filter(|ratio| (0.0..=1.0).contains(ratio));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
    ratios.map(|ratio| (ratio * 1e3).round() as u16).max()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

/// The value of a line of this very name, whatever its labels.
fn value(line: &[u8], name: &[u8]) -> Option<f64> {
    let rest = line.strip_prefix(name)?;
    let rest = match rest.first()? {
        b' ' => rest,
        // A label's text may hold a brace, but the last one on the line ends the labels.
        b'{' => &rest[rest.iter().rposition(|byte| *byte == b'}')? + 1..],
        _ => return None,
    };
    let word = rest.split(u8::is_ascii_whitespace).find(|word| !word.is_empty())?;
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// A count that was written as a float.
fn whole(number: f64) -> Option<u32> {
    if !(0.0..=f64::from(u32::MAX)).contains(&number) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
    Some(number as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &[u8] = include_bytes!("../tests/transcripts/metrics.txt");

    #[test]
    fn a_recording_gives_what_runs_and_what_waits() {
        assert_eq!(requests(RECORDED), Some(0));
    }

    #[test]
    fn the_fullest_cache_counts_under_either_name() {
        assert_eq!(kv_cache_per_mille(RECORDED), Some(0));
        let two =
            b"vllm:kv_cache_usage_perc{engine=\"0\"} 0.25\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.9996\n";
        assert_eq!(kv_cache_per_mille(two), Some(1000));
        assert_eq!(kv_cache_per_mille(b"vllm:gpu_cache_usage_perc 0.125"), Some(125));
        for odd in [
            "",
            "vllm:kv_cache_usage_perc 1.5",
            "vllm:kv_cache_usage_perc NaN",
            "vllm:kv_cache_usage_perc -1",
        ] {
            assert_eq!(kv_cache_per_mille(odd.as_bytes()), None, "{odd}");
        }
    }

    #[test]
    fn only_lines_of_these_very_names_count() {
        let text =
            b"# HELP vllm:num_requests_running x\nvllm:num_requests_running{engine=\"0\",m=\"a}b\"} 3.0\n\
            vllm:num_requests_running{engine=\"1\"} 1\nvllm:num_requests_waiting 2.0 1700000000\r\n\
            vllm:num_requests_waiting_by_reason{reason=\"capacity\"} 40.0\n";
        assert_eq!(requests(text), Some(6));
    }

    #[test]
    fn what_is_no_count_is_not_taken_for_one() {
        for line in [
            "",
            "vllm:num_requests_running",
            "vllm:num_requests_running{a=\"b\" 3",
            "vllm:num_requests_running NaN",
            "vllm:num_requests_running -1",
            "vllm:num_requests_running 1e99",
            "vllm:num_requests_running \u{e9}",
        ] {
            assert_eq!(requests(line.as_bytes()), None, "{line}");
        }
    }
}

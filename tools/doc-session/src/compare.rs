//! Whether what came is what the page shows.
//!
//! Times differ from run to run, and a page cuts what is long. Everything else must be the same to the byte.

/// What stands for the rest of a line, or alone on a line for any lines.
const ANYTHING: char = '…';

/// Whether `came` is what `shown` says.
pub fn matches(shown: &str, came: &str) -> bool {
    let shown: Vec<_> = shown.lines().map(without_times).collect();
    let came: Vec<_> = came.lines().map(without_times).collect();
    all_match(&shown, &came)
}

fn all_match(shown: &[String], came: &[String]) -> bool {
    match shown.split_first() {
        None => came.is_empty(),
        Some((first, rest)) if first.trim() == "…" => {
            (0..=came.len()).any(|skipped| all_match(rest, &came[skipped..]))
        }
        Some((first, rest)) => match came.split_first() {
            Some((line, others)) => line_matches(first, line) && all_match(rest, others),
            None => false,
        },
    }
}

fn line_matches(shown: &str, came: &str) -> bool {
    let Some((first, rest)) = shown.split_once(ANYTHING) else { return shown == came };
    let Some(mut left) = came.strip_prefix(first) else { return false };
    let mut parts: Vec<_> = rest.split(ANYTHING).collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

/// The line with a blank for each number behind a name in quotes that ends in `_ms`.
fn without_times(line: &str) -> String {
    let mut parts = line.split("_ms\":");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("_ms\": ");
        out.push_str(part.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.'));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_times_may_differ() {
        assert!(matches(r#"{"a_ms":1,"b":2}"#, r#"{"a_ms":35.5,"b":2}"#));
        assert!(!matches(r#"{"a_ms":1,"b":2}"#, r#"{"a_ms":1,"b":3}"#));
        assert!(!matches(r#"{"a_ms":1}"#, r#"{"b_ms":1}"#));
        assert!(!matches("a\n", "a\nb\n"));
        assert!(!matches("a\nb\n", "a\n"));
    }

    #[test]
    fn dots_stand_for_the_rest_of_a_line_or_for_lines() {
        assert!(matches("a…z", "a to z"));
        assert!(matches("a…m…z", "a to m to z"));
        assert!(!matches("a…m…z", "a to z"));
        assert!(!matches("a…", "b"));
        assert!(matches("a\n…\nz\n", "a\nb\nc\nz\n"));
        assert!(matches("a\n…\n", "a\n"));
        assert!(!matches("a\n…\nz\n", "a\nb\n"));
    }
}

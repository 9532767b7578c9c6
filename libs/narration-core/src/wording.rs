//! Numbers as people say them, in a bounded number of characters.

use std::{fmt, time::Duration};

const MINUTE_MS: u128 = 60_000;
const HOUR_MS: u128 = 60 * MINUTE_MS;
const DAY_MS: u128 = 24 * HOUR_MS;

/// A duration in the largest unit that says something. Past a day nobody reads the number.
pub(crate) struct Spoken(pub(crate) Duration);

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            ms if ms < 1_000 => write!(f, "{ms} ms"),
            ms if ms < MINUTE_MS => write!(f, "{}.{} s", ms / 1_000, ms % 1_000 / 100),
            ms if ms < HOUR_MS => write!(f, "{} min", ms / MINUTE_MS),
            ms if ms < DAY_MS => write!(f, "{} h", ms / HOUR_MS),
            _ => f.write_str("more than a day"),
        }
    }
}

/// A count with its noun. Past a million the digits stop.
pub(crate) struct Count(pub(crate) u64, pub(crate) &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self(0, noun) => write!(f, "no {noun}s"),
            Self(1, noun) => write!(f, "1 {noun}"),
            Self(count, noun) if count <= 1_000_000 => write!(f, "{count} {noun}s"),
            Self(_, noun) => write!(f, "over a million {noun}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_said_in_its_own_unit() {
        let said = |ms| Spoken(Duration::from_millis(ms)).to_string();
        assert_eq!(said(0), "0 ms");
        assert_eq!(said(999), "999 ms");
        assert_eq!(said(1_250), "1.2 s");
        assert_eq!(said(59_999), "59.9 s");
        assert_eq!(said(60_000), "1 min");
        assert_eq!(said(3_600_000), "1 h");
        assert_eq!(said(86_400_000), "more than a day");
        assert_eq!(said(u64::MAX), "more than a day");
    }

    #[test]
    fn a_count_agrees_with_its_noun() {
        assert_eq!(Count(0, "job").to_string(), "no jobs");
        assert_eq!(Count(1, "job").to_string(), "1 job");
        assert_eq!(Count(1_000_000, "job").to_string(), "1000000 jobs");
        assert_eq!(Count(u64::MAX, "job").to_string(), "over a million jobs");
    }
}

//! Reading one value from text: numbers in a range, durations, choices, addresses.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::{Component, PathBuf},
    time::Duration,
};

use crate::{fault::Problem, kind::Choice, suggest::nearest};

/// How much of a wrong value is repeated to the operator.
const SHOWN_CHARS_MAX: usize = 60;

/// A value as a message may repeat it: short, on one line, without control characters.
pub(crate) fn shown(text: &str) -> String {
    let mut cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("`{}`", cut.escape_debug())
}

pub(crate) fn whole(text: &str, range: RangeInclusive<u64>) -> Result<u64, Problem> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && range.contains(number)).ok_or_else(|| {
        Problem::new(format!(
            "{} is not a whole number from {} to {}",
            shown(text),
            range.start(),
            range.end()
        ))
    })
}

/// A port that can be listened on by number.
pub(crate) fn port(text: &str) -> Result<u16, Problem> {
    // The range has the width of the type, so the conversion cannot fail after it.
    count(text, 1..=65_535).map(|port| u16::try_from(port).unwrap_or(u16::MAX))
}

pub(crate) fn count(text: &str, range: RangeInclusive<u32>) -> Result<u32, Problem> {
    let wide = u64::from(*range.start())..=u64::from(*range.end());
    // The range has the width of the type, so the conversion cannot fail after it.
    whole(text, wide).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

pub(crate) fn size(text: &str, range: RangeInclusive<u64>) -> Result<usize, Problem> {
    let number = whole(text, range)?;
    usize::try_from(number).map_err(|_wide| Problem::new("is larger than this machine's memory can be"))
}

pub(crate) fn millis(text: &str, range: RangeInclusive<u64>) -> Result<Duration, Problem> {
    whole(text, range).map(Duration::from_millis)
}

/// An amount of money, as millionths: digits, and up to six more behind a dot.
pub(crate) fn amount(text: &str) -> Result<u64, Problem> {
    let (units, rest) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let sound = digits(units) && digits(rest) && units.len() <= 9 && rest.len() <= 6;
    let millionths = format!("{units}{rest:0<6}").parse().ok().filter(|_| sound);
    millionths.ok_or_else(|| {
        Problem::new(format!("{} is not an amount below a thousand million", shown(text)))
            .hint("write it like 12 or 0.25, with up to six decimals")
    })
}

pub(crate) fn choice<T: Choice>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|unknown| {
        let problem = Problem::new(format!("{} {unknown}", shown(text)));
        let lower = text.to_lowercase();
        match nearest(&lower, T::WORDS.iter().copied()) {
            Some(word) => problem.hint(format!("did you mean {word}?")),
            None => problem,
        }
    })
}

pub(crate) fn addr(text: &str) -> Result<SocketAddr, Problem> {
    text.parse().map_err(|_not_one| {
        Problem::new(format!("{} is not an IP address with a port", shown(text)))
            .hint("write it like 127.0.0.1:8080 or [::1]:8080")
    })
}

/// A text that fits on a line.
pub(crate) fn line(text: &str) -> Result<String, Problem> {
    if text.trim().is_empty() {
        return Err(Problem::new("is empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::new(format!("{} holds a control character", shown(text))));
    }
    Ok(text.to_owned())
}

/// A comma list, whose items have no blanks around them.
pub(crate) fn list<T>(text: &str, read: fn(&str) -> Result<T, Problem>) -> Result<Vec<T>, Vec<Problem>> {
    let (mut items, mut problems) = (Vec::new(), Vec::new());
    for item in line(text)?.split(',') {
        match read(item.trim()) {
            Ok(item) => items.push(item),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(items) } else { Err(problems) }
}

/// The path of a file.
pub(crate) fn file(text: &str) -> Result<Option<PathBuf>, Problem> {
    line(text).map(|path| Some(path.into()))
}

/// A folder by its whole path.
pub(crate) fn folder(text: &str) -> Result<PathBuf, Problem> {
    let path = PathBuf::from(text);
    let climbs = path.components().any(|part| part == Component::ParentDir);
    if path.is_absolute() && !climbs {
        return Ok(path);
    }
    Err(Problem::new(format!("{} is not an absolute path without `..`", shown(text))))
}

/// A public key behind its name.
pub(crate) fn key(text: &str) -> Result<(String, String), Problem> {
    let word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic());
    match text.split_once(':') {
        Some((name, key)) if word(name) && word(key) => Ok((name.to_owned(), key.to_owned())),
        _ => Err(Problem::new(format!("{} is not a name, `:` and base64 of a public key", shown(text)))),
    }
}

/// A network, as an address and the length of its prefix.
pub(crate) fn network(text: &str) -> Result<(IpAddr, u8), Problem> {
    let parts = text.split_once('/').and_then(|(ip, length)| {
        let ip: IpAddr = ip.parse().ok()?;
        let longest = if ip.is_ipv4() { 32 } else { 128 };
        let length = whole(length, 0..=longest).ok()?;
        u8::try_from(length).ok().map(|length| (ip, length))
    });
    parts.ok_or_else(|| {
        Problem::new(format!("{} is not a network", shown(text))).hint("write it like 10.0.0.0/8")
    })
}

/// A host to fetch from, perhaps with a port.
pub(crate) fn host(text: &str) -> Result<String, Problem> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_:[]".contains(&byte);
    if !text.is_empty() && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(format!("{} is not a host in lower case, or a host, `:` and a port", shown(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_in_range_are_a_whole_number() {
        assert_eq!(whole("5", 1..=5).unwrap(), 5);
        for wrong in ["", "0", "6", "-1", "+5", "5.0", " 5", "5e0", "٥", "99999999999999999999999"] {
            assert!(whole(wrong, 1..=5).is_err(), "{wrong:?}");
        }
        assert_eq!(count("4294967295", 0..=u32::MAX).unwrap(), u32::MAX);
        assert!(count("4294967296", 0..=u32::MAX).is_err());
    }

    #[test]
    fn an_amount_is_counted_in_millionths() {
        for (text, millionths) in [("12", 12_000_000), ("0.25", 250_000), ("1.000001", 1_000_001), ("0", 0)] {
            assert_eq!(amount(text).unwrap(), millionths, "{text}");
        }
        for wrong in ["", ".5", "1.", "-1", "1e3", "1.0000001", "1234567890", "1,5"] {
            assert!(amount(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_wrong_value_is_repeated_short_and_on_one_line() {
        let long = shown(&format!("a\n\u{1b}[31m{}", "x".repeat(500)));
        assert!(long.chars().count() < 80 && !long.chars().any(char::is_control), "{long}");
    }
}

//! Reading one value from text: numbers in a range, durations, choices, addresses.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::{Component, PathBuf},
};

use crate::{
    fault::Problem,
    form::{Form, Text, Unit},
    kind::{Choice, UnknownWord},
    suggest::nearest,
};

/// How much of a wrong value is repeated to the operator.
const SHOWN_CHARS_MAX: usize = 60;

/// What matches a text on one line.
pub(crate) const LINE_PATTERN: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";
/// A port that can be listened on by number.
pub(crate) const PORT: Form = Form::whole(1, 65_535, Unit::Port);

/// What money is counted in stays exact far beyond this.
pub(crate) const AMOUNT: Form = Form::Amount { below: 1_000_000_000 };

pub(crate) static FILE: Text = Text::new("FILE", "the path of a file", LINE_PATTERN);
pub(crate) static DIR: Text = Text::new("DIR", "the path of a folder", LINE_PATTERN);
pub(crate) static DIRECTIVES: Text =
    Text::new("DIRECTIVES", "directives such as info or info,http_server=debug", LINE_PATTERN);
pub(crate) static ADDR: Text = Text::new(
    "IP:PORT",
    "an IP address with a port, like 127.0.0.1:8080 or [::1]:8080",
    r"^([0-9.]+|\[[0-9a-fA-F:.]+(%[0-9]+)?\]):[0-9]+$",
);
pub(crate) static FOLDER: Text =
    Text::new("DIR", "the path of a folder, from the root and without `..`", "^/");
pub(crate) static KEY: Text =
    Text::new("NAME:BASE64", "a name, `:` and base64 of an ed25519 public key", "^[!-9;-~]+:[!-~]+$");
pub(crate) static NETWORK: Text = Text::new("CIDR", "a network like 10.0.0.0/8", "^[0-9a-fA-F:.]+/[0-9]+$");
pub(crate) static HOST: Text =
    Text::new("HOST", "a host in lower case, perhaps with `:` and a port", r"^[a-z0-9._:\[\]-]+$");

/// A value as a message may repeat it: short, on one line, without control characters.
pub(crate) fn shown(text: &str) -> String {
    let mut cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("`{}`", cut.escape_debug())
}

/// Nothing but digits, in the range.
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

/// An amount of money, as millionths: digits, and up to six more behind a dot.
pub(crate) fn amount(text: &str, below: u64) -> Result<u64, Problem> {
    let (units, rest) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let sound = digits(units) && digits(rest) && rest.len() <= 6;
    let units = units.parse::<u64>().ok().filter(|units| sound && *units < below);
    let millionths = format!("{rest:0<6}").parse::<u64>().ok();
    units
        .zip(millionths)
        .and_then(|(units, rest)| units.checked_mul(1_000_000)?.checked_add(rest))
        .ok_or_else(|| {
            Problem::new(format!("{} is not an amount from 0 to less than {below}", shown(text)))
                .hint("write it like 12 or 0.25, with up to six decimals")
        })
}

/// One of `words`, all of which are words of `T`.
pub(crate) fn choice<T: Choice>(text: &str, words: &'static [&'static str]) -> Result<T, Problem> {
    word(text, words)?.parse().map_err(|unknown| Problem::new(format!("{} {unknown}", shown(text))))
}

pub(crate) fn word(text: &str, words: &'static [&'static str]) -> Result<&'static str, Problem> {
    let found = words.iter().find(|word| **word == text);
    found.copied().ok_or_else(|| {
        let unknown = UnknownWord { allowed: words };
        let problem = Problem::new(format!("{} {unknown}", shown(text)));
        match nearest(&text.to_lowercase(), words.iter().copied()) {
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
    }

    #[test]
    fn an_amount_is_counted_in_millionths() {
        for (text, millionths) in [
            ("12", 12_000_000),
            ("0.25", 250_000),
            ("1.000001", 1_000_001),
            ("0", 0),
            ("0999999999.5", 999_999_999_500_000),
        ] {
            assert_eq!(amount(text, 1_000_000_000).unwrap(), millionths, "{text}");
        }
        for wrong in ["", ".5", "1.", "-1", "1e3", "1.0000001", "1000000000", "99999999999999999999", "1,5"] {
            assert!(amount(wrong, 1_000_000_000).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_wrong_value_is_repeated_short_and_on_one_line() {
        let long = shown(&format!("a\n\u{1b}[31m{}", "x".repeat(500)));
        assert!(long.chars().count() < 80 && !long.chars().any(char::is_control), "{long}");
    }
}

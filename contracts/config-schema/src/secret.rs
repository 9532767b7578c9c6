//! A text that must not be seen.

use std::fmt;

use crate::{fault::Problem, form::Text};

/// The server's own token.
pub(crate) static TOKEN: Text =
    Text::new("TOKEN", "visible ASCII, such as what `openssl rand -hex 32` gives", KEY_PATTERN)
        .of_chars(32, 8192);
/// An engine's key.
pub(crate) static KEY: Text = Text::new("KEY", "visible ASCII", KEY_PATTERN);
const KEY_PATTERN: &str = "^[!-~]+$";
/// The most tokens of one file: more than a rotation needs.
pub const TOKENS_MAX: usize = 8;

/// A token or key. It shows nothing of itself, and cannot be compared by accident.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The server's own token: long enough not to be guessed, and able to stand in a header.
    //= AUTH-1006
    pub(crate) fn token(text: &str) -> Result<Self, Problem> {
        let secret = Self::key(text)?;
        if TOKEN.fits(text) {
            return Ok(secret);
        }
        let (least, most) = (TOKEN.chars_min, TOKEN.chars_max.unwrap_or(usize::MAX));
        let what = format!("has {} characters; a token has {least} to {most}", text.len());
        Err(Problem::new(what).hint("make one with `openssl rand -hex 32`"))
    }

    /// The tokens of a file: one on each line, so that a new one works before the old one goes.
    //= ORCH-3329
    pub(crate) fn tokens(text: &str) -> Result<Vec<Self>, Problem> {
        let lines: Vec<_> = text.trim_end_matches(['\r', '\n']).split('\n').collect();
        if lines.len() > TOKENS_MAX {
            return Err(Problem::new(format!("has {} lines; at most {TOKENS_MAX} are tokens", lines.len())));
        }
        let numbered = lines.iter().zip(1..);
        let read = numbered.map(|(line, number)| {
            let at = if lines.len() == 1 { String::new() } else { format!("line {number}") };
            Self::token(line.trim_end_matches('\r')).map_err(|problem| problem.at(&at))
        });
        read.collect()
    }

    /// An engine's key: whatever a header can carry.
    pub(crate) fn key(text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Err(Problem::new("is empty"));
        }
        if text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self::new(text));
        }
        Err(Problem::new("holds a character other than visible ASCII, which no header carries unchanged"))
    }
}

impl fmt::Debug for Secret {
    //= AUTH-1007
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= AUTH-1007 type=test
    #[test]
    fn a_secret_shows_nothing() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {secret:#?}"), "(hidden) (hidden) (hidden)");
        assert_eq!(secret.reveal(), "hunter2");
    }

    //= AUTH-1006 type=test
    #[test]
    fn a_token_has_32_characters_or_more() {
        assert!(Secret::token(&"a".repeat(31)).is_err());
        assert!(Secret::token(&"a".repeat(32)).is_ok());
        assert!(Secret::token(&"a".repeat(8193)).is_err());
        assert!(Secret::token(&format!("{} ", "a".repeat(32))).is_err());
    }

    //= ORCH-3329 type=test
    #[test]
    fn each_line_of_a_file_is_a_token() {
        let [a, b] = ["a", "b"].map(|letter| letter.repeat(32));
        let read = |text: &str| Secret::tokens(text).map(|tokens| tokens.len()).ok();
        assert_eq!(read(&a), Some(1));
        assert_eq!(read(&format!("{a}\r\n{b}\n")), Some(2));
        for wrong in [String::new(), format!("{a}\n\n{b}"), format!("\n{a}"), format!("{a}\nshort")] {
            assert_eq!(read(&wrong), None, "{wrong:?}");
        }
        assert_eq!(read(&format!("{a}\n").repeat(8)), Some(8));
        assert_eq!(read(&format!("{a}\n").repeat(9)), None);
    }
}

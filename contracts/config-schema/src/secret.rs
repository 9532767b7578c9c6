//! A text that must not be seen.

use std::fmt;

use crate::fault::Problem;

/// The fewest and the most characters of the server's own token.
const TOKEN_CHARS_MIN: usize = 32;
const TOKEN_CHARS_MAX: usize = 8192;

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
        let chars = text.len();
        if (TOKEN_CHARS_MIN..=TOKEN_CHARS_MAX).contains(&chars) {
            return Ok(secret);
        }
        let what = format!("has {chars} characters; a token has {TOKEN_CHARS_MIN} to {TOKEN_CHARS_MAX}");
        Err(Problem::new(what).hint("make one with `openssl rand -hex 32`"))
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
}

//! Names for callers that are safe to write down.
//!
//! A log must tell two callers apart without holding anything that lets a reader become one of them.
//! Three bytes of a digest do that: they separate tokens in practice and reveal 24 bits of a value
//! that nobody can run backwards.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};
use thiserror::Error;

/// The first three bytes of a token's SHA-256, shown as six hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 3]);

impl Fingerprint {
    /// The fingerprint of `token`.
    pub fn of(token: &[u8]) -> Self {
        Self::from_digest(&Sha256::digest(token).into())
    }

    //= AUTH-1002
    pub(crate) const fn from_digest(digest: &[u8; 32]) -> Self {
        Self([digest[0], digest[1], digest[2]])
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third] = self.0;
        write!(f, "{first:02x}{second:02x}{third:02x}")
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who a request comes from, as logs name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A peer on this machine that showed no token and needed none.
    Localhost,
    /// The holder of the token with this fingerprint.
    Token(Fingerprint),
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Localhost => f.write_str("localhost"),
            Self::Token(fingerprint) => write!(f, "token:{fingerprint}"),
        }
    }
}

/// A text that names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be `localhost` or `token:` and six hexadecimal digits")]
pub struct NotAnIdentity;

impl FromStr for Identity {
    type Err = NotAnIdentity;

    /// Reads what [`Identity`] shows.
    fn from_str(text: &str) -> Result<Self, NotAnIdentity> {
        if text == "localhost" {
            return Ok(Self::Localhost);
        }
        let digits = text.strip_prefix("token:").ok_or(NotAnIdentity)?;
        let byte = |at: usize| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let bytes = byte(0).zip(byte(2)).zip(byte(4)).ok_or(NotAnIdentity)?;
        let ((first, second), third) = bytes;
        let identity = Self::Token(Fingerprint([first, second, third]));
        if identity.to_string() == text { Ok(identity) } else { Err(NotAnIdentity) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= AUTH-1002 type=test
    #[test]
    fn an_identity_is_localhost_or_six_hex_digits_of_the_digest() {
        assert_eq!(Identity::Localhost.to_string(), "localhost");
        assert_eq!(Identity::Token(Fingerprint::of(b"test")).to_string(), "token:9f86d0");
    }

    #[test]
    fn a_fingerprint_keeps_its_leading_zeros() {
        assert_eq!(Fingerprint([0, 1, 0xab]).to_string(), "0001ab");
    }

    #[test]
    fn what_is_shown_is_read_back_and_nothing_else() {
        for identity in [Identity::Localhost, Identity::Token(Fingerprint::of(b"test"))] {
            assert_eq!(identity.to_string().parse(), Ok(identity));
        }
        for text in
            ["", "Localhost", "token:", "token:9f86d", "token:9f86d0a", "token:9F86D0", "token:+f86d0"]
        {
            assert_eq!(text.parse::<Identity>(), Err(NotAnIdentity), "{text}");
        }
    }
}

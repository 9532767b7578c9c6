//! Names for callers that are safe to write down.
//!
//! A log must tell two callers apart without holding anything that lets a reader become one of them.
//! Three bytes of a digest do that: they separate tokens in practice and reveal 24 bits of a value
//! that nobody can run backwards.

use std::fmt;

use sha2::{Digest, Sha256};

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
}

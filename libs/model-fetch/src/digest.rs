//! The SHA-256 of a file.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A SHA-256, written `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The name of the file with this digest.
    pub fn file_name(&self) -> String {
        format!("sha256-{}", self.hex())
    }

    pub(crate) fn hex(self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing into a `String` cannot fail.
            write!(text, "{byte:02x}").ok();
            text
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_and_its_file_have_the_usual_names() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), format!("sha256:{hex}"));
        assert_eq!(Digest::of(b"abc").file_name(), format!("sha256-{hex}"));
        assert_eq!(Digest([1; 32]).hex(), "01".repeat(32));
    }
}

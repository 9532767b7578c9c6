//! SHA-256 digests as a type.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

const PREFIX: &str = "sha256:";
const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The SHA-256 digest of a model's bytes, written `sha256:` and 64 lower-case hex digits.
///
/// A digest is never a path, and no text becomes one without being checked.
//= ORCH-3412
//= ORCH-3097
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// A text is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be `sha256:` and 64 lower-case hex digits")]
pub struct MalformedDigest;

impl Digest {
    /// The digest with these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest's bytes, which is also what signatures sign.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = MalformedDigest;

    fn from_str(text: &str) -> Result<Self, MalformedDigest> {
        let hex = text.strip_prefix(PREFIX).ok_or(MalformedDigest)?.as_bytes();
        let (pairs, rest) = hex.as_chunks::<2>();
        let mut bytes = [0; 32];
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(MalformedDigest);
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Ok(Self(bytes))
    }
}

fn nibble(digit: u8) -> Result<u8, MalformedDigest> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(MalformedDigest),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |nibble: u8| char::from(HEX_DIGITS[usize::from(nibble)]);
        let hex = self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
        f.write_str(PREFIX)?;
        f.write_str(&hex.collect::<String>())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Digest {
    type Error = MalformedDigest;

    fn try_from(text: String) -> Result<Self, MalformedDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};

    use super::*;

    const OF_ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    //= ORCH-3412 type=test
    #[test]
    fn a_digest_is_written_as_everybody_writes_it() {
        let digest = Digest::new(Sha256::digest(b"abc").into());
        assert_eq!(digest.to_string(), OF_ABC);
        assert_eq!(OF_ABC.parse(), Ok(digest));
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{OF_ABC}\""));
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    }

    //= ORCH-3412 type=test
    #[test]
    fn a_digest_is_never_a_path_nor_anything_near_a_digest() {
        let hex = &OF_ABC[PREFIX.len()..];
        for text in [
            "",
            "sha256:",
            hex,
            &OF_ABC[..OF_ABC.len() - 1],
            &format!("{OF_ABC}0"),
            &format!("{OF_ABC} "),
            &OF_ABC.to_uppercase(),
            &format!("sha256:{}", hex.to_uppercase()),
            &format!("SHA256:{hex}"),
            &format!("sha512:{hex}"),
            &format!("sha256:../{}", &hex[3..]),
            &format!("sha256:{}é", &hex[2..]),
            &format!("sha256:+{}", &hex[1..]),
            "sha256:../../etc/passwd",
            "/etc/passwd",
        ] {
            assert_eq!(text.parse::<Digest>(), Err(MalformedDigest), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_digest_reads_back_and_no_text_panics(bytes: [u8; 32], text in "(sha256:)?.{0,70}") {
            let digest = Digest::new(bytes);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
            if let Ok(read) = text.parse::<Digest>() {
                prop_assert_eq!(read.to_string(), text);
            }
        }
    }
}

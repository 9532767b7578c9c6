//! The name of an artifact, which is the digest of its content.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};
use thiserror::Error;

const SCHEME: &str = "sha256:";
const DIGEST_BYTES: usize = 32;

/// The SHA-256 of an artifact's content, written `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtifactId([u8; DIGEST_BYTES]);

/// A text that is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an artifact id must be `sha256:` and 64 lower-case hex digits")]
pub struct MalformedArtifactId;

impl ArtifactId {
    /// The id of `content`.
    //= ORCH-3416
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// The id with this digest.
    pub const fn from_bytes(digest: [u8; DIGEST_BYTES]) -> Self {
        Self(digest)
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; DIGEST_BYTES] {
        &self.0
    }

    /// The folder and the file that hold it: two hex digits, and the other 62.
    pub(crate) fn place(&self) -> (String, String) {
        let mut folder = self.hex();
        let file = folder.split_off(2);
        (folder, file)
    }

    /// The id of the file `file` in `folder`, if both are called as [`Self::place`] calls them.
    pub(crate) fn from_place(folder: &str, file: &str) -> Option<Self> {
        (folder.len() == 2).then(|| from_hex(&format!("{folder}{file}")))?
    }

    fn hex(self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::with_capacity(2 * DIGEST_BYTES), |mut text, byte| {
            // Writing into a `String` cannot fail.
            write!(text, "{byte:02x}").ok();
            text
        })
    }
}

fn from_hex(hex: &str) -> Option<ArtifactId> {
    if hex.len() != 2 * DIGEST_BYTES {
        return None;
    }
    let mut digest = [0; DIGEST_BYTES];
    for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(ArtifactId(digest))
}

/// Upper-case digits are refused, so that one artifact has one name.
const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl FromStr for ArtifactId {
    type Err = MalformedArtifactId;

    fn from_str(text: &str) -> Result<Self, MalformedArtifactId> {
        text.strip_prefix(SCHEME).and_then(from_hex).ok_or(MalformedArtifactId)
    }
}

impl fmt::Display for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.hex())
    }
}

impl fmt::Debug for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    //= ORCH-3416 type=test
    #[test]
    fn an_id_is_the_sha256_of_the_content() {
        assert_eq!(ArtifactId::of(b"").to_string(), EMPTY);
        assert_ne!(ArtifactId::of(b"a"), ArtifactId::of(b"b"));
    }

    #[test]
    fn only_the_one_spelling_is_an_id() {
        assert_eq!(EMPTY.parse(), Ok(ArtifactId::of(b"")));
        for other in [
            "",
            "sha256:",
            &EMPTY[7..],
            &EMPTY[..70],
            &EMPTY.to_uppercase(),
            &EMPTY.replace('e', "E"),
            &format!("{EMPTY}0"),
            &format!(" {EMPTY}"),
            &EMPTY.replace("sha256", "sha512"),
            &format!("sha256:../../{}", &EMPTY[13..]),
            &format!("sha256:{}é", &EMPTY[9..]),
        ] {
            assert_eq!(other.parse::<ArtifactId>(), Err(MalformedArtifactId), "{other}");
        }
    }

    #[test]
    fn a_place_names_its_id() {
        let id = ArtifactId::of(b"");
        let (folder, file) = id.place();
        assert_eq!((folder.as_str(), file.len()), ("e3", 62));
        assert_eq!(ArtifactId::from_place(&folder, &file), Some(id));
        assert_eq!(ArtifactId::from_place("e3b", &file[1..]), None);
        assert_eq!(ArtifactId::from_place("E3", &file), None);
    }

    proptest! {
        #[test]
        fn a_text_is_refused_or_is_its_own_id(text in "(sha256:)?[0-9a-fA-F/.]{0,70}|\\PC*") {
            if let Ok(id) = text.parse::<ArtifactId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }

        #[test]
        fn every_digest_survives_its_text(digest: [u8; 32]) {
            let id = ArtifactId::from_bytes(digest);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(id.as_bytes(), &digest);
        }
    }
}

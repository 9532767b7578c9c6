//! References to models in OCI registries, by the grammar of the OCI distribution specification.

use std::fmt;

use super::Refused;
use crate::digest::Digest;

const TAG_BYTES_MAX: usize = 128;

/// Which version of a repository is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OciReference {
    /// Whatever the registry has under this name now.
    Tag(String),
    /// Exactly the manifest with this digest.
    Digest(Digest),
}

impl fmt::Display for OciReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// `oci://registry/repository`, with `:tag` or `@digest` or neither.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) registry: &'a str,
    pub(super) repository: &'a str,
    pub(super) reference: OciReference,
}

pub(super) fn take_apart(text: &str) -> Result<Parts<'_>, Refused> {
    let rest = text.strip_prefix("oci://").ok_or(Refused::Oci)?;
    let (registry, rest) = rest.split_once('/').ok_or(Refused::Oci)?;
    let (repository, reference) = match (rest.split_once('@'), rest.split_once(':')) {
        (Some((repository, digest)), _) => {
            (repository, OciReference::Digest(digest.parse().map_err(|_malformed| Refused::Oci)?))
        }
        (None, Some((repository, tag))) if is_tag(tag) => (repository, OciReference::Tag(tag.to_owned())),
        (None, Some(_)) => return Err(Refused::Oci),
        (None, None) => (rest, OciReference::Tag("latest".to_owned())),
    };
    if repository.split('/').all(is_component) {
        Ok(Parts { registry, repository, reference })
    } else {
        Err(Refused::Oci)
    }
}

/// Runs of letters and digits, between which stands `.`, `_`, `__` or any number of `-`.
fn is_component(part: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator = |run: &str| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-');
    part.starts_with(is_alphanumeric)
        && part.ends_with(is_alphanumeric)
        && part.split(is_alphanumeric).all(is_separator)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=TAG_BYTES_MAX).contains(&tag.len())
        && tag.bytes().all(|byte| is_word(byte) || b".-".contains(&byte))
        && tag.bytes().next().is_some_and(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_registry_a_repository_and_a_version() {
        let parts = take_apart("oci://r:5000/org/m__a-b--c.d:V1_.-").unwrap();
        assert_eq!((parts.registry, parts.repository), ("r:5000", "org/m__a-b--c.d"));
        assert_eq!(parts.reference, OciReference::Tag("V1_.-".to_owned()));
        let digest = format!("sha256:{}", "a".repeat(64));
        let text = format!("oci://r/m@{digest}");
        assert_eq!(take_apart(&text).unwrap().reference.to_string(), digest);
    }

    #[test]
    fn what_no_registry_has_is_refused() {
        let long = format!("m:{}", "a".repeat(129));
        for rest in [
            "",
            "/",
            "m/",
            "/m",
            "M",
            "m.",
            ".m",
            "m..n",
            "m___n",
            "m._n",
            "m//n",
            "m:",
            "m:.a",
            "m:a/b",
            "m:a:b",
            "m@",
            "m@sha256:00",
            "m@latest",
            "m:v1@sha256:00",
            "m%2fn",
            "m?x",
            "m#x",
            &long,
        ] {
            assert_eq!(take_apart(&format!("oci://r/{rest}")).err(), Some(Refused::Oci), "{rest}");
        }
    }
}

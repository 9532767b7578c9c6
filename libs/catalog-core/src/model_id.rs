//! The name under which the catalog keeps a model.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// No id is longer.
pub const MODEL_ID_BYTES_MAX: usize = 256;
const PART_BYTES_MAX: usize = 128;

/// The id of a model in the catalog: parts of `[a-z0-9][a-z0-9._-]{0,127}`, separated by `/`.
///
/// It stands in URLs and logs. It is never used to build a path.
//= ORCH-3412
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelId(Arc<str>);

/// Why a text is no id of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MalformedModelId {
    /// It is empty or too long.
    #[error("must have 1 to {MODEL_ID_BYTES_MAX} bytes")]
    Length,
    /// A part between slashes is empty or too long.
    #[error("must have 1 to {PART_BYTES_MAX} bytes between slashes")]
    PartLength,
    /// A part begins with something else than a letter or a digit.
    #[error("must begin with a lower-case letter or a digit, also behind each slash")]
    Start,
    /// It holds what no id holds.
    #[error("must hold only lower-case letters, digits, `.`, `_`, `-` and `/`")]
    Character,
}

impl ModelId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ModelId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelId {
    type Err = MalformedModelId;

    fn from_str(text: &str) -> Result<Self, MalformedModelId> {
        if !(1..=MODEL_ID_BYTES_MAX).contains(&text.len()) {
            return Err(MalformedModelId::Length);
        }
        text.split('/').try_for_each(check_part)?;
        Ok(Self(text.into()))
    }
}

fn check_part(part: &str) -> Result<(), MalformedModelId> {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if !part.bytes().all(|byte| is_alphanumeric(byte) || b"._-".contains(&byte)) {
        return Err(MalformedModelId::Character);
    }
    if part.len() > PART_BYTES_MAX {
        return Err(MalformedModelId::PartLength);
    }
    match part.bytes().next() {
        None => Err(MalformedModelId::PartLength),
        Some(first) if is_alphanumeric(first) => Ok(()),
        Some(_) => Err(MalformedModelId::Start),
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ModelId {
    type Error = MalformedModelId;

    fn try_from(text: String) -> Result<Self, MalformedModelId> {
        text.parse()
    }
}

impl From<ModelId> for String {
    fn from(id: ModelId) -> Self {
        id.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(text: &str) -> MalformedModelId {
        text.parse::<ModelId>().unwrap_err()
    }

    //= ORCH-3412 type=test
    #[test]
    fn an_id_is_parts_of_lower_case_letters_digits_and_marks() {
        let part = "a".repeat(PART_BYTES_MAX);
        for text in ["a", "0", "llama-3.2_1b", "org/repo", "a/b/c", "a..b", &part, &format!("{part}/b")] {
            let id: ModelId = text.parse().unwrap();
            assert_eq!(id.as_str(), text);
            assert_eq!(id.to_string(), text);
        }
    }

    //= ORCH-3412 type=test
    #[test]
    fn what_could_climb_hide_or_break_a_line_is_no_id() {
        use MalformedModelId::*;
        let (long, part) = ("a".repeat(257), "a".repeat(129));
        for (text, reason) in [
            ("", Length),
            (long.as_str(), Length),
            (part.as_str(), PartLength),
            ("/", PartLength),
            ("a/", PartLength),
            ("/a", PartLength),
            ("a//b", PartLength),
            (".", Start),
            ("..", Start),
            ("../etc/passwd", Start),
            ("a/../b", Start),
            ("a/.hidden", Start),
            ("-a", Start),
            ("..%2f", Character),
            ("a%2f..%2fb", Character),
            ("a%00", Character),
            ("a\0", Character),
            ("a\nb", Character),
            ("a\\b", Character),
            ("A", Character),
            ("a b", Character),
            ("a:b", Character),
            ("a\u{2215}b", Character),
            ("a\u{ff0f}b", Character),
            ("\u{430}", Character),
        ] {
            assert_eq!(refusal(text), reason, "{text:?}");
        }
    }

    #[test]
    fn an_id_in_json_is_checked_like_any_other() {
        let id: ModelId = serde_json::from_str("\"org/repo\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"org/repo\"");
        assert!(serde_json::from_str::<ModelId>("\"../etc\"").is_err());
    }

    proptest! {
        #[test]
        fn no_id_holds_a_part_that_leads_anywhere(text in "[a-c./%_-]{0,12}|.{0,12}") {
            if let Ok(id) = text.parse::<ModelId>() {
                for part in id.as_str().split('/') {
                    prop_assert!(!part.is_empty() && !part.starts_with('.'));
                }
                prop_assert!(id.as_str().is_ascii());
            }
        }
    }
}

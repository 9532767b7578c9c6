//! The members of a call: read where they must be known, handed on where not.

use std::{fmt, ops::RangeInclusive};

use api_types::ErrorCode;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::super::{body::decode, from_wire::checks};
use crate::error::ApiError;

/// Arrays and objects in one another. No call needs as many; an engine that reads recursively could break
/// on more.
const DEPTH_MAX: usize = 64;

/// The members of one JSON object, in their order, each as it was written.
#[derive(Debug)]
pub(super) struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    /// Reads a body. One member of a name is enough: of two, an engine might read the other one.
    // H20
    pub(super) fn read(body: &[u8]) -> Result<Self, ApiError> {
        if depth(body) > DEPTH_MAX {
            let message = format!("the body is nested deeper than {DEPTH_MAX} levels");
            return Err(ApiError::new(ErrorCode::InvalidParams, message));
        }
        decode(body)
    }

    /// A member's text; `None` when it is absent or `null`.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.get()).filter(|text| *text != "null")
    }

    /// A member of a known shape.
    pub(super) fn get<T: DeserializeOwned>(&self, name: &str, shape: &str) -> Result<Option<T>, ApiError> {
        let value = self.raw(name).map(serde_json::from_str).transpose();
        value.map_err(|_other| ApiError::invalid(name, format!("must be {shape}")))
    }

    /// A member of a known shape that must be there.
    pub(super) fn required<T: DeserializeOwned>(&self, name: &str, shape: &str) -> Result<T, ApiError> {
        self.get(name, shape)?.ok_or_else(|| ApiError::invalid(name, "is required"))
    }

    pub(super) fn number(&self, name: &str, low: f64, high: f64) -> Result<(), ApiError> {
        checks::number(name, self.get(name, "a number")?, low, high).map(|_| ())
    }

    pub(super) fn integer(&self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, ApiError> {
        checks::integer(name, self.get(name, "a whole number")?, range)
    }

    pub(super) fn tokens(&self, name: &str) -> Result<Option<u32>, ApiError> {
        checks::tokens(name, self.get(name, "a whole number")?)
    }

    /// The name of a member that is none of these, which stand with a space between them.
    pub(super) fn other_than(&self, known: &str) -> Option<&str> {
        let is_known = |name: &str| known.split(' ').any(|known| known == name);
        self.0.iter().map(|(name, _)| name.as_str()).find(|name| !is_known(name))
    }

    /// All members but these, as they stand between the braces of an object.
    pub(super) fn without(&self, left_out: &[&str]) -> String {
        let mut text = String::new();
        for (name, value) in self.0.iter().filter(|(name, _)| !left_out.contains(&name.as_str())) {
            let comma = if text.is_empty() { "" } else { "," };
            text.push_str(comma);
            text.push_str(&serde_json::Value::from(name.as_str()).to_string());
            text.push(':');
            text.push_str(value.get());
        }
        text
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members: Vec<(String, Box<RawValue>)> = Vec::new();
        while let Some((name, value)) = map.next_entry()? {
            if members.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom(format_args!("the member `{name}` is there twice")));
            }
            members.push((name, value));
        }
        Ok(Members(members))
    }
}

/// How many arrays and objects stand in one another, at most.
fn depth(body: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Members, String> {
        Members::read(body.as_bytes()).map_err(|error| error.body().message.clone())
    }

    #[test]
    fn members_keep_their_text_and_their_order() {
        let members = read(r#"{"b": 1.50, "model":"m","a\n":[1, {"x":"}"}] , "n":null}"#).unwrap();
        assert_eq!(members.without(&["model"]), r#""b":1.50,"a\n":[1, {"x":"}"}],"n":null"#);
        assert_eq!((members.raw("b"), members.raw("n"), members.raw("c")), (Some("1.50"), None, None));
        assert_eq!(members.other_than("b model n"), Some("a\n"));
    }

    #[test]
    fn a_body_is_one_object_whose_names_differ() {
        for (body, problem) in [
            (r#"{"a":1,"a":1}"#, "twice"),
            (r#"{"a":1,"\u0061":2}"#, "twice"),
            ("[]", "a JSON object"),
            (r#"{"a":1}{"#, "goes on"),
            (r#"{"a":1"#, "EOF"),
        ] {
            let error = read(body).unwrap_err();
            assert!(error.contains(problem), "{body}: {error}");
        }
    }

    // H18
    #[test]
    fn what_is_nested_too_deep_is_refused_and_braces_in_texts_do_not_count() {
        let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(read(&nested(DEPTH_MAX - 1)).is_ok());
        assert!(read(&nested(DEPTH_MAX)).unwrap_err().contains("nested deeper"));
        assert!(read(&nested(200_000)).unwrap_err().contains("nested deeper"));
        let text = format!(r#"{{"a":"{}\"{}"}}"#, "[".repeat(100), "{".repeat(100));
        assert!(read(&text).is_ok());
        let beside = format!(r#"{{"a":[{}]}}"#, vec!["[]"; 100].join(","));
        assert!(read(&beside).is_ok(), "what stands beside one another is not deep");
        assert!(read(r#"{"a":"]]}}","b":"\\"}"#).is_ok());
    }
}

//! The members of a call: read where they must be known, handed on where not.

mod parsed;

use std::{borrow::Cow, ops::RangeInclusive};

use api_types::ErrorCode;
use http_util::Scanner;
use serde::de::DeserializeOwned;

use self::parsed::depth;
use super::super::{body::decode, from_wire::checks};
use crate::error::ApiError;

/// Arrays and objects in one another. No call needs as many; an engine that reads recursively could break
/// on more.
const DEPTH_MAX: usize = 64;

/// More members than these are looked through for twins by a set, so that a body of nothing but members is no burden.
const FEW: usize = 32;

// What a scanner takes is not deeper than what is let in, so its depth need not be counted.
const _: () = assert!(Scanner::DEPTH_MAX <= DEPTH_MAX);

/// The members of one JSON object, in their order, each as it was written in the body that it is borrowed from.
#[derive(Debug)]
pub(super) struct Members<'a>(Vec<Member<'a>>);

/// One member. A borrowed name reads as it is written.
type Member<'a> = (Cow<'a, str>, &'a str);

impl<'a> Members<'a> {
    /// Reads a body. One member of a name is enough: of two, an engine might read the other one.
    // H20
    pub(super) fn read(body: &'a [u8]) -> Result<Self, ApiError> {
        if let Some(members) = std::str::from_utf8(body).ok().and_then(Self::scanned) {
            return Ok(members);
        }
        if depth(body) > DEPTH_MAX {
            let message = format!("the body is nested deeper than {DEPTH_MAX} levels");
            return Err(ApiError::new(ErrorCode::InvalidParams, message));
        }
        decode(body)
    }

    /// Reads a body as clients nearly always write it. What is wrong with any other is told by the parser.
    fn scanned(body: &'a str) -> Option<Self> {
        let mut members: Vec<Member<'a>> = Vec::with_capacity(FEW / 2);
        Scanner::read(body, |scanner| {
            scanner.object(|name, scanner| {
                if members.len() == FEW {
                    return None;
                }
                let value = scanner.raw()?;
                let fresh = !members.iter().any(|(known, _)| known == name);
                fresh.then(|| members.push((Cow::Borrowed(name), value)))
            })
        })?;
        Some(Self(members))
    }

    /// A member's text; `None` when it is absent or `null`.
    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| *value).filter(|text| *text != "null")
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

    /// The name of a member that is none of these, which stand in the order of their bytes.
    pub(super) fn other_than(&self, known: &[&str]) -> Option<&str> {
        let mut names = self.0.iter().map(|(name, _)| name.as_ref());
        names.find(|name| known.binary_search(name).is_err())
    }

    /// All members but these, as they stand between the braces of an object.
    pub(super) fn without(&self, left_out: &[&str]) -> String {
        let kept = || self.0.iter().filter(|(name, _)| !left_out.contains(&name.as_ref()));
        // Quotes, colon and comma are around each; a name with an escape may need more than it has bytes.
        let mut text = String::with_capacity(kept().map(|(name, value)| name.len() + value.len() + 4).sum());
        for (name, value) in kept() {
            let comma = if text.is_empty() { "" } else { "," };
            text.push_str(comma);
            match name {
                Cow::Borrowed(name) => {
                    text.push('"');
                    text.push_str(name);
                    text.push('"');
                }
                Cow::Owned(name) => text.push_str(&serde_json::Value::from(name.as_str()).to_string()),
            }
            text.push(':');
            text.push_str(value);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Members<'_>, String> {
        Members::read(body.as_bytes()).map_err(|error| error.body().message.clone())
    }

    #[test]
    fn members_keep_their_text_and_their_order() {
        let members = read(r#"{"b": 1.50, "model":"m","a\n":[1, {"x":"}"}] , "n":null}"#).unwrap();
        assert_eq!(members.without(&["model"]), r#""b":1.50,"a\n":[1, {"x":"}"}],"n":null"#);
        assert_eq!((members.raw("b"), members.raw("n"), members.raw("c")), (Some("1.50"), None, None));
        assert_eq!(members.other_than(&["b", "model", "n"]), Some("a\n"));
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

    /// Bodies of every kind of member, in one way of writing and another.
    const BODIES: [&str; 4] = [
        r#"{"model":"m","messages":[{"role":"user","content":"a\"b\n日"}],"n":null,"seed":-0,"top_p":1.5e-1}"#,
        "{ \"model\" : \"m\",\n\t\"stop\": [\"a\", []], \"stream_options\":{ },\r\n \"b\": true }\n",
        r#"{"é":false,"":"","a":1,"b":[{"a":1,"a":2}],"model":"\ud800"}"#,
        r#"{"a":1,"a":1,"\u0062":2}"#,
    ];

    /// The scanner's members, if it takes the body, are the parser's.
    fn agrees(body: &str) -> bool {
        let Some(scanned) = Members::scanned(body) else { return false };
        let parsed: Members<'_> = decode(body.as_bytes()).unwrap_or_else(|error| panic!("{error:?}: {body}"));
        assert_eq!(scanned.0, parsed.0, "{body}");
        assert_eq!(scanned.without(&["model"]), parsed.without(&["model"]), "{body}");
        assert!(depth(body.as_bytes()) <= DEPTH_MAX, "{body}");
        true
    }

    #[test]
    fn a_body_is_read_by_the_scanner_as_the_parser_reads_it_and_with_any_fault_in_it_too() {
        let usual: Vec<_> = BODIES.iter().map(|body| agrees(body)).collect();
        assert_eq!(usual, [true, true, true, false], "only twins and names with escapes need the parser");
        for body in BODIES {
            for (at, here) in body.char_indices() {
                let (before, behind) = (&body[..at], &body[at + here.len_utf8()..]);
                agrees(before);
                agrees(&format!("{before}{behind}"));
                for put in " \n\"\\{}[]:,0-.eEau\u{1}é".chars() {
                    agrees(&format!("{before}{put}{behind}"));
                    agrees(&format!("{before}{put}{here}{behind}"));
                }
            }
        }
    }

    #[test]
    fn a_body_of_many_members_is_read_too() {
        let members =
            |count: usize| (0..count).map(|index| format!("\"m{index}\":{index}")).collect::<Vec<_>>();
        for count in [0, 1, FEW - 1, FEW, FEW + 1, 1_000] {
            let inside = members(count).join(",");
            let body = format!("{{{inside}}}");
            assert_eq!(agrees(&body), count <= FEW);
            assert_eq!(read(&body).unwrap().without(&[]), inside);
            if count > 0 {
                let twin = read(&format!("{{{inside},\"m0\":0}}")).unwrap_err();
                assert!(twin.contains("twice"), "{twin}");
            }
        }
    }
}

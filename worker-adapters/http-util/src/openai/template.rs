//! An event that is the last one with another text in its place.
//!
//! The events of one stream say the same again and again: id, time, model, and then a few letters that are
//! new. Once one of them was parsed and said nothing but text, the next that has the same bytes before and
//! behind that text says nothing but text either, and need not be parsed. Whatever differs by a single byte goes
//! to the parser, and is learnt from if it can be.

use std::borrow::Cow;

use super::wire::Chunk;
use crate::json::ByteString;

/// After so many events in a row that were none of the learnt ones, nothing more is learnt: the stream is of
/// another kind, and learning is not free.
const MISSES_MAX: u8 = 16;

/// The bytes before and behind the text of the event that was learnt.
#[derive(Debug, Default)]
pub(super) struct Template {
    before: Vec<u8>,
    behind: Vec<u8>,
    misses: u8,
}

/// What stands in the place of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inside<'a> {
    /// The inside of a JSON string, as it is written.
    pub(super) written: &'a [u8],
    /// Whether it reads as it is written.
    pub(super) plain: bool,
}

impl Template {
    /// Learns from an event that was parsed, if it says a text and nothing else that matters.
    pub(super) fn learn(&mut self, event: &[u8], parsed: &Chunk<'_>) {
        if let Some(ByteString(Cow::Borrowed(text))) = parsed.lone_text() {
            self.learn_place(event, text);
        }
    }

    /// Learns from an event of which only its end was looked at.
    pub(super) fn learn_unparsed(&mut self, event: &[u8]) {
        if self.misses < MISSES_MAX
            && let Ok(parsed) = serde_json::from_slice::<Chunk<'_>>(event)
        {
            self.learn(event, &parsed);
        }
    }

    /// Learns from an event that is known to say this text, which was borrowed from it, and nothing else.
    pub(super) fn learn_text(&mut self, event: &[u8], text: Option<&str>) {
        if self.misses < MISSES_MAX
            && let Some(text) = text
        {
            self.learn_place(event, text.as_bytes());
        }
    }

    fn learn_place(&mut self, event: &[u8], text: &[u8]) {
        // What is handed on stands on one line; a line end between JSON tokens would have to be replaced.
        if event.iter().copied().fold(u8::MAX, u8::min) < 0x20 {
            return;
        }
        let Some((start, end)) = place_of(text, event) else { return };
        self.before.clear();
        self.behind.clear();
        self.before.extend_from_slice(&event[..start]);
        self.behind.extend_from_slice(&event[end..]);
    }

    /// What the event says, if it is the learnt one with another text.
    pub(super) fn inside_of<'a>(&mut self, event: &'a [u8]) -> Option<Inside<'a>> {
        let known = self.known(event);
        self.misses = if known.is_some() { 0 } else { self.misses.saturating_add(1) };
        known
    }

    fn known<'a>(&self, event: &'a [u8]) -> Option<Inside<'a>> {
        if self.before.is_empty() {
            return None;
        }
        let rest = event.strip_prefix(self.before.as_slice())?;
        let written = rest.strip_suffix(self.behind.as_slice())?;
        inside(written)
    }
}

/// Where the inside of a JSON string stands in the event that it was borrowed from.
fn place_of(text: &[u8], event: &[u8]) -> Option<(usize, usize)> {
    let start = text.as_ptr().addr().checked_sub(event.as_ptr().addr())?;
    let end = start.checked_add(text.len())?;
    let before = start.checked_sub(1)?;
    let quoted = event.get(before) == Some(&b'"') && event.get(end) == Some(&b'"');
    (quoted && event.get(start..end) == Some(text)).then_some((start, end))
}

/// Whether these bytes can stand between the quotes of a JSON string.
fn inside(written: &[u8]) -> Option<Inside<'_>> {
    let mut rest = written;
    let mut plain = true;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = match byte {
            0..0x20 | b'"' => return None,
            b'\\' => {
                plain = false;
                match behind {
                    [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', rest @ ..] => rest,
                    [b'u', hex @ ..] if hex.len() >= 4 && hex[..4].iter().all(u8::is_ascii_hexdigit) => {
                        &hex[4..]
                    }
                    _ => return None,
                }
            }
            _ => behind,
        };
    }
    Some(Inside { written, plain })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const LEARNT: &str = r#"{"id":7,"choices":[{"index":0,"delta":{"content":" a"},"finish_reason":null}]}"#;

    fn with(text: &[u8]) -> Vec<u8> {
        let (before, behind) = LEARNT.split_once(" a").unwrap();
        [before.as_bytes(), text, behind.as_bytes()].concat()
    }

    fn taught(event: &str) -> Template {
        let mut template = Template::default();
        template.learn_unparsed(event.as_bytes());
        template
    }

    #[test]
    fn the_same_event_with_another_text_is_known() {
        let known = |text: &str| {
            let event = with(text.as_bytes());
            taught(LEARNT).inside_of(&event).map(|it| (it.written.to_vec(), it.plain))
        };
        for (text, plain) in [("", true), (" hi", true), ("日", true), (r"\n", false), (r"\u00e9x", false)] {
            assert_eq!(known(text), Some((text.as_bytes().to_vec(), plain)), "{text}");
        }
        for broken in
            ["\"", "\\", "\\x", r"\u12", r"\u12g4", "\n", "a\"},\"finish_reason\":\"stop\",\"x\":{\"y\":\""]
        {
            assert_eq!(known(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn another_event_is_not_known() {
        for (here, there) in [("7", "8"), ("null", "\"stop\""), ("]}", "],\"error\":{}}"), ("\" a\"", "null")]
        {
            let other = LEARNT.replace(here, there);
            assert_ne!(other, LEARNT);
            assert_eq!(taught(LEARNT).inside_of(other.as_bytes()), None, "{other}");
        }
        assert_eq!(taught(LEARNT).inside_of(b""), None);
        assert_eq!(Template::default().inside_of(LEARNT.as_bytes()), None);
    }

    #[test]
    fn nothing_is_learnt_of_an_event_that_says_more_than_a_text() {
        let more = |member: &str| LEARNT.replace("\"id\":7", member);
        for said in [
            LEARNT.replace("null", "\"stop\""),
            more(r#""usage":{"prompt_tokens":1}"#),
            more(r#""timings":{"predicted_ms":1.0}"#),
            more(r#""error":"no""#),
            LEARNT.replace("}]", "},{\"index\":1}]"),
            LEARNT.replace(" a", r"\n"),
            LEARNT.replace(",\"choices", ",\n\"choices"),
        ] {
            assert_eq!(taught(&said).inside_of(said.as_bytes()), None, "{said}");
        }
    }

    #[test]
    fn a_stream_of_another_kind_is_given_up() {
        let mut template = Template::default();
        for id in 0..=u32::from(MISSES_MAX) {
            let event = LEARNT.replace('7', &id.to_string());
            assert_eq!(template.inside_of(event.as_bytes()), None);
            template.learn_unparsed(event.as_bytes());
        }
        let event = LEARNT.replace('7', &MISSES_MAX.to_string());
        assert_eq!(template.inside_of(event.as_bytes()), None);
    }

    proptest! {
        /// What is known is JSON, and says what the parser reads.
        #[test]
        fn what_is_known_reads_as_the_parser_reads_it(
            text in prop::collection::vec(prop::sample::select(b" a\"\\u0nd8\n/,}\xC3\xA9".as_slice()), 0..10)
        ) {
            let event = with(&text);
            if taught(LEARNT).inside_of(&event).is_some() && std::str::from_utf8(&event).is_ok() {
                // The one thing that the parser of texts refuses beyond the grammar is half of a surrogate pair.
                if let Ok(read) = serde_json::from_slice::<Value>(&event) {
                    let mut expected: Value = serde_json::from_str(LEARNT).unwrap();
                    let said = serde_json::from_slice([b"\"", text.as_slice(), b"\""].concat().as_slice());
                    expected["choices"][0]["delta"]["content"] = said.unwrap();
                    prop_assert_eq!(read, expected);
                } else {
                    let lone = String::from_utf8_lossy(&text).to_lowercase().contains("\\ud");
                    prop_assert!(lone);
                }
            }
        }
    }
}

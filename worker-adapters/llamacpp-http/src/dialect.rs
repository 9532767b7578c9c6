//! Reading a stream's events.
//!
//! Nearly every event is one token in one fixed shape, so that shape is read by hand and its text is
//! copied as it stands. Whatever departs from the shape by a single byte goes to the JSON parser.

use adapter_api::{AdapterError, Finish, FinishReason, Usage};
use http_util::{ByteString, Dialect, TextSink, excerpt};
use memchr::memchr2;

use crate::{refusal::failure, wire::Chunk};

/// The state of one stream.
#[derive(Debug, Default)]
pub struct LlamaCppDialect {
    /// The engine's own count so far, which may only grow.
    predicted: u32,
}

impl Dialect for LlamaCppDialect {
    fn event(&mut self, data: &[u8], sink: &mut TextSink<'_>) -> Result<Option<Finish>, AdapterError> {
        if let Some((text, predicted)) = token(data) {
            self.count(predicted)?;
            sink.text(text);
            return Ok(None);
        }
        // An array prompt makes the engine send `null`; a compatible route ends with `[DONE]`.
        if data.first() != Some(&b'{') {
            return Ok(None);
        }
        let chunk = match std::str::from_utf8(data).ok().and_then(Chunk::scanned) {
            Some(chunk) => chunk,
            None => {
                serde_json::from_slice(data).map_err(|_json| protocol("an event is not JSON that fits"))?
            }
        };
        if let Some(error) = &chunk.error {
            return Err(failure(error));
        }
        if chunk.index != 0 {
            return Err(protocol("an event belongs to another answer"));
        }
        self.count(chunk.tokens_predicted)?;
        let ByteString(text) = &chunk.content;
        sink.text(text);
        Ok(chunk.stop.then(|| finish(&chunk)))
    }
}

impl LlamaCppDialect {
    // E17
    fn count(&mut self, predicted: u32) -> Result<(), AdapterError> {
        if predicted < self.predicted {
            return Err(protocol("its token count went backwards"));
        }
        self.predicted = predicted;
        Ok(())
    }
}

fn protocol(what: &str) -> AdapterError {
    AdapterError::Protocol { what: excerpt(what.as_bytes()) }
}

fn finish(chunk: &Chunk<'_>) -> Finish {
    let reason = match chunk.stop_type.as_deref() {
        Some("limit") => FinishReason::Length,
        // `eos`, `word`, and `none` for an empty prompt: the text is over by itself.
        _ => FinishReason::Stop,
    };
    let timings = chunk.timings.as_ref();
    let cached = chunk.cache_n.or(timings.and_then(|timings| timings.cache_n));
    Finish {
        reason,
        usage: Usage {
            prompt: chunk.tokens_evaluated,
            generated: chunk.tokens_predicted,
            cached: cached.and_then(|count| u32::try_from(count).ok()),
        },
        decode_ms: chunk.predicted_ms.or(timings.and_then(|timings| timings.predicted_ms)),
        invalid_utf8: false,
    }
}

/// Reads `{"index":0,"content":"…","tokens":[…],"stop":false,"id_slot":-1,"tokens_predicted":N,"tokens_evaluated":M}`
/// with a content that needs no unescaping. `None` for anything else, however little it differs.
fn token(data: &[u8]) -> Option<(&[u8], u32)> {
    let rest = data.strip_prefix(br#"{"index":0,"content":""#)?;
    let end = memchr2(b'"', b'\\', rest)?;
    let (text, rest) = rest.split_at(end);
    let rest = rest.strip_prefix(br#"","tokens":["#)?;
    let rest = numbers(rest)?.strip_prefix(br#"],"stop":false,"id_slot":-1,"tokens_predicted":"#)?;
    let (predicted, rest) = number(rest)?;
    let rest = rest.strip_prefix(br#","tokens_evaluated":"#)?;
    let (_, rest) = number(rest)?;
    // A raw control character is no JSON; what becomes of it is for the parser to say.
    (rest == b"}" && text.iter().all(|byte| *byte >= 0x20)).then_some((text, predicted))
}

/// What follows a list of numbers, which may be empty.
fn numbers(bytes: &[u8]) -> Option<&[u8]> {
    if bytes.first() == Some(&b']') {
        return Some(bytes);
    }
    let (_, mut rest) = number(bytes)?;
    while let Some(more) = rest.strip_prefix(b",") {
        (_, rest) = number(more)?;
    }
    Some(rest)
}

/// A decimal number as JSON writes it, and what follows it.
fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = bytes.split_at(digits);
    if number.len() > 1 && number[0] == b'0' {
        return None;
    }
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_takes_a_list_of_ids_only_as_json_writes_it() {
        let event = |ids: &str| {
            format!(
                r#"{{"index":0,"content":"a","tokens":[{ids}],"stop":false,"id_slot":-1,"tokens_predicted":1,"tokens_evaluated":2}}"#
            )
        };
        for good in ["", "7", "7,0,12"] {
            assert_eq!(token(event(good).as_bytes()), Some((b"a".as_slice(), 1)), "{good:?}");
        }
        for bad in [",", "7,", ",7", "7,,8", "07", "7 ", "-1", "x"] {
            assert_eq!(token(event(bad).as_bytes()), None, "{bad:?}");
        }
    }
}

//! An engine's bytes give the same events however the network cuts them, and those that the standard says.
#![no_main]

use http_util::{LINE_BYTES_MAX, LineTooLong, SseDecoder};
use libfuzzer_sys::fuzz_target;
use orchestratord_fuzz::{parts, seeded, stretched};

/// The most bytes of one input: twice what one line may have.
const BYTES_MAX: usize = 2 * LINE_BYTES_MAX;

fuzz_target!(|data: &[u8]| {
    let Some((seed, rest)) = seeded(data) else { return };
    // Few inputs are long, for those take a thousand times as long.
    let body = if seed >> 24 == 0xFF { stretched(rest, BYTES_MAX) } else { rest.to_vec() };
    let whole = decoded([body.as_slice()]);
    assert_eq!(whole, decoded(parts(seed, &body)), "the cuts changed what was said");
    assert_eq!(whole, by_the_book(&body), "not what the standard says");
});

/// The events, and whether it came to the end of the bytes.
type Told = (Vec<Vec<u8>>, Result<(), LineTooLong>);

fn decoded<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Told {
    let (mut decoder, mut events) = (SseDecoder::default(), Vec::new());
    for part in parts {
        let taken = decoder.push(part, |data| {
            assert!(data.len() <= LINE_BYTES_MAX, "an event is longer than it may be");
            events.push(data.to_vec());
            Ok::<_, LineTooLong>(())
        });
        if taken.is_err() {
            return (events, taken);
        }
    }
    (events, Ok(()))
}

/// The same by the words of the HTML standard, with the whole text at hand.
fn by_the_book(body: &[u8]) -> Told {
    let (mut events, mut data, mut rest): Told2<'_> = (Vec::new(), None, body);
    let mut first = true;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let mut line = &rest[..end.unwrap_or(rest.len())];
        if line.len() > LINE_BYTES_MAX {
            return (events, Err(LineTooLong));
        }
        // What has no line end yet says nothing yet.
        let Some(end) = end else { break };
        rest = if rest[end..].starts_with(b"\r\n") { &rest[end + 2..] } else { &rest[end + 1..] };
        if std::mem::take(&mut first) {
            line = line.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            events.extend(data.take());
            continue;
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, [].as_slice()),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        if field == b"data" {
            data = Some(match data.take() {
                None => value.to_vec(),
                Some(before) => [&before, b"\n".as_slice(), value].concat(),
            });
            if data.as_ref().is_some_and(|data| data.len() > LINE_BYTES_MAX) {
                return (events, Err(LineTooLong));
            }
        }
    }
    (events, Ok(()))
}

/// Events, the data of the next one, and what is left to read.
type Told2<'a> = (Vec<Vec<u8>>, Option<Vec<u8>>, &'a [u8]);

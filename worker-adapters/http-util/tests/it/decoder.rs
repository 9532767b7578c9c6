//! The decoder against a second one, which is slow, holds everything, and is plain to read.

use http_util::{LINE_BYTES_MAX, LineTooLong, SseDecoder};
use proptest::prelude::*;

/// The events of a whole body, word by word after the HTML standard's section on parsing a stream.
fn slow(body: &[u8]) -> Vec<Vec<u8>> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let (mut lines, mut line, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(&byte) = body.get(at) {
        at += 1;
        match byte {
            b'\n' => lines.push(std::mem::take(&mut line)),
            b'\r' => {
                at += usize::from(body.get(at) == Some(&b'\n'));
                lines.push(std::mem::take(&mut line));
            }
            other => line.push(other),
        }
    }
    // A line without its end is no line yet, so what is left in `line` is dropped.
    let (mut events, mut data): (Vec<Vec<u8>>, Option<Vec<u8>>) = (Vec::new(), None);
    for line in lines {
        if line.is_empty() {
            events.extend(data.take());
            continue;
        }
        let colon = line.iter().position(|&byte| byte == b':');
        let (field, value) =
            colon.map_or((line.as_slice(), [].as_slice()), |at| (&line[..at], &line[at + 1..]));
        if field == b"data" {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match &mut data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => data = Some(value.to_vec()),
            }
        }
    }
    events
}

fn decode<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Vec<u8>>, LineTooLong> {
    let (mut decoder, mut events) = (SseDecoder::default(), Vec::new());
    for part in parts {
        decoder.push(part, |data| {
            events.push(data.to_vec());
            Ok::<_, LineTooLong>(())
        })?;
    }
    Ok(events)
}

/// Pieces of which nearly any sequence is a stream with something to get wrong.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"data".to_vec()),
        Just(b"data:".to_vec()),
        Just(b"data: ".to_vec()),
        Just(b"data: x\n\n".to_vec()),
        Just(b"event: x".to_vec()),
        Just(b":".to_vec()),
        Just(b" ".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n\n".to_vec()),
        Just(b"\xEF\xBB\xBF".to_vec()),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn both_decoders_find_the_same_events_however_the_body_is_cut(
        body in body(),
        sizes in prop::collection::vec(1_usize..9, 1..8),
    ) {
        let wanted = slow(&body);
        prop_assert_eq!(&decode([body.as_slice()]).unwrap(), &wanted);
        let (mut parts, mut rest) = (Vec::new(), body.as_slice());
        for &size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (part, more) = rest.split_at(size.min(rest.len()));
            parts.push(part);
            rest = more;
        }
        prop_assert_eq!(&decode(parts).unwrap(), &wanted);
    }
}

// E13
#[test]
fn the_cap_holds_in_whatever_way_a_line_grows() {
    let far_too_long = [b"data: ".as_slice(), &vec![b'x'; 10 * 1024 * 1024], b"\n\n"].concat();
    for size in [1_000, 64 * 1024, far_too_long.len()] {
        // A first event, since the very first line takes another way.
        let first = b"data: 1\n\n".as_slice();
        let parts = std::iter::once(first).chain(far_too_long.chunks(size));
        assert_eq!(decode(parts), Err(LineTooLong), "parts of {size}");
        assert_eq!(decode(far_too_long.chunks(size)), Err(LineTooLong), "parts of {size}, at once");
    }
}

// E13
#[test]
fn a_line_up_to_the_cap_is_taken_and_one_byte_more_is_not() {
    let line = |length: usize| [b"data: ".as_slice(), &vec![b'x'; length - 6], b"\n\n"].concat();
    for size in [4_096, usize::MAX] {
        let taken = decode([b"data: 1\n\n".as_slice()].into_iter().chain(line(LINE_BYTES_MAX).chunks(size)));
        assert_eq!(taken.unwrap()[1].len(), LINE_BYTES_MAX - 6);
        let refused =
            decode([b"data: 1\n\n".as_slice()].into_iter().chain(line(LINE_BYTES_MAX + 1).chunks(size)));
        assert_eq!(refused, Err(LineTooLong), "parts of {size}");
    }
}

//! An engine's answer is the same however the network cuts it, and a body in chunks is what the chunks hold.
#![no_main]

use http_util::recording::{Answered, answer};
use libfuzzer_sys::fuzz_target;
use orchestratord_fuzz::{parts, seeded};

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

fuzz_target!(|data: &[u8]| {
    let Some((seed, rest)) = seeded(data) else { return };
    check(seed, rest);
    // Most of what a fuzzer makes is no head, so the body has its own turn.
    let bytes = [CHUNKED, rest].concat();
    let whole = check(seed, &bytes);
    let expected = by_the_book(rest).map(|(body, behind)| Answered {
        status: 200,
        body,
        ended: true,
        behind: behind.to_vec(),
    });
    let ended = whole.filter(|answered| answered.ended);
    assert_eq!(ended, expected, "not what the standard says");
});

fn check(seed: u64, bytes: &[u8]) -> Option<Answered> {
    let whole = answer([bytes]);
    assert_eq!(whole, answer(parts(seed, bytes)), "the cuts changed what was read");
    whole
}

/// A whole body in chunks, and what is behind it, by the words of RFC 9112, with all of it at hand.
fn by_the_book(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (mut body, mut ignored) = (Vec::new(), 0);
    loop {
        let (line, behind) = line(rest)?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (digits, extension) = line.split_at(digits);
        let size = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if digits.len() > 16 || !matches!(extension.first(), None | Some(b' ' | b'\t' | b';')) {
            return None;
        }
        ignored += extension.len().saturating_sub(1);
        if size == 0 {
            rest = behind;
            break;
        }
        let size = usize::try_from(size).ok()?;
        body.extend_from_slice(behind.get(..size)?);
        rest = behind.get(size..)?.strip_prefix(b"\r\n".as_slice())?;
    }
    loop {
        let (line, behind) = line(rest)?;
        rest = behind;
        ignored += line.len();
        if line.is_empty() {
            return (ignored <= 16 * 1024).then_some((body, rest));
        }
    }
}

/// What is before the first line end, which is CRLF, and what is behind it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    let behind = bytes[end..].strip_prefix(b"\r\n".as_slice())?;
    Some((&bytes[..end], behind))
}

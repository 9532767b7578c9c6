//! Server-sent events as bytes: encoded once, decoded only when a job's whole text is asked for.
//!
//! A token is written by hand, since it is written more often than everything else together. Only
//! integers, names from our own source and JSON ever enter a frame, so no text can break out of it.

use std::borrow::Cow;

use adapter_api::Piece;
use serde::{Deserialize, de::DeserializeOwned};

/// What a token has beside its text as an event of its own, and as data; about that much.
pub(crate) const TOKEN_FRAMING_BYTES: usize = 48;
pub(crate) const DATA_FRAMING_BYTES: usize = 8;
/// What an event has beside its name and its data, at most.
const FRAMING_BYTES: usize = 40;
const TOKEN_OPEN: &[u8] = b"\nevent: token\ndata: {\"t\":\"";

/// Appends `id`, `event` and `data`, where `data` is JSON on one line.
pub(crate) fn push_event(out: &mut Vec<u8>, seq: u32, event: &str, data: &[u8]) {
    debug_assert!(!data.contains(&b'\n'), "event data must stand on one line");
    out.reserve(data.len() + event.len() + FRAMING_BYTES);
    push_id(out, seq);
    out.extend_from_slice(b"\nevent: ");
    out.extend_from_slice(event.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

/// Appends a token: `{"t": text, "i": index}`.
pub(crate) fn push_token(out: &mut Vec<u8>, seq: u32, index: u32, piece: Piece<'_>) {
    push_id(out, seq);
    out.extend_from_slice(TOKEN_OPEN);
    if piece.plain {
        out.extend_from_slice(piece.text.as_bytes());
    } else {
        push_escaped(out, piece.text);
    }
    out.extend_from_slice(b"\",\"i\":");
    out.extend_from_slice(itoa::Buffer::new().format(index).as_bytes());
    out.extend_from_slice(b"}\n\n");
}

/// Appends data that stands on one line, without a name and without an id.
pub(crate) fn push_data(out: &mut Vec<u8>, data: &[u8]) {
    debug_assert!(!data.contains(&b'\n'), "event data must stand on one line");
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

fn push_id(out: &mut Vec<u8>, seq: u32) {
    out.extend_from_slice(b"id: ");
    out.extend_from_slice(itoa::Buffer::new().format(seq).as_bytes());
}

/// Appends `text` as the inside of a JSON string.
fn push_escaped(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in text.as_bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
}

/// The concatenated token texts in a run of whole frames.
pub(crate) fn decode_text(frames: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Token<'a> {
        #[serde(borrow)]
        t: Cow<'a, str>,
    }
    let mut text = String::new();
    let mut lines = frames.split(|&byte| byte == b'\n');
    while let Some(line) = lines.next() {
        if line == b"event: token"
            && let Some(data) = lines.next().and_then(|line| line.strip_prefix(b"data: ".as_slice()))
            && let Ok(token) = serde_json::from_slice::<Token<'_>>(data)
        {
            text.push_str(&token.t);
        }
    }
    text
}

/// The data of the last event in a run of whole frames, if it fits.
pub(crate) fn decode_last<T: DeserializeOwned>(frames: &[u8]) -> Option<T> {
    let mut lines = frames.rsplit(|&byte| byte == b'\n');
    let data = lines.find_map(|line| line.strip_prefix(b"data: ".as_slice()))?;
    serde_json::from_slice(data).ok()
}

#[cfg(test)]
mod tests {
    use adapter_api::TokenBatch;

    use super::*;

    fn frames(texts: &[&str]) -> Vec<u8> {
        let (mut out, mut batch) = (Vec::new(), TokenBatch::new());
        for text in texts {
            batch.push(text);
        }
        for (index, piece) in (0..).zip(batch.pieces()) {
            push_token(&mut out, index + 1, index, piece);
        }
        out
    }

    #[test]
    fn a_token_frame_reads_like_this() {
        let out = String::from_utf8(frames(&[" one", "\"\n"])).unwrap();
        let expected = "id: 1\nevent: token\ndata: {\"t\":\" one\",\"i\":0}\n\n\
            id: 2\nevent: token\ndata: {\"t\":\"\\\"\\n\",\"i\":1}\n\n";
        assert_eq!(out, expected);
    }

    // E15, E16
    #[test]
    fn every_character_survives_and_no_frame_is_broken_by_one() {
        let mut texts: Vec<String> = (0..=0x2100).filter_map(char::from_u32).map(String::from).collect();
        texts.extend(["a\r\nb", "\u{2028}\u{2029}", "😀", "id: 9\nevent: end\n\n", "\0"].map(str::to_owned));
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let out = frames(&texts);
        assert_eq!(decode_text(&out), texts.concat());
        let lines = out.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"event: "));
        assert_eq!(lines.count(), texts.len());
        assert!(!out.contains(&b'\r'));
    }
}

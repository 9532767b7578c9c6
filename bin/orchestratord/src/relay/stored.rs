//! A log as it was kept, and as it comes back.

use bytes::Bytes;
use thiserror::Error;

use super::ids::IDS_PER_LIFE;

/// Frames of a log that stand behind each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// The id of the first event.
    pub(crate) first_id: u32,
    /// How many events they are.
    pub(crate) events: u32,
    pub(crate) frames: Bytes,
}

/// What was kept is not the log that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the stream that was kept has a hole behind event {0}")]
pub(crate) struct Hole(pub(crate) u32);

/// An event of a part.
pub(super) struct Event<'a> {
    pub(super) id: u32,
    pub(super) frame: &'a [u8],
    pub(super) kind: Kind,
}

/// As far as a log must know its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Token,
    /// The text begins anew behind it.
    Restart,
    Other,
}

/// The events of all parts, in their order. Between two lives ids may be missing, within one they may not.
pub(super) fn events(parts: &[Part]) -> Result<Vec<Event<'_>>, Hole> {
    let (mut events, mut next) = (Vec::new(), 0);
    for part in parts {
        if part.first_id != next && (part.first_id % IDS_PER_LIFE != 0 || part.first_id < next) {
            return Err(Hole(next));
        }
        next = part.first_id;
        let mut rest = &part.frames[..];
        for _ in 0..part.events {
            let length = end_of_frame(rest).ok_or(Hole(next))?;
            let (frame, behind) = rest.split_at(length);
            let id = id_of(frame).filter(|id| *id == next).ok_or(Hole(next))?;
            events.push(Event { id, frame, kind: kind_of(frame) });
            (next, rest) = (next + 1, behind);
        }
        if !rest.is_empty() {
            return Err(Hole(next));
        }
    }
    Ok(events)
}

/// Frames hold no empty line but the one at their end.
fn end_of_frame(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == b"\n\n").map(|at| at + 2)
}

fn id_of(frame: &[u8]) -> Option<u32> {
    let line = frame.strip_prefix(b"id: ")?.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line).ok()?.parse().ok()
}

fn kind_of(frame: &[u8]) -> Kind {
    let name = frame.split(|byte| *byte == b'\n').nth(1);
    match name {
        Some(b"event: token") => Kind::Token,
        Some(b"event: started") if has_discard(frame) => Kind::Restart,
        _ => Kind::Other,
    }
}

fn has_discard(frame: &[u8]) -> bool {
    let name = br#""discard_before_id":"#;
    frame.windows(name.len()).any(|window| window == name)
}

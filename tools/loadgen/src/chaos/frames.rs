//! Events as their readers get them: the exact bytes, and as much of their meaning as is checked.

use anyhow::{Context, Result, ensure};
use memchr::memmem;
use serde_json::Value;

/// No event that we expect is longer.
const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// One event, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) id: u32,
    pub(crate) bytes: Box<[u8]>,
}

impl Frame {
    /// Reads `id`, `event` and `data`, which stand on a line each.
    fn of(bytes: &[u8]) -> Result<Self> {
        let shown = || format!("this is no event: {:?}", String::from_utf8_lossy(bytes));
        let text = str::from_utf8(bytes).with_context(shown)?;
        let mut lines = text.lines();
        let id = lines.next().and_then(|line| line.strip_prefix("id: ")?.parse().ok());
        let frame = Self { id: id.with_context(shown)?, bytes: bytes.into() };
        ensure!(lines.next().is_some_and(|line| line.starts_with("event: ")), shown());
        ensure!(lines.next().is_some_and(|line| line.starts_with("data: ")), shown());
        Ok(frame)
    }

    /// What the event is called.
    pub(crate) fn name(&self) -> &str {
        self.line("event: ")
    }

    pub(crate) fn data(&self) -> Value {
        serde_json::from_str(self.line("data: ")).unwrap_or_default()
    }

    /// Whether nothing may come behind it.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self.name(), "end" | "error")
    }

    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.bytes).trim_end().replace('\n', " | ")
    }

    fn line(&self, prefix: &str) -> &str {
        let text = str::from_utf8(&self.bytes).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix(prefix)).unwrap_or_default()
    }
}

/// Cuts a body into events, wherever the network cut it.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    begun: Vec<u8>,
}

impl Frames {
    /// The events that end in `data`. Comments are left out.
    pub(crate) fn push(&mut self, data: &[u8]) -> Result<Vec<Frame>> {
        self.begun.extend_from_slice(data);
        let (mut frames, mut start) = (Vec::new(), 0);
        while let Some(length) = memmem::find(&self.begun[start..], b"\n\n") {
            let bytes = &self.begun[start..start + length + 2];
            if !bytes.starts_with(b":") {
                frames.push(Frame::of(bytes)?);
            }
            start += length + 2;
        }
        self.begun.drain(..start);
        ensure!(self.begun.len() <= FRAME_BYTES_MAX, "an event does not end");
        Ok(frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_cut_at_any_place_gives_the_same_events() {
        let stream = b": ping\n\nid: 0\nevent: started\ndata: {\"a\":1}\n\nid: 7\nevent: end\ndata: {}\n\n";
        for cut in 0..=stream.len() {
            let mut frames = Frames::default();
            let mut all = frames.push(&stream[..cut]).unwrap();
            all.extend(frames.push(&stream[cut..]).unwrap());
            let ids: Vec<_> = all.iter().map(|frame| (frame.id, frame.name(), frame.is_terminal())).collect();
            assert_eq!(ids, [(0, "started", false), (7, "end", true)], "cut {cut}");
            assert_eq!(all[0].data()["a"], 1);
        }
    }

    #[test]
    fn what_is_no_event_is_an_error() {
        for broken in ["id: x\nevent: end\ndata: {}\n\n", "event: end\ndata: {}\n\n", "id: 1\ndata: {}\n\n"] {
            Frames::default().push(broken.as_bytes()).unwrap_err();
        }
    }
}

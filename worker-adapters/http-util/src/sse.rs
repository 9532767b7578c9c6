//! Cutting a byte stream into server-sent events, wherever the network cut it before.
//!
//! By the HTML standard's rules for `text/event-stream`: lines end in LF, CR or CRLF, an empty line
//! ends an event, several `data` lines are joined by LF, lines that start with a colon are comments.
//! Only `data` is kept, since no engine gives meaning to the other fields.
//! An event that lies whole in one chunk is handed on without being copied.

use memchr::memchr2;
use thiserror::Error;

/// The longest line, and the most data of one event, that is taken from an engine.
pub const LINE_BYTES_MAX: usize = 256 * 1024;

/// The stream cannot be followed any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a line or an event is longer than {LINE_BYTES_MAX} bytes")]
pub struct LineTooLong;

/// An incremental decoder. Its memory is bounded by [`LINE_BYTES_MAX`] twice.
#[derive(Debug, Default)]
pub struct SseDecoder {
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// The data of an event whose end has not come yet.
    data: Vec<u8>,
    state: State,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    flags: u8,
}

/// The event so far has a `data` line, perhaps an empty one.
const HAS_DATA: u8 = 1;
/// The last line ended in CR, so an LF that comes first belongs to it.
const AFTER_CR: u8 = 2;
/// The byte order mark has been looked for.
const STARTED: u8 = 4;

impl State {
    fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
    fn set(&mut self, flag: u8) {
        self.flags |= flag;
    }
    fn take(&mut self, flag: u8) -> bool {
        let had = self.has(flag);
        self.flags &= !flag;
        had
    }
}

impl SseDecoder {
    /// Takes the next bytes and calls `event` with the data of each event that they complete.
    pub fn push<E: From<LineTooLong>>(
        &mut self,
        chunk: &[u8],
        mut event: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = chunk;
        while !rest.is_empty() {
            if self.state.take(AFTER_CR) && rest[0] == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', rest) else {
                return self.hold(rest).map_err(E::from);
            };
            let (line, ended_by) = (&rest[..end], rest[end]);
            rest = &rest[end + 1..];
            if ended_by == b'\r' {
                self.state.set(AFTER_CR);
            }
            if self.line.is_empty() {
                // The common case: one whole data line, and the empty line right behind it.
                if ended_by == b'\n' && rest.first() == Some(&b'\n') && self.is_lone_data(line)? {
                    rest = &rest[1..];
                    event(data_of(line).unwrap_or_default())?;
                    continue;
                }
                self.take_line(line, &mut event)?;
            } else {
                self.hold(line)?;
                let whole = std::mem::take(&mut self.line);
                self.take_line(&whole, &mut event)?;
                self.line = whole;
                self.line.clear();
            }
        }
        Ok(())
    }

    fn is_lone_data(&self, line: &[u8]) -> Result<bool, LineTooLong> {
        if line.len() > LINE_BYTES_MAX {
            return Err(LineTooLong);
        }
        Ok(self.state.has(STARTED) && !self.state.has(HAS_DATA) && data_of(line).is_some())
    }

    fn hold(&mut self, part: &[u8]) -> Result<(), LineTooLong> {
        if self.line.len() + part.len() > LINE_BYTES_MAX {
            return Err(LineTooLong);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn take_line<E: From<LineTooLong>>(
        &mut self,
        line: &[u8],
        event: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        // Of no kind: what is refused must not depend on whether it came in one chunk.
        if line.len() > LINE_BYTES_MAX {
            return Err(LineTooLong.into());
        }
        let first = !self.state.has(STARTED);
        self.state.set(STARTED);
        let line = if first { line.strip_prefix(b"\xEF\xBB\xBF".as_slice()).unwrap_or(line) } else { line };
        if line.is_empty() {
            if self.state.take(HAS_DATA) {
                let result = event(&self.data);
                self.data.clear();
                return result;
            }
            return Ok(());
        }
        if let Some(data) = data_of(line) {
            if self.data.len() + data.len() >= LINE_BYTES_MAX {
                return Err(LineTooLong.into());
            }
            if self.state.has(HAS_DATA) {
                self.data.push(b'\n');
            }
            self.state.set(HAS_DATA);
            self.data.extend_from_slice(data);
        }
        Ok(())
    }
}

/// The value of a `data` line: with its one leading space removed.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    let value = line.strip_prefix(b"data".as_slice())?;
    if value.is_empty() {
        return Some(value);
    }
    let value = value.strip_prefix(b":".as_slice())?;
    Some(value.strip_prefix(b" ".as_slice()).unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `parts` one after the other.
    fn decode(parts: &[&[u8]]) -> Result<Vec<String>, LineTooLong> {
        let (mut decoder, mut events) = (SseDecoder::default(), Vec::new());
        for part in parts {
            decoder.push(part, |data| {
                events.push(String::from_utf8_lossy(data).into_owned());
                Ok::<_, LineTooLong>(())
            })?;
        }
        Ok(events)
    }

    const TRICKY: &str = "\u{FEFF}data: one\n\n: comment\n\ndata:two\r\n\r\nevent: x\nid: 7\ndata: a\ndata:  b\n\n\
        data\n\ndatax: no\n\ndata: é日\r\rretry: 5\n\n\ndata: last\n\ndata: unfinished";

    #[test]
    fn events_are_cut_by_the_standards_rules() {
        let events = decode(&[TRICKY.as_bytes()]).unwrap();
        assert_eq!(events, ["one", "two", "a\n b", "", "é日", "last"]);
    }

    #[test]
    fn chunk_borders_do_not_matter() {
        let whole = decode(&[TRICKY.as_bytes()]).unwrap();
        let bytes = TRICKY.as_bytes();
        for size in 1..bytes.len() {
            let parts: Vec<_> = bytes.chunks(size).collect();
            assert_eq!(decode(&parts).unwrap(), whole, "chunks of {size}");
        }
        for at in 0..bytes.len() {
            assert_eq!(decode(&[&bytes[..at], &bytes[at..]]).unwrap(), whole, "cut at {at}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused_at_the_cap() {
        let mut decoder = SseDecoder::default();
        let part = vec![b'x'; 64 * 1024];
        let mut pushed = 0;
        let refused = (0..100).any(|_| {
            pushed += part.len();
            decoder.push(&part, |_| Ok::<_, LineTooLong>(())).is_err()
        });
        assert!(refused);
        assert!(pushed <= LINE_BYTES_MAX + part.len());
        assert!(decoder.line.len() <= LINE_BYTES_MAX);
    }

    #[test]
    fn a_line_that_is_too_long_is_refused_in_one_chunk_as_in_several() {
        let comment = [b": ".as_slice(), &vec![b'x'; LINE_BYTES_MAX], b"\n\ndata: a\n\n"].concat();
        assert_eq!(decode(&[&comment]), Err(LineTooLong));
        let (left, right) = comment.split_at(LINE_BYTES_MAX / 2);
        assert_eq!(decode(&[left, right]), Err(LineTooLong));
    }

    #[test]
    fn an_event_of_endless_lines_is_refused_at_the_cap() {
        let line = [b"data: ".as_slice(), &[b'x'; 1_000], b"\n"].concat();
        let mut decoder = SseDecoder::default();
        let refused = (0..1_000).any(|_| decoder.push(&line, |_| Ok::<_, LineTooLong>(())).is_err());
        assert!(refused);
        assert!(decoder.data.len() <= LINE_BYTES_MAX);
    }
}

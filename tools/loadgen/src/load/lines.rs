//! Lines of an event stream, whole, wherever the network cut it.

use anyhow::{Result, ensure};
use memchr::memchr;

/// No event that we expect is longer; a server that never ends a line must not fill our memory.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Holds the beginning of a line until its end arrives.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    begun: Vec<u8>,
}

impl LineSplitter {
    /// Hands every line that ends in `data` to `each`, without its line feed.
    pub(crate) fn push(&mut self, data: &[u8], mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut rest = data;
        while let Some(end) = memchr(b'\n', rest) {
            if self.begun.is_empty() {
                each(&rest[..end])?;
            } else {
                self.begun.extend_from_slice(&rest[..end]);
                each(&self.begun)?;
                self.begun.clear();
            }
            rest = &rest[end + 1..];
        }
        ensure!(self.begun.len() + rest.len() <= LINE_BYTES_MAX, "a line of the stream does not end");
        self.begun.extend_from_slice(rest);
        Ok(())
    }
}

/// The number behind `key`, wherever in `line` that is.
pub(crate) fn number_after(line: &[u8], key: &[u8]) -> Option<u32> {
    number(&line[memchr::memmem::find(line, key)? + key.len()..])
}

/// The number that `text` begins with.
pub(crate) fn number(text: &[u8]) -> Option<u32> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let digit = |value: u32, &byte: &u8| value.checked_mul(10)?.checked_add(u32::from(byte - b'0'));
    text[..end].iter().try_fold(0, digit).filter(|_| end > 0)
}

/// A line in a message: cut short, and readable whatever it holds.
pub(crate) fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(&line[..line.len().min(300)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_cut_at_any_place_gives_the_same_lines() {
        let stream = b"id: 0\nevent: started\ndata: {}\n\n: ping\n\nid: 1\n";
        for cut in 0..=stream.len() {
            let (mut splitter, mut lines) = (LineSplitter::default(), Vec::new());
            for part in [&stream[..cut], &stream[cut..]] {
                let mut each = |line: &[u8]| {
                    lines.push(shown(line));
                    Ok(())
                };
                splitter.push(part, &mut each).unwrap();
            }
            assert_eq!(
                lines,
                ["id: 0", "event: started", "data: {}", "", ": ping", "", "id: 1"],
                "cut {cut}"
            );
        }
    }

    #[test]
    fn line_that_never_ends_is_an_error() {
        let mut splitter = LineSplitter::default();
        splitter.push(&vec![b'x'; LINE_BYTES_MAX], |_| Ok(())).unwrap();
        splitter.push(b"x", |_| Ok(())).unwrap_err();
    }

    #[test]
    fn numbers_are_read_up_to_what_is_no_digit() {
        assert_eq!(number_after(br#"{"t":" 7","i":412}"#, b"\"i\":"), Some(412));
        assert_eq!(number_after(br#"{"i":}"#, b"\"i\":"), None);
        assert_eq!(number_after(b"{}", b"\"i\":"), None);
        assert_eq!(number(b"4294967296"), None);
    }
}

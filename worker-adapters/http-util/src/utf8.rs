//! Joining characters that an engine cut in two.
//!
//! Some engines cut their text by bytes, so that one event ends inside a character and the next one
//! begins with the rest. The rest is awaited; what can never become a character is replaced.

use adapter_api::TokenBatch;

/// Holds the bytes of an unfinished character between two events.
#[derive(Debug, Default)]
pub struct Utf8Joiner {
    held: Vec<u8>,
    replaced: bool,
}

impl Utf8Joiner {
    /// Adds the next bytes of text; whole characters go on to `batch`.
    pub fn push(&mut self, bytes: &[u8], batch: &mut TokenBatch) {
        if self.held.is_empty()
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            batch.push(text);
            return;
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let mut text = String::with_capacity(all.len());
        let mut rest = all.as_slice();
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    break;
                }
                Err(error) => {
                    let (valid, tail) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    let Some(bad) = error.error_len() else {
                        self.held.extend_from_slice(tail);
                        break;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    self.replaced = true;
                    rest = &tail[bad..];
                }
            }
        }
        batch.push(&text);
    }

    /// Ends the text: a character that never got its rest is replaced.
    pub fn finish(&mut self, batch: &mut TokenBatch) {
        if !self.held.is_empty() {
            self.held.clear();
            self.replaced = true;
            batch.push("\u{FFFD}");
        }
    }

    /// Whether anything had to be replaced.
    pub fn has_replaced(&self) -> bool {
        self.replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(parts: &[&[u8]]) -> (String, bool) {
        let (mut joiner, mut batch) = (Utf8Joiner::default(), TokenBatch::new());
        for part in parts {
            joiner.push(part, &mut batch);
        }
        joiner.finish(&mut batch);
        (batch.pieces().map(|p| p.text).collect(), joiner.has_replaced())
    }

    #[test]
    fn a_character_cut_anywhere_arrives_whole() {
        let text = "aé日😀z";
        for at in 0..=text.len() {
            let (left, right) = text.as_bytes().split_at(at);
            assert_eq!(joined(&[left, right]), (text.to_owned(), false), "cut at {at}");
        }
        let bytes: Vec<_> = text.as_bytes().chunks(1).collect();
        assert_eq!(joined(&bytes), (text.to_owned(), false));
    }

    #[test]
    fn bytes_that_are_no_character_are_replaced_and_reported() {
        assert_eq!(joined(&[b"a\xFFb"]), ("a\u{FFFD}b".to_owned(), true));
        assert_eq!(joined(&[b"a\xE6\x97", b"b"]), ("a\u{FFFD}b".to_owned(), true));
        assert_eq!(joined(&[b"a\xE6\x97"]), ("a\u{FFFD}".to_owned(), true));
    }
}

//! A reusable buffer of text pieces, so that a token costs no allocation on its way through.
//!
//! An engine often has several tokens ready at once. They travel together: one buffer, one lock of
//! the job's log, one wake-up of its readers.

/// One piece of an answer, as the engine sent it: of its text, or of its JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The text; never empty.
    pub text: &'a str,
    /// True when the text reads the same inside a JSON string, so that it can be copied as it is.
    pub plain: bool,
}

/// Text pieces in order, in one buffer that is cleared and filled again.
#[derive(Debug, Default)]
pub struct TokenBatch {
    text: String,
    marks: Vec<Mark>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    end: usize,
    plain: bool,
}

impl TokenBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a piece. An empty one is dropped: engines send those for held-back characters.
    pub fn push(&mut self, text: &str) {
        self.add(text, |end| Mark { end, plain: is_plain(text.as_bytes()) });
    }

    /// Adds a piece that the caller knows to hold no quote, backslash or control character.
    pub fn push_plain(&mut self, text: &str) {
        debug_assert!(is_plain(text.as_bytes()), "a piece called plain would need escaping");
        self.add(text, |end| Mark { end, plain: true });
    }

    /// Adds a JSON document that stands on one line; it goes on as it is.
    pub fn push_document(&mut self, json: &str) {
        debug_assert!(!json.contains(['\n', '\r']), "a document stands on one line");
        self.add(json, |end| Mark { end, plain: false });
    }

    fn add(&mut self, text: &str, mark: impl FnOnce(usize) -> Mark) {
        if !text.is_empty() {
            self.text.push_str(text);
            self.marks.push(mark(self.text.len()));
        }
    }

    /// The pieces in the order in which they came.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let mut start = 0;
        self.marks.iter().map(move |mark| {
            let text = &self.text[start..mark.end];
            start = mark.end;
            Piece { text, plain: mark.plain }
        })
    }

    /// How many pieces there are.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// How many bytes of text there are.
    pub fn text_len(&self) -> usize {
        self.text.len()
    }

    /// Keeps the first `len` pieces.
    pub fn truncate(&mut self, len: usize) {
        self.marks.truncate(len);
        self.text.truncate(self.marks.last().map_or(0, |mark| mark.end));
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.marks.clear();
    }
}

/// Whether these bytes of UTF-8 need no escape inside a JSON string.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_in_order_with_their_need_of_escaping() {
        let mut batch = TokenBatch::new();
        batch.push(" one");
        batch.push("");
        batch.push("a\"b");
        batch.push("\n");
        batch.push_plain("日");
        let seen: Vec<_> = batch.pieces().map(|p| (p.text, p.plain)).collect();
        assert_eq!(seen, [(" one", true), ("a\"b", false), ("\n", false), ("日", true)]);
    }

    #[test]
    fn truncating_drops_text_and_marks_together() {
        let mut batch = TokenBatch::new();
        for text in ["ab", "cd", "ef"] {
            batch.push(text);
        }
        batch.truncate(1);
        batch.push("x");
        let seen: Vec<_> = batch.pieces().map(|p| p.text).collect();
        assert_eq!(seen, ["ab", "x"]);
        batch.truncate(0);
        assert!(batch.is_empty());
        assert_eq!(batch.text_len(), 0);
    }
}

//! Keeping stop texts out of an answer whose engine sends them.
//!
//! Some engines stream a stop text like any other token and say afterwards that it was one. What could
//! still become a stop text is held until that is known, and nothing is held any longer than that.

use crate::stream::TextSink;

/// Text on its way to a sink, without the stop text at its end.
#[derive(Debug, Default)]
pub struct HoldBack {
    stops: Vec<Vec<u8>>,
    held: Vec<u8>,
}

impl HoldBack {
    /// For an answer that these texts may end.
    pub fn new(stops: &[String]) -> Self {
        // An empty stop text stands everywhere, so it says nothing.
        let said = stops.iter().filter(|stop| !stop.is_empty());
        Self { stops: said.map(|stop| stop.clone().into_bytes()).collect(), held: Vec::new() }
    }

    /// The next bytes of text. What cannot be part of a stop text any more goes on.
    pub fn text(&mut self, bytes: &[u8], sink: &mut TextSink<'_>) {
        if self.stops.is_empty() {
            return sink.text(bytes);
        }
        self.held.extend_from_slice(bytes);
        let free = self.held.len() - self.open_end();
        if free > 0 {
            sink.text(&self.held[..free]);
            self.held.drain(..free);
        }
    }

    /// The answer is over for another reason: what is held was no stop text.
    pub fn release(&mut self, sink: &mut TextSink<'_>) {
        if !self.held.is_empty() {
            sink.text(&self.held);
            self.held.clear();
        }
    }

    /// A stop text ended the answer: what stands before it goes on, and the stop text is dropped.
    pub fn cut(&mut self, sink: &mut TextSink<'_>) {
        let whole = self.stops.iter().filter(|stop| self.held.ends_with(stop)).map(Vec::len).max();
        self.held.truncate(self.held.len() - whole.unwrap_or(0));
        self.release(sink);
    }

    /// How many bytes at the end may begin a stop text, or be one.
    fn open_end(&self) -> usize {
        let longest = self.stops.iter().map(Vec::len).max().unwrap_or(0);
        let lengths = (1..=longest.min(self.held.len())).rev();
        let begins = |end: &[u8]| self.stops.iter().any(|stop| stop.starts_with(end));
        lengths.into_iter().find(|length| begins(&self.held[self.held.len() - length..])).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use adapter_api::TokenBatch;

    use super::*;
    use crate::Utf8Joiner;

    /// What had passed before the end, and what had passed after it.
    fn said(stops: &[&str], texts: &[&str], end: fn(&mut HoldBack, &mut TextSink<'_>)) -> (String, String) {
        let stops: Vec<String> = stops.iter().map(|&stop| stop.to_owned()).collect();
        let (mut batch, mut joiner) = (TokenBatch::new(), Utf8Joiner::default());
        let mut hold = HoldBack::new(&stops);
        for text in texts {
            hold.text(text.as_bytes(), &mut TextSink::new(&mut batch, &mut joiner));
        }
        let before: String = batch.pieces().map(|piece| piece.text).collect();
        end(&mut hold, &mut TextSink::new(&mut batch, &mut joiner));
        joiner.finish(&mut batch);
        (before, batch.pieces().map(|piece| piece.text).collect())
    }

    fn pair(before: &str, after: &str) -> (String, String) {
        (before.to_owned(), after.to_owned())
    }

    #[test]
    fn a_stop_text_at_the_end_is_dropped_however_its_tokens_cut_it() {
        assert_eq!(said(&[" 4"], &[" 3", " 4"], HoldBack::cut), pair(" 3", " 3"));
        assert_eq!(said(&["END"], &["a", "E", "N", "D"], HoldBack::cut), pair("a", "a"));
        assert_eq!(said(&["END"], &["aEN", "D"], HoldBack::cut), pair("a", "a"));
        assert_eq!(said(&["é"], &["aé"], HoldBack::cut), pair("a", "a"));
        assert_eq!(said(&["b", "ab"], &["x", "a", "b"], HoldBack::cut), pair("x", "x"));
    }

    #[test]
    fn what_only_looked_like_a_stop_text_is_part_of_the_answer() {
        assert_eq!(said(&["END"], &["a", "E", "N", "x"], HoldBack::release), pair("aENx", "aENx"));
        assert_eq!(said(&["END"], &["a", "EN"], HoldBack::release), pair("a", "aEN"));
        assert_eq!(said(&["aab"], &["aaa", "b"], HoldBack::cut), pair("a", "a"));
        assert_eq!(said(&["END"], &["a", "EN"], HoldBack::cut), pair("a", "aEN"));
    }

    #[test]
    fn without_stop_texts_nothing_is_held() {
        assert_eq!(said(&[], &["a", "b"], HoldBack::cut), pair("ab", "ab"));
        assert_eq!(said(&[""], &["a", "b"], HoldBack::cut), pair("ab", "ab"));
    }
}

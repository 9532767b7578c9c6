//! One record, one line, also where people read it.
//!
//! The formatter for people lets through what ends a line or turns it around, and in some fields what steers a
//! terminal: a name with a line end in it would be read as a record that nobody made. Colours are left out, since
//! they could not be told from those that a name brings along.
//!
//! Invariant: of what is written at once, only the last character may end a line.

use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

/// Whether a reader or a terminal acts upon the character instead of showing it: controls, Unicode's own line ends,
/// and the marks that change the direction of text.
pub(crate) fn acts(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Writes what it is given at once as one line.
#[derive(Debug, Clone)]
pub(crate) struct OneLine<W>(pub(crate) W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for OneLine<W> {
    type Writer = OneLine<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLine(self.0.make_writer())
    }
}

impl<W: Write> Write for OneLine<W> {
    //= ORCH-3315
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let (record, end) = text.strip_suffix('\n').map_or((&*text, ""), |record| (record, "\n"));
        let mut line = String::with_capacity(text.len());
        for c in record.chars() {
            if acts(c) {
                line.extend(c.escape_default());
            } else {
                line.push(c);
            }
        }
        line.push_str(end);
        self.0.write_all(line.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing_subscriber::{fmt, layer::SubscriberExt, registry};

    use super::*;
    use crate::json::tests::{Page, hostile_strings};

    fn written(speak: impl FnOnce()) -> String {
        let page = Page(Arc::default());
        let layer = fmt::layer().compact().with_ansi(false).with_writer(OneLine(page.clone()));
        tracing::subscriber::with_default(registry().with(layer), speak);
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    //= ORCH-3315 type=test
    // X03
    #[test]
    fn whatever_a_field_holds_a_record_for_people_is_one_line() {
        for text in hostile_strings() {
            let page = written(|| {
                let _span = tracing::info_span!("request", pool_id = text.as_str()).entered();
                tracing::info!(shown = %text, said = text.as_str(), debugged = ?text, "{text}");
            });
            assert!(!page.strip_suffix('\n').unwrap().contains(acts), "{page:?}");
        }
    }

    #[test]
    fn what_is_harmless_is_shown_as_it_is() {
        let page = written(|| tracing::info!(name = "Zoë \u{1f600}", "naïve"));
        assert!(page.contains("naïve") && page.contains("Zoë \u{1f600}") && page.ends_with('\n'), "{page}");
    }
}

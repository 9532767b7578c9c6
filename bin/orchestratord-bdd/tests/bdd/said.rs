//! What a step says beside its phrase: the words that vary, a table, a text.

use cucumber::step::Context;

/// One step as it stands in its scenario.
#[derive(Debug)]
pub(crate) struct Said {
    words: Vec<String>,
    /// The rows below the step.
    pub(crate) rows: Vec<Vec<String>>,
    /// The text below the step.
    pub(crate) text: Option<String>,
}

impl From<Context> for Said {
    fn from(context: Context) -> Self {
        let words = context.matches.into_iter().skip(1).map(|(_, word)| word).collect();
        let rows = context.step.table.map(|table| table.rows).unwrap_or_default();
        let text = context.step.docstring.map(|text| text.trim_matches('\n').to_owned());
        Self { words, rows, text }
    }
}

impl Said {
    /// The word at this place of the phrase; empty when the phrase goes without it.
    pub(crate) fn word(&self, place: usize) -> &str {
        self.words.get(place).map_or("", String::as_str)
    }

    /// A number of the phrase.
    pub(crate) fn number(&self, place: usize) -> u64 {
        let word = self.word(place);
        word.parse().unwrap_or_else(|_| panic!("`{word}` is no number"))
    }

    /// The rows as pairs.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rows.iter().map(|row| match row.as_slice() {
            [name, value] => (name.as_str(), value.as_str()),
            _ => panic!("a row has two cells: {row:?}"),
        })
    }
}

//! The little YAML that is written here: one list of maps with texts and lists of texts.
//!
//! Nothing is read back, so no YAML library is needed. Each text is written as a JSON string, which YAML takes as a
//! double-quoted scalar: no colon, hash or `no` in it can be taken for something else.

use std::fmt::Write;

use anyhow::Result;

/// One entry of the list.
#[derive(Default)]
pub(crate) struct Entry {
    text: String,
}

impl Entry {
    /// Adds a text.
    pub(crate) fn field(&mut self, name: &str, value: &str) -> Result<()> {
        let value = serde_json::to_string(value)?;
        writeln!(self.text, "{}{name}: {value}", self.indent())?;
        Ok(())
    }

    /// Adds a list of texts.
    pub(crate) fn list<'a>(&mut self, name: &str, values: impl Iterator<Item = &'a str>) -> Result<()> {
        let mut values = values.peekable();
        let end = if values.peek().is_none() { " []" } else { "" };
        writeln!(self.text, "{}{name}:{end}", self.indent())?;
        for value in values {
            writeln!(self.text, "      - {}", serde_json::to_string(value)?)?;
        }
        Ok(())
    }

    fn indent(&self) -> &'static str {
        if self.text.is_empty() { "  - " } else { "    " }
    }
}

/// The document: a list under one name, below lines of comment.
pub(crate) fn document(comment: &[&str], name: &str, entries: &[Entry]) -> String {
    let comment: Vec<String> = comment.iter().map(|line| format!("# {line}\n")).collect();
    let comment = comment.concat();
    if entries.is_empty() {
        return format!("{comment}{name}: []\n");
    }
    let entries: String = entries.iter().map(|entry| entry.text.as_str()).collect();
    format!("{comment}{name}:\n{entries}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_a_list_of_maps_below_the_comment() {
        let mut one = Entry::default();
        one.field("id", "A-1").unwrap();
        one.list("by", ["x::y", "z"].into_iter()).unwrap();
        one.list("none", std::iter::empty()).unwrap();
        let mut two = Entry::default();
        two.field("id", "A-2").unwrap();
        let expected = "# Made.\nall:\n  - id: \"A-1\"\n    by:\n      - \"x::y\"\n      - \"z\"\n    none: []\n  - id: \"A-2\"\n";
        assert_eq!(document(&["Made."], "all", &[one, two]), expected);
        assert_eq!(document(&[], "all", &[]), "all: []\n");
    }

    #[test]
    fn whatever_means_something_in_yaml_is_quoted() {
        let mut entry = Entry::default();
        entry.field("a", "- no: `x` # \"y\" \\ {z} &é\t\n|").unwrap();
        assert_eq!(entry.text, "  - a: \"- no: `x` # \\\"y\\\" \\\\ {z} &é\\t\\n|\"\n");
    }
}

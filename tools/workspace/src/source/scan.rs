//! Finds items in masked code by words and brackets: functions, traits, structs, test items.

use std::ops::Range;

/// A named item with a body, by line numbers counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// What stands after the keyword.
    pub name: &'a str,
    /// The line with the keyword.
    pub line: usize,
    /// Its text from the keyword to the closing bracket.
    pub text: &'a str,
}

impl Item<'_> {
    /// Lines that hold code.
    pub fn length(&self) -> usize {
        self.text.lines().filter(|line| !line.trim().is_empty()).count()
    }

    /// What stands directly inside the item's own brackets, deeper brackets left out.
    pub fn surface(&self) -> String {
        let mut depth = 0_usize;
        let mut surface = String::new();
        for c in self.text.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ if depth == 1 || c == '\n' => surface.push(c),
                _ => {}
            }
        }
        surface
    }
}

/// Functions with a body, also nested ones and methods.
pub fn functions(code: &str) -> Vec<Item<'_>> {
    items(code, "fn")
}

/// Items with a body that begin with this keyword.
pub fn items<'a>(code: &'a str, keyword: &str) -> Vec<Item<'a>> {
    let mut found = Vec::new();
    for start in words(code, keyword) {
        let after = &code[start + keyword.len()..];
        let name = after.trim_start();
        let length = name.find(|c: char| !is_word_char(c)).unwrap_or(name.len());
        if length == 0 {
            continue; // A function pointer type, such as `fn(u8)`.
        }
        if let (Some(end), true) = item_end(code, start) {
            let line = code[..start].matches('\n').count() + 1;
            found.push(Item { name: &name[..length], line, text: &code[start..end] });
        }
    }
    found
}

/// Whether the word stands in the line, not as a part of a longer one.
pub fn has_word(line: &str, word: &str) -> bool {
    words(line, word).next().is_some()
}

/// Ranges of lines, counted from 0, of items that only tests compile.
pub(super) fn test_lines(code: &str) -> Vec<Range<usize>> {
    let line_of = |at: usize| code[..at].matches('\n').count();
    let mut ranges = Vec::new();
    for gate in ["#[cfg(test)]", "#[cfg(all(test,"] {
        for (start, _) in code.match_indices(gate) {
            let (end, _) = item_end(code, start);
            let end = end.unwrap_or(code.len());
            ranges.push(line_of(start)..line_of(end) + 1);
        }
    }
    ranges
}

/// Where the item that begins at `start` ends, and whether it has a body.
fn item_end(code: &str, start: usize) -> (Option<usize>, bool) {
    let (mut round, mut curly) = (0_usize, 0_usize);
    for (offset, c) in code[start..].char_indices() {
        let end = Some(start + offset + 1);
        match c {
            '(' | '[' => round += 1,
            ')' | ']' => round = round.saturating_sub(1),
            '{' => curly += 1,
            '}' => {
                curly = curly.saturating_sub(1);
                if curly == 0 && round == 0 {
                    return (end, true);
                }
            }
            ';' if round == 0 && curly == 0 => return (end, false),
            _ => {}
        }
    }
    (None, false)
}

fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = text[..*at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_word_char) && !after.is_some_and(is_word_char)
    })
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_with_their_lines_and_lengths() {
        let code = "fn a() {\n    if x { y(); }\n\n}\n\nimpl A {\n    fn b<const N: usize>(&self) -> [u8; 2] {\n    }\n}\n";
        let found: Vec<_> = functions(code).iter().map(|f| (f.name.to_owned(), f.line, f.length())).collect();
        assert_eq!(found, [("a".to_owned(), 1, 3), ("b".to_owned(), 7, 2)]);
    }

    #[test]
    fn declarations_and_pointer_types_are_not_functions() {
        let code = "trait T { fn a(&self, f: fn(u8) -> u8); }\nstatic F: fn() = g;\n";
        assert!(functions(code).is_empty());
    }

    #[test]
    fn surface_of_a_trait_leaves_out_the_bodies() {
        let code = "trait T {\n    fn a(&self);\n    fn b(&self) { fn c() {} }\n}\n";
        let surface = items(code, "trait")[0].surface();
        assert_eq!(words(&surface, "fn").count(), 2);
    }

    #[test]
    fn word_inside_a_longer_word_does_not_count() {
        assert!(has_word("use http::StatusCode;", "StatusCode"));
        assert!(!has_word("let my_StatusCodes = 1;", "StatusCode"));
    }
}

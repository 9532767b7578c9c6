//! The item that a comment speaks of: the one below it, else the one around it.

use tools_workspace::source::items;

/// What stands below a line: attributes, then code.
pub(crate) struct Below<'a> {
    /// Each as it stands, from `#[` to `]`.
    pub(crate) attributes: Vec<&'a str>,
    rest: &'a str,
}

impl<'a> Below<'a> {
    /// Looks at what follows the line with this number, counted from 1, in code without comments.
    pub(crate) fn line(code: &'a str, line: usize) -> Self {
        let mut rest = code.split_inclusive('\n').take(line).map(str::len).sum::<usize>();
        let mut attributes = Vec::new();
        loop {
            let left = code[rest..].trim_start();
            rest = code.len() - left.len();
            match attribute_length(left) {
                Some(length) => attributes.push(&left[..length]),
                None => return Self { attributes, rest: left },
            }
            rest += attributes.last().map_or(0, |one| one.len());
        }
    }

    /// The item that is declared there, if one is.
    pub(crate) fn item(&self) -> Option<Declared<'a>> {
        let mut rest = self.rest;
        loop {
            let (word, after) = first_word(rest)?;
            let next = first_word(after).map(|(next, _)| next);
            match word {
                "pub" => rest = after_brackets(after),
                "async" | "unsafe" => rest = after,
                "const" if matches!(next, Some("fn" | "async" | "unsafe")) => rest = after,
                "fn" | "struct" | "enum" | "trait" | "const" | "static" | "mod" | "type" => {
                    return Some(Declared { keyword: word, name: next? });
                }
                "impl" => {
                    let head = rest.split(['{', ';']).next().unwrap_or(rest);
                    return Some(Declared { keyword: word, name: head.trim() });
                }
                _ => return None,
            }
        }
    }
}

/// An item by its keyword.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Declared<'a> {
    pub(crate) keyword: &'a str,
    pub(crate) name: &'a str,
}

/// The innermost item with a body around the line with this number, counted from 1.
pub(crate) fn around(code: &str, line: usize) -> Option<&str> {
    let kinds = ["fn", "struct", "enum", "trait", "mod"];
    let all = kinds.iter().flat_map(|kind| items(code, kind));
    let holding = all.filter(|item| {
        let last = item.line + item.text.matches('\n').count();
        (item.line..=last).contains(&line)
    });
    holding.max_by_key(|item| item.line).map(|item| item.name)
}

fn attribute_length(code: &str) -> Option<usize> {
    if !code.starts_with("#[") {
        return None;
    }
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '[' => depth += 1,
            ']' if depth == 1 => return Some(at + 1),
            ']' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn first_word(code: &str) -> Option<(&str, &str)> {
    let code = code.trim_start();
    let length = code.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(code.len());
    (length > 0).then(|| code.split_at(length))
}

/// Leaves out the brackets of `pub(crate)`.
fn after_brackets(code: &str) -> &str {
    match code.strip_prefix('(').and_then(|inside| inside.split_once(')')) {
        Some((_, rest)) => rest,
        None => code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(code: &str) -> Option<(&str, &str)> {
        Below::line(code, 0).item().map(|item| (item.keyword, item.name))
    }

    #[test]
    fn the_item_below_is_found_behind_attributes_and_visibility() {
        assert_eq!(below("\n\n  #[a(b = [1])]\n#[c]\npub(in a::b) async fn d() {}"), Some(("fn", "d")));
        assert_eq!(below("pub const fn a() {}"), Some(("fn", "a")));
        assert_eq!(below("pub(crate) const A: u8 = 1;"), Some(("const", "A")));
        assert_eq!(below("impl<T> A for B<T> {\n}"), Some(("impl", "impl<T> A for B<T>")));
    }

    #[test]
    fn attributes_are_kept_as_they_stand() {
        let found = Below::line("x\n#[tokio::test(flavor = \"~\")]\n#[b] fn c() {}", 1);
        assert_eq!(found.attributes, ["#[tokio::test(flavor = \"~\")]", "#[b]"]);
    }

    #[test]
    fn a_statement_or_the_end_of_a_block_declares_nothing() {
        assert_eq!(below("let a = 1;"), None);
        assert_eq!(below("constant()"), None);
        assert_eq!(below("}\nfn a() {}"), None);
        assert_eq!(below(""), None);
    }

    #[test]
    fn the_innermost_item_around_a_line_is_named() {
        let code =
            "mod m {\n    fn a() {\n        x();\n    }\n    struct S {\n        f: u8,\n    }\n}\nlet x;\n";
        assert_eq!(around(code, 3), Some("a"));
        assert_eq!(around(code, 6), Some("S"));
        assert_eq!(around(code, 8), Some("m"));
        assert_eq!(around(code, 9), None);
    }
}

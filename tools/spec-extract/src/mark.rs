//! The comments that tie sources to requirements: `//= ORCH-3004`, and `//= ORCH-3004 type=test` above a test.

use std::path::Path;

use tools_workspace::source::SourceFile;

use crate::{
    item::{self, Below},
    requirement::is_id,
};

/// What a comment says of the code below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Implements,
    Tests,
}

/// One comment with an id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    /// `file::item`, or the file where no item holds the comment: it stays when lines move.
    pub(crate) place: String,
    /// `file:line`, for messages only.
    pub(crate) line: String,
}

/// The comments of one file; what is wrong with one comes as a line.
pub(crate) fn read(file: &SourceFile) -> (Vec<Mark>, Vec<String>) {
    let (mut marks, mut problems) = (Vec::new(), Vec::new());
    for (index, comment) in file.comments.lines().enumerate() {
        let Some(content) = comment.trim().strip_prefix("//=") else { continue };
        match mark(file, index + 1, content) {
            Ok(mark) => marks.push(mark),
            Err(what) => problems.push(format!("{}:{}: {what}", shown(&file.path), index + 1)),
        }
    }
    (marks, problems)
}

fn mark(file: &SourceFile, line: usize, content: &str) -> Result<Mark, String> {
    let words: Vec<&str> = content.split_whitespace().collect();
    let (id, kind) = match words.as_slice() {
        [id] => (*id, Kind::Implements),
        [id, "type=test"] => (*id, Kind::Tests),
        _ => return Err(format!("`//={content}` is neither `//= ID` nor `//= ID type=test`")),
    };
    if !is_id(id) {
        return Err(format!("`{id}` is no id; one looks like `ORCH-3004`"));
    }
    let code = &file.code_with_tests;
    let below = Below::line(code, line);
    let name = match kind {
        Kind::Tests => Some(test_name(&below).map_err(|what| format!("{id} type=test {what}"))?),
        Kind::Implements => below.item().map(|item| item.name).or_else(|| item::around(code, line)),
    };
    let place = name.map_or_else(|| shown(&file.path), |name| format!("{}::{name}", shown(&file.path)));
    Ok(Mark { id: id.to_owned(), kind, place, line: format!("{}:{line}", shown(&file.path)) })
}

fn test_name<'a>(below: &Below<'a>) -> Result<&'a str, String> {
    let function = below.item().filter(|item| item.keyword == "fn");
    match function {
        Some(function) if below.attributes.iter().any(|one| attribute_name(one) == "test") => {
            if below.attributes.iter().any(|one| attribute_name(one) == "ignore") {
                return Err(format!("stands above `{}`, which does not run", function.name));
            }
            Ok(function.name)
        }
        _ => Err("does not stand above a test function".to_owned()),
    }
}

/// The last part of an attribute's path: `test` of `#[tokio::test(start_paused = true)]`.
fn attribute_name(attribute: &str) -> &str {
    let path = attribute.trim_start_matches("#[").split(['(', ']', '=']).next().unwrap_or_default();
    path.rsplit("::").next().unwrap_or(path).trim()
}

/// A path, in the same form on every platform.
pub(crate) fn shown(path: &Path) -> String {
    path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use tools_workspace::source::Side;

    use super::*;

    fn read_text(text: &str) -> (Vec<Mark>, Vec<String>) {
        read(&SourceFile::new(Path::new("libs/a/src/lib.rs"), text.to_owned(), Side::Product))
    }

    fn places(text: &str) -> Vec<(Kind, String)> {
        let (marks, problems) = read_text(text);
        assert_eq!(problems, Vec::<String>::new());
        marks.into_iter().map(|mark| (mark.kind, mark.place)).collect()
    }

    fn problem(text: &str) -> String {
        let (marks, mut problems) = read_text(text);
        assert_eq!((marks.len(), problems.len()), (0, 1), "{problems:?}");
        problems.remove(0)
    }

    #[test]
    fn code_is_named_by_the_item_below_the_item_around_or_its_file() {
        let text = "//= ORCH-1\n\n/// Doc.\npub(crate) fn a() {\n    //= ORCH-2\n    b();\n}\n//= ORCH-3\nstd::thread_local! {}\n";
        let names: Vec<_> = places(text).into_iter().map(|(_, place)| place).collect();
        assert_eq!(names, ["libs/a/src/lib.rs::a", "libs/a/src/lib.rs::a", "libs/a/src/lib.rs"]);
    }

    #[test]
    fn tests_of_every_kind_are_named_by_their_function() {
        let kinds = ["#[test]\nfn t", "#[tokio::test(start_paused = true)]\nasync fn t", "#[test] fn t"];
        for kind in kinds {
            let text = format!(
                "#[cfg(test)]\nmod tests {{\n// N01\n//= ORCH-1 type=test\n//= ORCH-2 type=test\n{kind}() {{}}\n}}\n"
            );
            let place = (Kind::Tests, "libs/a/src/lib.rs::t".to_owned());
            assert_eq!(places(&text), [place.clone(), place]);
        }
        let text = "proptest! {\n    //= ORCH-1 type=test\n    #[test]\n    fn t(a in 0..1) {}\n}\n";
        assert_eq!(places(text), [(Kind::Tests, "libs/a/src/lib.rs::t".to_owned())]);
    }

    #[test]
    fn a_mark_of_a_test_that_stands_above_no_test_is_a_problem() {
        let expected = "libs/a/src/lib.rs:1: ORCH-1 type=test does not stand above a test function";
        assert_eq!(problem("//= ORCH-1 type=test\nfn helper() {}\n"), expected);
        assert_eq!(problem("//= ORCH-1 type=test\n#[cfg(test)]\nmod tests {}\n"), expected);
        assert_eq!(problem("//= ORCH-1 type=test\n#[expect(a, reason = \"test\")]\nfn a() {}\n"), expected);
        assert_eq!(problem("//= ORCH-1 type=test\n}\n#[test]\nfn a() {}\n"), expected);
    }

    #[test]
    fn a_test_that_does_not_run_proves_nothing() {
        let text = "//= ORCH-1 type=test\n#[test]\n#[ignore = \"slow\"]\nfn a() {}\n";
        assert_eq!(
            problem(text),
            "libs/a/src/lib.rs:1: ORCH-1 type=test stands above `a`, which does not run"
        );
    }

    #[test]
    fn mistyped_marks_are_problems() {
        assert!(problem("//= ORCH-1 typ=test\n").ends_with("is neither `//= ID` nor `//= ID type=test`"));
        assert!(problem("//= ORCH3004\n").ends_with("`ORCH3004` is no id; one looks like `ORCH-3004`"));
        assert!(problem("//=\n").ends_with("`//=` is neither `//= ID` nor `//= ID type=test`"));
    }

    #[test]
    fn marks_in_texts_and_words_in_comments_are_none() {
        assert_eq!(places("const A: &str = \"\n//= ORCH-1\n\";\n// See `//= ORCH-1`.\n"), []);
    }
}

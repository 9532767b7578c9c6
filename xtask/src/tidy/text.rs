//! The look of a page: a module doc on top, no stray blanks, no task without a number.

use std::path::Path;

use tools_workspace::source::SourceFile;

/// Assembled from halves so that this very file holds no such word.
const OPEN_TASK: &str = concat!("TO", "DO");

/// Rules for Rust files.
pub(super) fn check_source(file: &SourceFile) -> Vec<String> {
    let mut breaches = Vec::new();
    breaches.extend(module_doc(file));
    let open = file.comments.lines().enumerate().filter(|(_, line)| has_open_task(line));
    breaches.extend(open.map(|(index, _)| {
        format!(
            "{}:{}: {OPEN_TASK} carries no id, such as {OPEN_TASK}(ORCH-1234)",
            file.path.display(),
            index + 1
        )
    }));
    breaches
}

/// Rules for every written file.
pub(super) fn check_lines(path: &Path, content: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    for (index, line) in content.lines().enumerate() {
        let place = format!("{}:{}", path.display(), index + 1);
        if line.trim_end().len() < line.len() {
            breaches.push(format!("{place}: blanks at the end of the line"));
        }
        if line.contains('\t') {
            breaches.push(format!("{place}: a tab; indent with spaces, or write \\t in a text"));
        }
    }
    if !content.is_empty() && !content.ends_with('\n') {
        breaches.push(format!("{}: no line break at the end of the file", path.display()));
    }
    breaches
}

fn module_doc(file: &SourceFile) -> Option<String> {
    let mut is_attribute = false;
    let first = file.text.lines().find(|line| {
        // Attributes of the whole file may stand above its doc, also over several lines.
        let was_attribute = is_attribute || line.starts_with("#![");
        is_attribute = was_attribute && !line.trim_end().ends_with(']');
        !was_attribute && !line.trim().is_empty()
    });
    let has_doc = first.is_some_and(|line| line.starts_with("//! "));
    (!has_doc).then(|| {
        format!("{}:1: the file must begin with a `//!` doc that says what it is", file.path.display())
    })
}

fn has_open_task(comment: &str) -> bool {
    comment.match_indices(OPEN_TASK).any(|(at, _)| {
        let id = comment[at + OPEN_TASK.len()..].strip_prefix('(').and_then(|rest| rest.split_once(')'));
        !id.is_some_and(|(id, _)| id.contains(|c: char| c.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use tools_workspace::source::Side;

    use super::*;

    fn source(text: &str) -> Vec<String> {
        check_source(&SourceFile::new(Path::new("a.rs"), text.to_owned(), Side::Product))
    }

    #[test]
    fn file_without_a_module_doc_is_a_breach() {
        assert_eq!(source("//! What it is.\nfn a() {}\n"), Vec::<String>::new());
        assert_eq!(source("#![cfg(test)]\n\n//! What it is.\n"), Vec::<String>::new());
        assert_eq!(
            source("#![expect(\n    a,\n    reason = \"b\"\n)]\n//! What it is.\n"),
            Vec::<String>::new()
        );
        assert_eq!(source("use a;\n//! Late.\n").len(), 1);
        assert_eq!(source("").len(), 1);
    }

    #[test]
    fn open_task_needs_an_id_in_product_and_test_code() {
        let with = |id: &str| {
            source(&format!("//! Doc.\n#[cfg(test)]\nmod t {{\n    // {OPEN_TASK}{id}: mend\n}}\n"))
        };
        assert_eq!(with("(ORCH-3004)"), Vec::<String>::new());
        assert_eq!(with(""), [format!("a.rs:4: {OPEN_TASK} carries no id, such as {OPEN_TASK}(ORCH-1234)")]);
        assert_eq!(with("(later)").len(), 1);
    }

    #[test]
    fn stray_blanks_and_tabs_are_named_with_their_lines() {
        let found = check_lines(Path::new("a.md"), "good\nbad \n\tbad\n");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a.md:2: blanks"));
        assert!(found[1].starts_with("a.md:3: a tab"));
    }

    #[test]
    fn last_line_must_be_ended() {
        assert_eq!(check_lines(Path::new("a.md"), "end").len(), 1);
    }
}

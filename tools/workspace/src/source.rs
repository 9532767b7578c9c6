//! The workspace's Rust files as the checks see them: product lines only, without comments and texts.
//!
//! The rules speak of product code, so a word in a comment, a message or a test must not trip them. A parser
//! would know more, but the few questions asked here need only brackets and words, and a scanner keeps the
//! build of this tool short.

mod files;
mod mask;
mod scan;

use std::path::{Path, PathBuf};

pub use files::{load, walk};
pub use scan::{Item, functions, has_word, items};

use mask::mask;

/// Which side of the `#[cfg(test)]` line a file is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Shipped, apart from the test items inside it.
    Product,
    /// Compiled for tests and benches only.
    Test,
}

/// One `.rs` file.
#[derive(Debug)]
pub struct SourceFile {
    /// Relative to the workspace's root.
    pub path: PathBuf,
    /// As it stands on disk.
    pub text: String,
    /// The comments alone; every other character is a blank.
    pub comments: String,
    /// The code alone: comments and test items blank, texts filled in. Lines stay where they were.
    pub code: String,
    /// The same with the test items.
    pub code_with_tests: String,
    /// Lines outside test items.
    pub product_lines: usize,
    /// Whether the whole file is for tests.
    pub side: Side,
}

impl SourceFile {
    /// Splits a file's text into what the checks look at.
    pub fn new(path: &Path, text: String, side: Side) -> Self {
        let masked = mask(&text);
        let side = if masked.code.contains("#![cfg(test)]") { Side::Test } else { side };
        let tests = scan::test_lines(&masked.code);
        let keep = |line: usize| side == Side::Product && !tests.iter().any(|range| range.contains(&line));
        let mut code = String::with_capacity(masked.code.len());
        let mut product_lines = 0;
        for (line, content) in masked.code.lines().enumerate() {
            if keep(line) {
                code.push_str(content);
                product_lines += 1;
            }
            code.push('\n');
        }
        let (comments, code_with_tests) = (masked.comments, masked.code);
        Self { path: path.to_owned(), text, comments, code, code_with_tests, product_lines, side }
    }

    /// Lines of product code with their numbers, counted from 1.
    pub fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Whether the file lies in this folder of the workspace.
    pub fn is_below(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(text: &str) -> SourceFile {
        SourceFile::new(Path::new("libs/a/src/lib.rs"), text.to_owned(), Side::Product)
    }

    #[test]
    fn module_of_tests_is_not_product_code() {
        let file = product("fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { x(); }\n}\nfn c() {}\n");
        assert_eq!(file.product_lines, 2);
        assert_eq!(file.code.replace('\n', ""), "fn a() {}fn c() {}");
        assert_eq!(file.code.lines().count(), 6, "line numbers stay");
        assert!(file.code_with_tests.contains("fn b()"));
    }

    #[test]
    fn gated_items_with_more_attributes_or_without_a_body_go_too() {
        let file = product("#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests;\nfn c() {}\n");
        assert_eq!(file.code.trim(), "fn c() {}");
        let file = product("#[cfg(all(test, unix))]\nfn b(x: [u8; 2]) {\n}\nfn c() {}\n");
        assert_eq!(file.code.trim(), "fn c() {}");
    }

    #[test]
    fn code_behind_a_test_or_feature_gate_is_product_code() {
        let file = product("#[cfg(any(test, feature = \"sim\"))]\nmod sim {}\n");
        assert!(file.code.contains("mod sim"));
    }

    #[test]
    fn file_that_is_gated_as_a_whole_has_no_product_line() {
        let file = product("#![cfg(test)]\n//! Tests.\nfn a() {}\n");
        assert_eq!((file.side, file.product_lines), (Side::Test, 0));
    }
}

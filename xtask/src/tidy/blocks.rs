//! Fenced blocks of Markdown pages: each says what it is in, and what is to be typed is run.
//!
//! `tools-doc-session` runs every `sh` and `console` block that has no mark, reads every `toml` block by the real
//! loader, and parses every `json` block. So all that is left to hold here is that no command hides in a block of
//! another kind, that a mark which keeps one from being run says why, or by what it is run instead, and that code
//! which is shown is code which there is.

use std::{fs, path::Path};

use tools_workspace::markdown::{Block, Mark, Page};

use crate::commands;

/// Kinds of blocks that no tool runs or reads.
const SHOWN: &[&str] = &["text", "python", "yaml", "ini", "nginx", "gherkin"];
/// Programs that build for minutes, or change the machine that they run on.
const CHANGING: &[&str] =
    &["cargo", "rustup", "apt-get", "apt", "pip", "npm", "sudo", "systemctl", "useradd"];
/// Programs whose settings a `toml` block may hold.
const PROGRAMS: &[&str] = &["orchestratord", "pool-managerd"];

/// What is wrong with the blocks of one page.
pub(super) fn check(root: &Path, path: &Path, page: &Page) -> Vec<String> {
    let wrong = |block: &Block| {
        problem(root, block).map(|problem| format!("{}:{}: {problem}", path.display(), block.line))
    };
    page.blocks.iter().filter_map(wrong).collect()
}

fn problem(root: &Path, block: &Block) -> Option<String> {
    match &block.mark {
        Mark::Unknown(comment) if comment.contains(':') => {
            return Some(format!("`{comment}` is no mark of a block; see CONTRIBUTING.md"));
        }
        Mark::RunBy(what) if !is_there(root, what) => {
            return Some(format!("`run by: {what}` names neither a command of `cargo xtask` nor a file"));
        }
        Mark::NotRun(why) if why.split_whitespace().count() < 2 => {
            return Some("`not run` must say why".to_owned());
        }
        _ => {}
    }
    match (block.language.as_str(), &block.mark) {
        ("sh" | "console", Mark::Absent) => changes_the_machine(&block.text)
            .map(|program| format!("`{program}` builds or changes the machine; mark the block")),
        ("sh" | "console" | "json", _) | ("toml", Mark::NotRun(_)) => None,
        ("toml", Mark::ConfigOf(program)) if PROGRAMS.contains(&program.as_str()) => None,
        ("rust", Mark::From(file)) if holds(root, file, &block.text) => None,
        ("rust", Mark::From(file)) => Some(format!("{file} does not hold these lines")),
        ("rust", _) => Some("a `rust` block needs `<!-- from: PATH -->` above it".to_owned()),
        ("toml", _) => Some("a `toml` block needs `<!-- config of: PROGRAM -->` above it".to_owned()),
        (shown, _) if SHOWN.contains(&shown) => {
            let types = block.text.lines().any(|line| line.starts_with("$ "));
            types.then(|| "what is to be typed stands in a `console` or `sh` block".to_owned())
        }
        ("", _) => Some("the block does not say what it is in; write `text` if it is nothing".to_owned()),
        ("bash" | "shell", _) => Some("write `sh`, so that the block is run".to_owned()),
        (other, _) => Some(format!("nobody knows what to do with a block in `{other}`")),
    }
}

/// The first program of a session that no test may run on the machine of whoever tests.
fn changes_the_machine(text: &str) -> Option<&'static str> {
    let words = || text.split(|c: char| c.is_whitespace() || "();|&$".contains(c));
    CHANGING.iter().copied().find(|program| words().any(|word| word == *program))
}

/// Whether the lines stand in the file one below the other; how far they are indented does not matter.
fn holds(root: &Path, file: &str, lines: &str) -> bool {
    let flat = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    fs::read_to_string(root.join(file)).is_ok_and(|text| flat(&text).contains(&flat(lines)))
}

fn is_there(root: &Path, what: &str) -> bool {
    match what.strip_prefix("cargo xtask ") {
        Some(command) => commands::is_one(command.split(' ').next().unwrap_or_default()),
        None => root.join(what).is_file(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(content: &str) -> Vec<String> {
        check(crate::workspace::root(), Path::new("a.md"), &Page::read(content))
    }

    #[test]
    fn commands_are_run_or_say_why_not() {
        let good = "```sh\na\n```\n<!-- not run: needs a GPU -->\n```sh\na\n```\n\
            <!-- run by: cargo xtask tidy -->\n```sh\na\n```\n<!-- run by: xtask/src/main.rs -->\n```sh\na\n```\n";
        assert_eq!(found(good), Vec::<String>::new());
        for (mark, says) in [
            ("not run: no", "must say why"),
            ("run by: cargo xtask nothing", "names neither"),
            ("run by: no/file.rs", "names neither"),
            ("not ran: needs a GPU", "is no mark"),
        ] {
            let found = found(&format!("<!-- {mark} -->\n```sh\na\n```\n"));
            assert!(
                found.len() == 1 && found[0].starts_with("a.md:2: ") && found[0].contains(says),
                "{found:?}"
            );
        }
    }

    #[test]
    fn command_may_not_hide_in_a_block_of_another_kind() {
        assert_eq!(found("```text\nx\n```\n"), Vec::<String>::new());
        for content in
            ["```text\n$ rm x\n```\n", "```bash\nrm x\n```\n", "```\nrm x\n```\n", "```zsh\nx\n```\n"]
        {
            assert_eq!(found(content).len(), 1, "{content}");
        }
    }

    #[test]
    fn session_that_changes_the_machine_needs_a_mark() {
        for line in ["apt-get install x", "x && (sudo y)", "$ cargo build"] {
            assert_eq!(found(&format!("```sh\n{line}\n```\n")).len(), 1, "{line}");
        }
        assert_eq!(found("```sh\ncurl localhost/cargo.html\n```\n"), Vec::<String>::new());
        assert_eq!(found("<!-- not run: needs time -->\n```sh\ncargo build\n```\n"), Vec::<String>::new());
    }

    #[test]
    fn code_that_is_shown_stands_in_the_file_that_is_named() {
        let shown =
            |lines: &str| found(&format!("<!-- from: xtask/src/main.rs -->\n```rust\n{lines}\n```\n"));
        assert_eq!(shown("mod tidy;\n  mod verdict;"), Vec::<String>::new());
        assert_eq!(shown("mod verdict;\nmod tidy;"), ["a.md:2: xtask/src/main.rs does not hold these lines"]);
        assert_eq!(found("```rust\nmod tidy;\n```\n").len(), 1);
    }

    #[test]
    fn settings_name_their_program() {
        assert_eq!(found("<!-- config of: pool-managerd -->\n```toml\n```\n"), Vec::<String>::new());
        assert_eq!(found("<!-- config of: nginx -->\n```toml\n```\n").len(), 1);
        assert_eq!(found("```toml\n```\n").len(), 1);
    }
}

//! One page, typed from top to bottom.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tools_workspace::markdown::{Block, Mark, Page};

use crate::{compare::matches, group::Group, server::Server};

/// What pages call the server's address.
const SHOWN_ADDR: &str = "localhost:8080";
/// So long one command may take, in seconds.
const COMMAND_SECONDS: &str = "60";

/// How the session of a page went.
#[derive(Debug, Default)]
pub struct Report {
    /// How many commands and blocks were run.
    pub run: usize,
    /// What did not come as shown.
    pub differences: Vec<Difference>,
}

/// A command that did otherwise than its page says.
#[derive(Debug)]
pub struct Difference {
    /// The line of its block.
    pub line: usize,
    /// What was typed.
    pub command: String,
    /// What the page shows.
    pub shown: String,
    /// What came.
    pub came: String,
}

/// Types the session of a page that lies at `root`'s copy, with the programs in `programs`.
///
/// # Errors
/// When nothing can be run at all, or a server of the page does not start.
pub fn run(page: &Page, root: &Path, programs: &Path) -> Result<Report> {
    let desk = Desk { folder: TempDir::new()?, root, programs };
    let mut report = Report::default();
    let mut server = None;
    for block in &page.blocks {
        match (block.language.as_str(), &block.mark) {
            ("sh", Mark::StartsServer) => {
                // The one before gives up its port and its files first.
                drop(server.take());
                let started = Server::start(&block.text, desk.folder.path(), |text| desk.shell(text));
                server = Some(started.with_context(|| format!("line {}", block.line))?);
                report.run += 1;
            }
            ("sh" | "console", Mark::NotRun(_) | Mark::RunBy(_)) => {}
            ("sh", _) => desk.script(block, server.as_ref(), &mut report)?,
            ("console", _) => desk.session(block, server.as_ref(), &mut report)?,
            _ => {}
        }
    }
    Ok(report)
}

/// Where the reader sits: a folder, and a shell that finds our programs.
struct Desk<'a> {
    folder: TempDir,
    root: &'a Path,
    programs: &'a Path,
}

impl Desk<'_> {
    fn shell(&self, text: &str) -> Command {
        let mut command = Command::new("bash");
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", self.programs.display());
        command.args(["-c", text]).current_dir(self.folder.path()).env_clear();
        command.env("PATH", path).env("HOME", self.folder.path()).env("REPOSITORY", self.root);
        command.env("LC_ALL", "C.UTF-8").env("RUST_LOG", "error").stdin(Stdio::null());
        command
    }

    /// Runs a text with a bound on its time. Returns what it printed and whether it succeeded.
    fn typed(&self, text: &str, server: Option<&Server>) -> Result<(String, bool)> {
        let real = server.map(|server| server.addr.to_string());
        let text = real.as_deref().map_or_else(|| text.to_owned(), |real| text.replace(SHOWN_ADDR, real));
        // A file and no pipe, which what runs on in the background would hold open.
        let printed = self.folder.path().join(".printed");
        let out = File::create(&printed)?;
        let mut command = self.shell("exec timeout --foreground \"$1\" bash -c \"$2\"");
        command.args(["bash", COMMAND_SECONDS, &text]).stdout(out.try_clone()?).stderr(out);
        let succeeded = Group::start(&mut command)?.0.wait()?.success();
        let came = String::from_utf8_lossy(&fs::read(&printed)?).into_owned();
        let came = real.map_or_else(|| came.clone(), |real| came.replace(&real, SHOWN_ADDR));
        Ok((came, succeeded))
    }

    fn script(&self, block: &Block, server: Option<&Server>, report: &mut Report) -> Result<()> {
        let (came, succeeded) = self.typed(&format!("set -eu\n{}", block.text), server)?;
        report.run += 1;
        if !succeeded {
            let (command, shown) = (block.text.clone(), "success".to_owned());
            report.differences.push(Difference { line: block.line, command, shown, came });
        }
        Ok(())
    }

    fn session(&self, block: &Block, server: Option<&Server>, report: &mut Report) -> Result<()> {
        for (command, shown) in steps(&block.text) {
            let (came, _) = self.typed(&command, server)?;
            report.run += 1;
            if !matches(&shown, &came) {
                report.differences.push(Difference { line: block.line, command, shown, came });
            }
        }
        Ok(())
    }
}

/// The commands of a session, each with what the page shows of its answer.
fn steps(text: &str) -> Vec<(String, String)> {
    let mut steps: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push((command.to_owned(), String::new())),
            (None, Some((command, shown))) if shown.is_empty() && command.ends_with('\\') => {
                command.push('\n');
                command.push_str(line);
            }
            (None, Some((_, shown))) => {
                shown.push_str(line);
                shown.push('\n');
            }
            // What stands before the first command is of no command.
            (None, None) => {}
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(content: &str) -> Report {
        run(&Page::read(content), Path::new("/"), Path::new("/")).unwrap()
    }

    #[test]
    fn session_is_cut_into_commands_and_what_they_show() {
        let cut = steps("$ a \\\n  b\n1\n2\n$ c\n$ d\n\n");
        let expected = [("a \\\n  b", "1\n2\n"), ("c", ""), ("d", "\n")];
        assert_eq!(cut, expected.map(|(command, shown)| (command.to_owned(), shown.to_owned())));
    }

    #[test]
    fn commands_run_in_their_order_in_one_folder() {
        let report = report("```sh\necho hi > a\n```\n```console\n$ cat a\nhi\n$ ls\na\n```\n");
        assert!(report.differences.is_empty(), "{report:?}");
        assert_eq!(report.run, 3);
    }

    #[test]
    fn other_output_and_a_failed_script_are_differences() {
        let report = report("```sh\nfalse\ntrue\n```\n```console\n$ echo a; echo b >&2\na\n```\n");
        assert_eq!(report.differences.len(), 2, "{report:?}");
        assert_eq!((report.differences[1].line, report.differences[1].came.as_str()), (5, "a\nb\n"));
    }

    #[test]
    fn what_a_command_leaves_in_the_background_ends_with_it() {
        // One that has ended may stay as a zombie, when nobody reaps it.
        let alive = "grep -q '^State:.*[RSD] ' /proc/$(cat pid)/status 2>/dev/null";
        let wait =
            format!("for i in $(seq 200); do {alive} || break; sleep 0.05; done; {alive} || echo gone");
        let content = format!("```sh\nsleep 777.5 & echo $! > pid\n```\n```console\n$ {wait}\ngone\n```\n");
        let report = report(&content);
        assert!(report.differences.is_empty(), "{report:?}");
    }

    #[test]
    fn what_is_marked_is_left_out() {
        let report = report(
            "<!-- not run: needs a GPU -->\n```sh\nfalse\n```\n<!-- run by: a -->\n```sh\nfalse\n```\n",
        );
        assert_eq!((report.run, report.differences.len()), (0, 0));
    }
}

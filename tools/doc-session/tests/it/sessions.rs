//! What is to be typed does what the page shows.

use std::process::Command;

use tools_doc_session::{Difference, run};
use tools_workspace::markdown::{Block, Mark, Page};

use crate::pages::{all, programs, root};

fn told(difference: &Difference) -> String {
    let Difference { line, command, shown, came } = difference;
    format!("line {line}: {command}\n--- shown ---\n{shown}--- came ---\n{came}")
}

/// A program that the page's commands call and that is not on this machine.
fn lacking(page: &Page) -> Option<&'static str> {
    let typed = |block: &&Block| {
        ["sh", "console"].contains(&block.language.as_str())
            && matches!(block.mark, Mark::Absent | Mark::StartsServer)
    };
    let text: String = page.blocks.iter().filter(typed).map(|block| block.text.as_str()).collect();
    ["curl", "openssl", "sqlite3"]
        .into_iter()
        .find(|program| text.contains(program) && Command::new(program).arg("--version").output().is_err())
}

#[test]
fn every_command_of_every_page_does_what_the_page_shows() {
    let (programs, mut wrong, mut count, mut skipped) = (programs(), Vec::new(), 0, 0);
    for (path, page) in all() {
        if let Some(program) = lacking(&page) {
            println!("SKIPPED the session of {}: {program} is not installed", path.display());
            skipped += 1;
            continue;
        }
        match run(&page, root(), &programs) {
            Ok(report) => {
                count += report.run;
                let told = report.differences.iter().map(told);
                wrong.extend(told.map(|told| format!("{}, {told}", path.display())));
            }
            Err(error) => wrong.push(format!("{}: {error:#}", path.display())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    // The README alone has more.
    assert!(count > 10 || skipped > 0, "only {count} commands were found");
}

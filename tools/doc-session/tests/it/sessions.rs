//! What is to be typed does what the page shows.

use tools_doc_session::{Difference, run};

use crate::pages::{all, programs, root};

fn told(difference: &Difference) -> String {
    let Difference { line, command, shown, came } = difference;
    format!("line {line}: {command}\n--- shown ---\n{shown}--- came ---\n{came}")
}

#[test]
fn every_command_of_every_page_does_what_the_page_shows() {
    let (programs, mut wrong, mut count) = (programs(), Vec::new(), 0);
    for (path, page) in all() {
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
    assert!(count > 10, "only {count} commands were found");
}

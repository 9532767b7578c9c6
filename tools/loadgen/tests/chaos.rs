//! A short slice of the durability checks, on the binaries as they were built for the tests.

#![expect(clippy::unwrap_used, reason = "a test that cannot start its program has nothing to show")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The server stands beside this program, for the workspace is built as a whole.
fn server() -> PathBuf {
    let loadgen = Path::new(env!("CARGO_BIN_EXE_tools-loadgen"));
    let server = loadgen.with_file_name(format!("orchestratord{}", std::env::consts::EXE_SUFFIX));
    assert!(server.exists(), "{} is not built: cargo build -p orchestratord", server.display());
    server
}

fn chaos(kind: &str, amount: [&str; 2], server: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tools-loadgen"));
    command.args(["chaos", kind]).args(amount).arg("--orchestratord").arg(server);
    command.output().unwrap()
}

/// The count in the row of a table that begins with this name.
fn count(table: &str, name: &str) -> Option<u32> {
    let row = table.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("  "));
    row?.split_whitespace().next()?.parse().ok()
}

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat()
}

//= ORCH-3405 type=test
//= ORCH-3406 type=test
//= ORCH-3408 type=test
#[test]
fn a_server_that_is_killed_again_and_again_takes_nothing_back() {
    let output = chaos("kill", ["--loops", "15"], &server());
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    assert_eq!((count(&text, "kills"), count(&text, "lost")), (Some(15), Some(0)), "{text}");
}

//= ORCH-3405 type=test
#[test]
fn a_202_leaves_behind_the_sync_of_its_task() {
    let output = chaos("strace", ["--tasks", "200"], &server());
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    if text.contains("skipped: ") {
        println!("{text}");
        return;
    }
    assert_eq!(count(&text, "answers with 202"), Some(200), "{text}");
}

#[cfg(unix)]
#[test]
fn a_server_that_forgets_is_caught() {
    use std::os::unix::fs::PermissionsExt;

    let folder = std::env::temp_dir().join(format!("loadgen-forgets-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let forgetful = folder.join("forgetful");
    let script = format!("#!/bin/sh\nORCHD_STORE_KIND=memory exec '{}' \"$@\"\n", server().display());
    fs::write(&forgetful, script).unwrap();
    fs::set_permissions(&forgetful, fs::Permissions::from_mode(0o755)).unwrap();
    let output = chaos("kill", ["--loops", "20"], &forgetful);
    fs::remove_dir_all(&folder).unwrap();
    let text = text(&output);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("BREACH: task"), "{text}");
    let state = text.lines().find_map(|line| line.split_once("the state is in ")?.1.split(':').next());
    fs::remove_dir_all(state.unwrap()).unwrap();
}

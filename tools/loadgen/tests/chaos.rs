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

fn kill(server: &Path, loops: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tools-loadgen"));
    command.args(["chaos", "kill", "--loops", loops, "--orchestratord"]).arg(server);
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat()
}

//= ORCH-3305 type=test
//= ORCH-3306 type=test
//= ORCH-3308 type=test
#[test]
fn a_server_that_is_killed_again_and_again_takes_nothing_back() {
    let output = kill(&server(), "15");
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    for count in ["kills", "lost"] {
        let row = text.lines().find(|line| line.starts_with(count));
        let expected = if count == "kills" { "15" } else { "0" };
        assert!(row.is_some_and(|row| row.split_whitespace().nth(1) == Some(expected)), "{text}");
    }
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
    let output = kill(&forgetful, "20");
    fs::remove_dir_all(&folder).unwrap();
    let text = text(&output);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("BREACH: task"), "{text}");
    let state = text.lines().find_map(|line| line.split_once("the state is in ")?.1.split(':').next());
    fs::remove_dir_all(state.unwrap()).unwrap();
}

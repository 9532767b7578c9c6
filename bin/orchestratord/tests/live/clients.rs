//! `OpenAI`'s own clients, as their users run them.

use std::{ffi::OsString, path::Path, process::Stdio};

use tokio::process::Command;

use crate::processes::cache;

/// A client in the cache.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Client {
    Python,
    Node,
}

impl Client {
    pub(crate) const ALL: [Self; 2] = [Self::Python, Self::Node];

    /// The program with its first arguments; `None`, and a line that says why, where it is missing.
    fn command(self, script: &str) -> Option<Command> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/clients");
        let folder = cache().join("clients");
        let (program, stamp, mut arguments, script) = match self {
            Self::Python => {
                let folder = folder.join("python");
                let script = scripts.join(script).with_extension("py");
                (folder.join("bin/python"), folder.join("installed.txt"), Vec::new(), script)
            }
            Self::Node => {
                let folder = folder.join("node");
                let script = scripts.join(script).with_extension("mjs");
                ("node".into(), folder.join("installed.txt"), vec![OsString::from(&folder)], script)
            }
        };
        if !stamp.exists() {
            println!("SKIPPED: no {self:?} client: {} is missing; run `cargo xtask setup`", stamp.display());
            return None;
        }
        arguments.insert(0, script.into());
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        Some(command)
    }

    /// Runs a script to its end, which must be a good one, and returns what it said.
    pub(crate) async fn run(self, script: &str, arguments: &[&str]) -> Option<String> {
        let mut command = self.command(script)?;
        let output = command.args(arguments).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{self:?}: {said}\n{complaint}");
        println!("{self:?}:\n{said}");
        Some(said)
    }
}

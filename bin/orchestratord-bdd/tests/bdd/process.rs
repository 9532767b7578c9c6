//! A program of ours as a process of its own, with everything that it logs.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::support::{LOOK, PATIENCE};

/// Lines that are kept; a scenario logs a few hundred.
const LINES_MAX: usize = 100_000;
/// Lines that are shown when a scenario fails.
const TAIL: usize = 40;

/// A process. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    pub(crate) address: Option<SocketAddr>,
}

impl Process {
    /// Starts a program; with no other variables than these.
    pub(crate) fn start(program: &Path, arguments: &[String], variables: &[(String, String)]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(variables.iter().cloned());
        // A group of its own: under a tracer the program is not the child.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program can be started");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let said = child.stderr.take().expect("its standard error is ours");
        let into = Arc::clone(&lines);
        // It ends with the process, whose end closes the pipe.
        thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                let mut lines = into.lock();
                if lines.len() < LINES_MAX {
                    lines.push(line);
                }
            }
        });
        Self { child, lines, address: None }
    }

    /// Waits until it listens, and remembers where; false when it ended before.
    pub(crate) async fn listens(&mut self) -> bool {
        let listening = async {
            loop {
                let found = self.lines().iter().find_map(|line| address_in(line));
                if found.is_some() {
                    self.address = found;
                    return true;
                }
                if self.has_ended() {
                    return false;
                }
                sleep(LOOK).await;
            }
        };
        timeout(PATIENCE, listening).await.expect("the program listens or ends")
    }

    /// All that it has logged so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().clone()
    }

    /// The last lines that it logged.
    pub(crate) fn tail(&self) -> String {
        let lines = self.lines();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_some()
    }

    /// Waits until it has ended, and returns its exit code.
    pub(crate) async fn ends(&mut self) -> Option<i32> {
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                    return status.code();
                }
                sleep(LOOK).await;
            }
        };
        let code = timeout(PATIENCE, ended).await.expect("the program ends");
        // What it said last is still on its way through the pipe.
        sleep(LOOK * 5).await;
        code
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().expect("a process id is a small number"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the process is there");
    }

    /// Ends it without a word, as the kernel or a power cut would.
    pub(crate) fn kill(&mut self) {
        killpg(self.pid(), Signal::SIGKILL).ok();
        self.child.wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["msg"] == "listening").then(|| line["address"].as_str()?.parse().ok()).flatten()
}

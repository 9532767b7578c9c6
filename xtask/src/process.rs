//! A child process that never outlives its owner, with its output in a file.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::workspace;

const GRACE: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(20);
const SHOWN_LINES: usize = 20;

/// A running child; dropping it stops it.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the command with both outputs in `log`.
    pub(crate) fn start(name: &'static str, mut command: Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        // A group of its own: Ctrl-C reaches only this process, which then stops its children in order.
        command.process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        println!("{name} started (process {}), log {}", child.id(), log.display());
        Ok(Self { name, child, log: log.to_owned() })
    }

    /// Fails with the end of its log when the child is gone.
    pub(crate) fn expect_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.failed(&format!("ended by itself with {status}"))),
        }
    }

    /// What the child did wrong, with the end of its log.
    pub(crate) fn failed(&self, what: &str) -> anyhow::Error {
        anyhow::anyhow!("{} {what}; the end of {}:\n{}", self.name, self.log.display(), self.last_lines())
    }

    /// Asks the child to end, then makes it.
    pub(crate) fn stop(&mut self) {
        if let Err(error) = self.stop_within(GRACE) {
            println!("{} (process {}) could not be stopped: {error:#}", self.name, self.child.id());
        }
    }

    fn stop_within(&mut self, grace: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, Signal::SIGTERM)?;
        let begun = workspace::now();
        while begun.elapsed() < grace {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(TICK);
        }
        println!("{} did not end within {grace:?} and is killed", self.name);
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    fn last_lines(&self) -> String {
        let text =
            fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Fails when one of them is gone.
pub(crate) fn expect_all_running(processes: &mut [&mut Process]) -> Result<()> {
    for process in processes {
        process.expect_running()?;
    }
    Ok(())
}

/// Fails with the log of the first, which is the one that was waited for.
pub(crate) fn timed_out(processes: &[&mut Process], what: &str) -> Result<()> {
    match processes.first() {
        Some(process) => Err(process.failed(what)),
        None => bail!("{what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(name: &str, script: &str) -> Process {
        let log = std::env::temp_dir().join(format!("process-{name}-{}.log", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start("sh", command, &log).unwrap()
    }

    fn is_alive(id: u32) -> bool {
        kill(Pid::from_raw(i32::try_from(id).unwrap()), None).is_ok()
    }

    #[test]
    fn dropped_process_is_gone() {
        let process = shell("dropped", "exec sleep 600");
        let (id, log) = (process.child.id(), process.log.clone());
        assert!(is_alive(id));
        drop(process);
        assert!(!is_alive(id));
        fs::remove_file(log).unwrap();
    }

    #[test]
    fn process_that_does_not_listen_is_killed() {
        let mut process = shell("deaf", "trap '' TERM; echo ready; while :; do sleep 0.1; done");
        while process.last_lines().is_empty() {
            std::thread::sleep(TICK);
        }
        let status = process.stop_within(10 * TICK).unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
        fs::remove_file(&process.log).unwrap();
    }

    #[test]
    fn process_that_ended_is_reported_with_the_end_of_its_log() {
        let mut process = shell("ended", "seq 1 30; echo the cause >&2; exit 3");
        process.child.wait().unwrap();
        let error = process.expect_running().unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.ends_with("30\nthe cause"), "{error}");
        assert!(!error.contains("\n11\n") && error.contains("\n12\n"), "twenty lines: {error}");
        fs::remove_file(&process.log).unwrap();
    }
}

//! A process that does not outlive the benchmark.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::load::Connection;

const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const READY_TIMEOUT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

/// Ends its process on drop: first asked, then forced, and waited for in any case.
#[derive(Debug)]
pub(crate) struct ChildGuard {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl ChildGuard {
    /// Starts `command`; what it says goes to a log file in `folder`.
    pub(crate) fn start(name: &'static str, mut command: Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("starting {name} ({command:?})"))?;
        Ok(Self { name, child, log })
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `target` answers `GET path` with 200.
    pub(crate) async fn ready(&mut self, target: SocketAddr, path: &str) -> Result<()> {
        let mut last = "nothing was tried".to_owned();
        for _ in 0..READY_TIMEOUT.as_millis() / POLL.as_millis() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at its start ({status}):\n{}", self.name, self.log_tail());
            }
            match tokio::time::timeout(Duration::from_secs(1), probe(target, path)).await {
                Ok(Ok(200)) => return Ok(()),
                Ok(Ok(status)) => last = format!("{path} answers {status}"),
                Ok(Err(error)) => last = format!("{error:#}"),
                Err(_elapsed) => "no answer within a second".clone_into(&mut last),
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("{} was not ready within {READY_TIMEOUT:?} ({last}):\n{}", self.name, self.log_tail())
    }

    fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn stop(&mut self) -> Result<()> {
        let process = Pid::from_raw(self.child.id().try_into()?);
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        kill(process, Signal::SIGTERM)?;
        for _ in 0..STOP_TIMEOUT.as_millis() / POLL.as_millis() {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            sleep(POLL);
        }
        self.child.kill()?;
        self.child.wait()?;
        bail!("it did not stop within {STOP_TIMEOUT:?} and was killed")
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("stopping {}: {error:#}", self.name);
        }
    }
}

async fn probe(target: SocketAddr, path: &str) -> Result<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    Ok(Connection::open(target).await?.send(request.as_bytes()).await?.status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::scratch::Scratch;

    #[tokio::test]
    async fn process_that_dies_at_its_start_is_reported_with_its_last_words() {
        let scratch = Scratch::new("dies").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo the port is taken; exit 3"]);
        let mut child = ChildGuard::start("sh", command, scratch.path()).unwrap();
        let target = "127.0.0.1:1".parse().unwrap();
        let error = child.ready(target, "/").await.unwrap_err().to_string();
        assert!(error.contains("the port is taken") && error.contains('3'), "{error}");
    }

    #[test]
    fn process_is_gone_after_drop() {
        let scratch = Scratch::new("gone").unwrap();
        let mut command = Command::new("sleep");
        command.arg("60");
        let child = ChildGuard::start("sleep", command, scratch.path()).unwrap();
        let entry = PathBuf::from(format!("/proc/{}", child.process()));
        assert!(entry.exists());
        drop(child);
        assert!(!entry.exists());
    }
}

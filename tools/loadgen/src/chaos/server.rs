//! The server under test as a process that can be killed and started again on the same folder.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::time::{sleep, timeout};

use super::{client::Client, dice::Dice};

const READY_TIMEOUT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(2);
/// Below the ports that clients get, so that none of them can be in the way of a restart.
const PORTS: std::ops::Range<u16> = 15_000..30_000;

/// How the server is started, each time.
pub(crate) struct Setup {
    pub(crate) executable: PathBuf,
    /// Where its state, and beside it what it says, lies.
    pub(crate) folder: PathBuf,
    pub(crate) target: SocketAddr,
    pub(crate) settings: Vec<(&'static str, String)>,
}

impl Setup {
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        // A developer's own settings must not change what is tested.
        command.env_clear();
        command.env("ORCHD_BIND_ADDR", self.target.to_string());
        command.env("ORCHD_STATE_DIR", self.state());
        command.env("RUST_LOG", "warn,orchestratord::dispatch=error");
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.join("state")
    }
}

/// A port of loopback that nobody uses now, and that another run beside this one does not look at first.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let mut dice = Dice::new(std::process::id().into());
    for _ in 0..100 {
        let port = PORTS.start + u16::try_from(dice.below(u32::from(PORTS.end - PORTS.start)))?;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener.local_addr()?);
        }
    }
    bail!("no port of loopback is free")
}

/// A running server. It is killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    target: SocketAddr,
    log: PathBuf,
}

impl Server {
    pub(crate) fn start(setup: &Setup) -> Result<Self> {
        Self::start_as(setup.command(), setup.target, &setup.folder)
    }

    /// Starts a command that is, or ends in, the server.
    pub(crate) fn start_as(mut command: Command, target: SocketAddr, folder: &Path) -> Result<Self> {
        let log = folder.join("server.log");
        let file = File::options().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        Ok(Self { child, target, log })
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) -> Result<()> {
        self.child.wait()?;
        Ok(())
    }

    /// Waits until it has an engine to give work to.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let ready = async {
            loop {
                if let Some(status) = self.child.try_wait()? {
                    bail!("the server ended at its start ({status}):\n{}", self.said());
                }
                let mut client = Client::new(self.target);
                // A server that does not listen yet refuses the connection.
                if client.call("GET", "/ready", "").await.is_ok_and(|answer| answer.status == 200) {
                    return Ok(());
                }
                sleep(POLL).await;
            }
        };
        match timeout(READY_TIMEOUT, ready).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => bail!("the server was not ready within {READY_TIMEOUT:?}"),
        }
    }

    /// Ends it without a word, as the kernel or a power cut would.
    pub(crate) fn kill(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server had ended by itself ({status}):\n{}", self.said());
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and is waited for all the same.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

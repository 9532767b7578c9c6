//! The server that a page starts, on a port that nobody else uses.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use anyhow::{Result, bail};

use crate::group::Group;

/// How pages call the server from its sources; what is built is run in its place.
const FROM_SOURCES: &str = "cargo run -p orchestratord";
/// How often it is asked whether it is ready, at most.
const LOOKS: u32 = 600;

/// A server that ends with this value.
pub(crate) struct Server {
    process: Group,
    pub(crate) addr: SocketAddr,
}

impl Server {
    /// Runs the command in `folder`, and waits until it is ready.
    pub(crate) fn start(command: &str, folder: &Path, shell: impl Fn(&str) -> Command) -> Result<Self> {
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let text = command.trim().replace(&format!("{FROM_SOURCES} --"), "orchestratord");
        let text = text.replace(FROM_SOURCES, "orchestratord");
        // Several servers of one page follow each other: each has what it left to itself.
        let (state, log) = (folder.join(format!("state-{}", addr.port())), folder.join("server.log"));
        let log = File::create(log)?;
        let mut command = shell(&text);
        command.env("ORCHD_BIND_ADDR", addr.to_string()).env("ORCHD_STATE_DIR", state);
        let process = Group::start(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log))?;
        let mut server = Self { process, addr };
        server.until_ready(&shell, folder)?;
        Ok(server)
    }

    fn until_ready(&mut self, shell: &impl Fn(&str) -> Command, folder: &Path) -> Result<()> {
        let addr = self.addr;
        let look = format!(
            "curl -sfk -m 5 -o /dev/null http://{addr}/health || curl -sfk -m 5 -o /dev/null https://{addr}/health"
        );
        for _ in 0..LOOKS {
            if shell(&look).status()?.success() {
                return Ok(());
            }
            if let Some(status) = self.process.0.try_wait()? {
                bail!("the server ended with {status}: {}", said(folder)?);
            }
            sleep(Duration::from_millis(50));
        }
        bail!("the server does not become ready: {}", said(folder)?)
    }
}

fn said(folder: &Path) -> Result<String> {
    Ok(std::fs::read_to_string(folder.join("server.log"))?)
}

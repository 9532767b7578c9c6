//! The server and two nodes with an engine each, as processes that can be killed, cut off and started again.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::{
    crowd::{Crowd, MODEL_FILE},
    land::{Land, Place},
};
use crate::chaos::client::{Answer, Client};

/// Nobody waits longer for a process.
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);
const SERVER_PORT: u16 = 28_080;
const AGENT_PORT: u16 = 29_200;
pub(super) const SLOTS: usize = 4;
const API_TOKEN: &str = "an-api-token-for-a-test-of-nodes-only";
const NODE_TOKEN: &str = "a-node-token-for-a-test-of-nodes-only";

/// The programs and files that everything is made of.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) orchestratord: PathBuf,
    pub(super) pool_managerd: PathBuf,
    pub(super) engine: Vec<PathBuf>,
    pub(super) model: PathBuf,
}

/// Which tokens there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tokens {
    One,
    OneForNodes,
}

/// A process that is killed and waited for when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

impl Process {
    fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        Ok(Self { child })
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.child.id().try_into()?), signal)?)
    }

    /// Signal 9, without waiting: what follows is timed.
    pub(super) fn kill(&mut self) -> Result<()> {
        ensure!(self.child.try_wait()?.is_none(), "a process had ended by itself");
        Ok(self.child.kill()?)
    }

    /// Asks it to end, and says how long that took.
    pub(super) async fn stop(mut self) -> Result<Duration> {
        let began = Instant::now();
        self.signal(Signal::SIGTERM)?;
        while self.child.try_wait()?.is_none() {
            ensure!(began.elapsed() < PATIENCE, "a process does not stop");
            sleep(POLL).await;
        }
        Ok(began.elapsed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and is waited for all the same.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// One of the two nodes.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) name: &'static str,
    pub(super) pool: &'static str,
    pub(super) folder: PathBuf,
    pub(super) agent: Option<Process>,
}

impl Node {
    /// The model under one of its two paths.
    pub(super) fn model(&self, way: usize) -> PathBuf {
        self.folder.join(format!("way{}", way % 2)).join(MODEL_FILE)
    }

    /// Which life the agent is in, by its own books.
    pub(super) fn incarnation(&self) -> Result<u64> {
        let text = fs::read_to_string(self.folder.join("state/incarnation.json"))?;
        Ok(text.trim().parse()?)
    }
}

/// Everything that runs.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) land: Land,
    pub(super) crowd: Crowd,
    pub(super) server: Option<Process>,
    pub(super) nodes: [Node; 2],
    pub(super) folder: PathBuf,
    parts: Parts,
    tokens: Tokens,
}

impl Stage {
    /// Makes the folders; nothing runs yet.
    pub(super) fn new(land: Land, parts: Parts, folder: PathBuf, tokens: Tokens) -> Result<Self> {
        let node = |place, name, pool| Node { place, name, pool, folder: folder.join(name), agent: None };
        let nodes = [node(Place::One, "n1", "a"), node(Place::Two, "n2", "b")];
        for node in &nodes {
            for way in 0..2 {
                let model = node.model(way);
                fs::create_dir_all(model.parent().context("a model lies in a folder")?)?;
                fs::copy(&parts.model, &model).with_context(|| parts.model.display().to_string())?;
            }
        }
        let crowd = Crowd::new(SocketAddr::new(land.address(Place::Server), SERVER_PORT), API_TOKEN);
        let stage = Self { land, crowd, server: None, nodes, folder, parts, tokens };
        for node in &stage.nodes {
            fs::write(node.folder.join("node.toml"), stage.config(node)?)?;
        }
        Ok(stage)
    }

    fn config(&self, node: &Node) -> Result<String> {
        let quoted = |path: &Path| serde_json::to_string(path);
        let engine: Vec<_> = self.parts.engine.iter().map(|part| quoted(part)).collect::<Result<_, _>>()?;
        Ok(format!(
            "bind_addr = \"{}:{AGENT_PORT}\"\nnode_id = \"{}\"\nstate_dir = {}\n[[pools]]\nid = \"{}\"\n\
             engine = \"llamacpp\"\nprovisioning = \"binary\"\nbinary = [{}]\nmodel = {}\ndevices = \"cpu\"\n\
             slots = {SLOTS}\nctx = 8192\nflags = [\"-t\", \"1\"]\n",
            self.land.address(node.place),
            node.name,
            quoted(&node.folder.join("state"))?,
            node.pool,
            engine.join(", "),
            quoted(&node.model(0))?,
        ))
    }

    /// Starts the server and both agents, and waits until both pools take work.
    pub(super) async fn start(&mut self) -> Result<Duration> {
        let began = Instant::now();
        self.start_server()?;
        for index in 0..self.nodes.len() {
            self.start_agent(index)?;
        }
        self.until_ready(&["a", "b"]).await?;
        Ok(began.elapsed())
    }

    pub(super) fn start_server(&mut self) -> Result<()> {
        let mut command = self.land.command(Place::Server, &self.parts.orchestratord);
        command.arg("--state-dir").arg(self.folder.join("server"));
        command.env("ORCHD_BIND_ADDR", self.server_address().to_string());
        command.env("ORCHD_ADMISSION_CAPACITY", "1000");
        self.start_as(command, "server.log").map(|server| self.server = Some(server))
    }

    pub(super) fn start_agent(&mut self, index: usize) -> Result<()> {
        let node = &self.nodes[index];
        let mut command = self.land.command(node.place, &self.parts.pool_managerd);
        command.arg("--config").arg(node.folder.join("node.toml"));
        command.env("ORCHESTRATORD_URL", format!("http://{}", self.server_address()));
        let agent = self.start_as(command, &format!("{}.log", node.name))?;
        self.nodes[index].agent = Some(agent);
        Ok(())
    }

    fn start_as(&self, mut command: Command, log: &str) -> Result<Process> {
        command.env("ORCHD_GPU_POLICY", "allow-cpu").env("LLORCH_API_TOKEN", API_TOKEN);
        command.env("RUST_LOG", "info");
        if self.tokens == Tokens::OneForNodes {
            command.env("LLORCH_NODE_TOKEN", NODE_TOKEN);
        }
        Process::start(command, &self.folder.join(log))
    }

    fn server_address(&self) -> SocketAddr {
        SocketAddr::new(self.land.address(Place::Server), SERVER_PORT)
    }

    /// Where the server and the agents listen.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let agents = self.nodes.iter().map(|node| SocketAddr::new(self.land.address(node.place), AGENT_PORT));
        agents.chain([self.server_address()]).collect()
    }

    pub(super) async fn call(&self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let mut client: Client = self.crowd.client();
        timeout(PATIENCE, client.call(method, path, body))
            .await
            .with_context(|| format!("{method} {path}"))?
    }

    /// How a pool is; nothing while the server does not answer.
    pub(super) async fn pool(&self, pool: &str) -> Value {
        let answer = self.call("GET", &format!("/v2/pools/{pool}/health"), "").await;
        answer.map(|answer| answer.json()).unwrap_or_default()
    }

    /// How a node is, by its name.
    pub(super) async fn node(&self, name: &str) -> Value {
        let nodes = self.call("GET", "/v2/nodes", "").await.map(|answer| answer.json()).unwrap_or_default();
        let all = nodes["nodes"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|node| node["node_id"] == name).unwrap_or_default()
    }

    /// Waits until these pools take work, and says how long that took.
    pub(super) async fn until_ready(&self, pools: &[&str]) -> Result<Duration> {
        let began = Instant::now();
        for pool in pools {
            loop {
                let health = self.pool(pool).await;
                if health["ready"] == true {
                    break;
                }
                if began.elapsed() > PATIENCE {
                    bail!("pool {pool} is not ready: {health}; logs in {}", self.folder.display());
                }
                sleep(POLL).await;
            }
        }
        Ok(began.elapsed())
    }

    /// Waits until a pool has run a task anew, and says how long that took.
    pub(super) async fn until_serves(&self, pool: &str) -> Result<Duration> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.crowd.wave(4, 4, 5).await?.iter().any(|it| it.is_whole() && it.pool == pool) {
                return Ok(began.elapsed());
            }
        }
        bail!("pool {pool} gets no work: {}", self.pool(pool).await)
    }
}

/// Processes whose command line names something in this folder, and that are no mere remains.
pub(super) fn living(folder: &Path) -> Result<Vec<i32>> {
    let needle = folder.display().to_string();
    let mut living = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end while it is looked at.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let is_gone = stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']));
        if !is_gone && String::from_utf8_lossy(&line).contains(&needle) {
            living.push(process);
        }
    }
    Ok(living)
}

/// Sends a signal to all of them; one that has just ended needs none.
pub(super) fn signal_all(processes: &[i32], signal: Signal) {
    for process in processes {
        kill(Pid::from_raw(*process), signal).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_by_the_folder_on_its_command_line() {
        let folder = std::env::temp_dir().join(format!("loadgen-living-{}", std::process::id()));
        let mut child =
            Command::new("sh").args(["-c", "read x"]).arg(&folder).stdin(Stdio::piped()).spawn().unwrap();
        let found = living(&folder).unwrap();
        assert_eq!(found, [i32::try_from(child.id()).unwrap()]);
        signal_all(&found, Signal::SIGKILL);
        child.wait().unwrap();
        assert!(living(&folder).unwrap().is_empty());
    }
}

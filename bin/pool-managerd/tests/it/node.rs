//! A node for a test: its folder, its models, and the agent, in this process or as one of its own.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use config_schema::ManagerConfig;
use pool_managerd::{
    App, Fittings, Gpus, Reading,
    config::{self, Surroundings},
    listen,
};
use pool_registry_types::PoolStatus;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::engine::script;

/// Nothing takes so long, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Where the real agent's program is.
const AGENT: &str = env!("CARGO_BIN_EXE_pool-managerd");

/// What a node has on its disk.
pub(crate) struct Disk {
    folder: TempDir,
    pub(crate) toml: String,
}

impl Disk {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        script(folder.path(), "engine", "");
        script(folder.path(), "stubborn", "trap '' TERM");
        let toml = format!(
            "bind_addr = \"127.0.0.1:0\"\nnode_id = \"n1\"\nstate_dir = \"{}\"\n",
            folder.path().join("state").display()
        );
        Self { folder, toml }
    }

    /// With a pool `a` that serves `model`, and these further keys.
    pub(crate) fn with_pool(model: &str, keys: &str) -> (Self, PathBuf) {
        let mut disk = Self::new();
        let model = disk.model("first.gguf", model);
        let engine = disk.path("engine");
        let pool = format!(
            "[[pools]]\nid = \"a\"\nengine = \"llamacpp\"\nprovisioning = \"binary\"\nbinary = \"{}\"\nmodel = \"{}\"\nslots = 4\n{keys}\n",
            engine.display(),
            model.display()
        );
        disk.toml.push_str(&pool);
        (disk, model)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A model with these words in it.
    pub(crate) fn model(&self, name: &str, words: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, words).unwrap();
        path
    }

    /// A setting of the agent, in front of all pools.
    pub(crate) fn set(&mut self, line: &str) {
        self.toml.insert_str(0, &format!("{line}\n"));
    }

    pub(crate) fn config(&self, env: &[(&str, &str)]) -> ManagerConfig {
        let file = self.path("c.toml");
        fs::write(&file, &self.toml).unwrap();
        let file = ("POOL_MANAGERD_CONFIG".to_owned(), file.display().to_string());
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        config::load(Vec::new(), env.chain([file])).unwrap()
    }
}

/// An agent that can be asked.
pub(crate) struct Door {
    base: String,
    pub(crate) client: Client,
}

impl Door {
    fn new(addr: SocketAddr) -> Self {
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { base: format!("http://{addr}"), client }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        self.client.get(self.url(path)).send().await.unwrap().text().await.unwrap()
    }

    pub(crate) async fn code(&self, path: &str) -> StatusCode {
        self.client.get(self.url(path)).send().await.unwrap().status()
    }

    pub(crate) async fn status(&self) -> PoolStatus {
        serde_json::from_str(&self.text("/v2/pools/a/status").await).unwrap()
    }

    pub(crate) async fn post(&self, what: &str, body: &Value) -> (StatusCode, Value) {
        let url = self.url(&format!("/v2/pools/a/{what}"));
        let answer = self.client.post(url).json(body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// Waits until the pool is as it should be.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&PoolStatus) -> bool) -> PoolStatus {
        let began = std::time::Instant::now();
        loop {
            let status = self.status().await;
            if is(&status) {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the pool does not become {what}: {status:#?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn until_ready(&self) -> PoolStatus {
        self.until("ready", |status| status.report.ready).await
    }
}

/// The agent in this process.
pub(crate) struct Node {
    pub(crate) door: Door,
    stop: CancellationToken,
    serving: JoinHandle<anyhow::Result<()>>,
}

impl Node {
    pub(crate) async fn start(disk: &Disk) -> Self {
        Self::start_with(disk, &[], Duration::from_secs(1)).await
    }

    pub(crate) async fn start_with(disk: &Disk, env: &[(&str, &str)], rest_first: Duration) -> Self {
        let config = disk.config(env);
        let listener = listen(config.bind_addr).unwrap();
        let address = listener.local_addr().unwrap();
        let variables = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let surroundings = Surroundings { path, variables: variables.collect() };
        let fittings = Fittings { program: AGENT.into(), rest_first };
        let app = App::build_with(config, address, two_gpus(), &surroundings, fittings).await.unwrap();
        let stop = CancellationToken::new();
        let told = stop.clone();
        let serving = tokio::spawn(app.serve(listener, async move { told.cancelled().await }));
        Self { door: Door::new(address), stop, serving }
    }

    /// Stops the agent in order.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.serving.await.unwrap().unwrap();
    }
}

/// Two GPUs of 24 GB, one of them half full.
fn two_gpus() -> Gpus {
    let gpu = |index, free_bytes| Reading {
        index,
        name: "Test GPU".into(),
        total_bytes: 24 << 30,
        free_bytes,
        compute_capability: Some("8.9".into()),
        utilization: Some(0.5),
    };
    Gpus::Fixed(vec![gpu(0, 24 << 30), gpu(1, 12 << 30)])
}

/// The agent as a process of its own, which ends with its test.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    pub(crate) door: Door,
}

impl Daemon {
    pub(crate) async fn start(disk: &Disk) -> Self {
        Self::start_with(disk, &[]).await
    }

    pub(crate) async fn start_with(disk: &Disk, env: &[(&str, &str)]) -> Self {
        Self::launch(disk, env, Stdio::null()).await
    }

    /// Starts it with its log in this file.
    pub(crate) async fn start_into(disk: &Disk, env: &[(&str, &str)], log: &Path) -> Self {
        Self::launch(disk, env, fs::File::create(log).unwrap().into()).await
    }

    async fn launch(disk: &Disk, env: &[(&str, &str)], stderr: Stdio) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = disk.path("c.toml");
        fs::write(&file, &disk.toml).unwrap();
        let mut command = Command::new(AGENT);
        command.arg("--config").arg(&file).arg(format!("--bind-addr=127.0.0.1:{port}"));
        command.envs(env.iter().copied());
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let door = Door::new(SocketAddr::from(([127, 0, 0, 1], port)));
        let began = std::time::Instant::now();
        while door.client.get(door.url("/health")).send().await.is_err() {
            assert!(began.elapsed() < PATIENCE, "the agent does not answer");
            sleep(Duration::from_millis(20)).await;
        }
        Self { child, door }
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whether a process is there and has not ended.
pub(crate) fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    state.is_some_and(|state| state != "Z" && state != "X")
}

/// Waits until something outside of the agent is so.
pub(crate) async fn until(what: &str, is: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENCE, "it does not come to this: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The process that serves this model.
pub(crate) fn pid_of(model: &Path) -> String {
    crate::engine::left(model, "pid").unwrap()
}

/// `kill -9`.
pub(crate) fn kill(pid: &str) {
    let status = Command::new("kill").args(["-9", pid]).status().unwrap();
    assert!(status.success());
}

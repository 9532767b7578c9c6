//! A real engine and the real server as child processes, which end with their test.

use std::{
    env,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

/// Loading the small model takes a second or two; a busy machine gets more.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A model in the engines' cache.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Model {
    /// Counts: one number is one token.
    TinyCounter,
    /// A small real model.
    SmolLm2,
}

impl Model {
    fn file(self) -> &'static str {
        match self {
            Self::TinyCounter => "tiny-counter.gguf",
            Self::SmolLm2 => "SmolLM2-135M-Instruct.Q4_1.gguf",
        }
    }
}

/// A real llama.cpp server, or a line that says why there is none.
pub(crate) async fn engine_or_skip(model: Model) -> Option<Engine> {
    engine_with(model, &[]).await
}

/// The same with further flags.
pub(crate) async fn engine_with(model: Model, flags: &[&str]) -> Option<Engine> {
    let cache = cache();
    let (python, model_path) = (cache.join("venv/bin/python"), cache.join("models").join(model.file()));
    for needed in [&python, &model_path] {
        if !needed.exists() {
            println!("SKIPPED: no real engine: {} is missing; run `cargo xtask setup`", needed.display());
            return None;
        }
    }
    Some(Engine::start(&python, &model_path, model, flags).await)
}

pub(crate) fn cache() -> PathBuf {
    let from = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("LLORCH_CACHE_DIR").unwrap_or_else(|| {
        let base = from("XDG_CACHE_HOME")
            .unwrap_or_else(|| PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache"));
        base.join("llama-orch/engines")
    })
}

/// A child that is killed and waited for when its test ends, however it ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn until_ok(client: &Client, url: &str, process: &mut Process) {
    until_ok_within(client, url, process, PATIENCE).await;
}

async fn until_ok_within(client: &Client, url: &str, process: &mut Process, patience: Duration) {
    let began = Instant::now();
    while !matches!(client.get(url).send().await, Ok(answer) if answer.status() == StatusCode::OK) {
        if let Some(status) = process.0.try_wait().unwrap() {
            panic!("{url}: the process ended: {status}");
        }
        assert!(began.elapsed() < patience, "{url} does not become ready");
        sleep(Duration::from_millis(25)).await;
    }
}

/// A real llama.cpp server.
pub(crate) struct Engine {
    process: Process,
    port: u16,
    client: Client,
    model: Model,
}

impl Engine {
    const SLOTS: u32 = 4;
    pub(crate) const CONTEXT_PER_SLOT: u32 = 4_096;

    async fn start(python: &Path, model_path: &Path, model: Model, flags: &[&str]) -> Self {
        let port = free_port();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask/engines/llama_server.py");
        let context = Self::CONTEXT_PER_SLOT * Self::SLOTS;
        let child = Command::new(python)
            .arg(script)
            .arg("-m")
            .arg(model_path)
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--parallel", &Self::SLOTS.to_string(), "-c", &context.to_string()])
            // One thread: with more, the engine's barriers spin against everything else here.
            .args(["-t", "1", "--slots", "--metrics", "--with-parent"])
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut process = Process(child);
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        until_ok(&client, &format!("http://127.0.0.1:{port}/health"), &mut process).await;
        Self { process, port, client, model }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn model_file(&self) -> &'static str {
        self.model.file()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        self.client.post(url).json(body).send().await.unwrap().json().await.unwrap()
    }

    /// Slots that generate now, by the engine's own word.
    pub(crate) async fn busy_slots(&self) -> usize {
        let url = format!("http://127.0.0.1:{}/slots", self.port);
        let slots: Vec<Value> = self.client.get(url).send().await.unwrap().json().await.unwrap();
        slots.iter().filter(|slot| slot["is_processing"] == true).count()
    }

    /// Waits until no slot generates, and says how long that took.
    pub(crate) async fn until_idle(&self) -> Duration {
        let began = Instant::now();
        while self.busy_slots().await > 0 {
            assert!(began.elapsed() < PATIENCE, "the engine still generates");
            sleep(Duration::from_millis(20)).await;
        }
        began.elapsed()
    }

    /// Signal 9.
    pub(crate) fn kill(&mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
    }
}

/// A real vLLM on the CPU, which takes minutes to start.
pub(crate) struct Vllm {
    _process: Process,
    port: u16,
    client: Client,
}

impl Vllm {
    pub(crate) const MODEL: &str = "tiny-counter";
    const PATIENCE: Duration = Duration::from_mins(8);

    /// It, or a line that says why it is not tried.
    pub(crate) async fn or_skip() -> Option<Self> {
        let (program, model) = (cache().join("vllm/venv/bin/vllm"), cache().join("models/tiny-counter-hf"));
        if env::var_os("LLORCH_LIVE_VLLM").is_none() || !program.exists() || !model.exists() {
            println!("SKIPPED: vLLM takes gigabytes and minutes; run `cargo xtask live --vllm`");
            return None;
        }
        let port = free_port();
        let child = Command::new(program)
            .arg("serve")
            .arg(model)
            .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--served-model-name", Self::MODEL])
            .args(["--dtype", "float32", "--max-model-len", "4096", "--max-num-seqs", "4", "--enforce-eager"])
            .envs([("VLLM_TARGET_DEVICE", "cpu"), ("VLLM_CPU_KVCACHE_SPACE", "1"), ("OMP_NUM_THREADS", "1")])
            .envs([
                ("VLLM_CPU_OMP_THREADS_BIND", "nobind"),
                ("HF_HUB_OFFLINE", "1"),
                ("VLLM_NO_USAGE_STATS", "1"),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut process = Process(child);
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        until_ok_within(&client, &format!("http://127.0.0.1:{port}/health"), &mut process, Self::PATIENCE)
            .await;
        Some(Self { _process: process, port, client })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Requests that it works on now, by its own word.
    pub(crate) async fn running(&self) -> f64 {
        let text =
            self.client.get(format!("{}/metrics", self.url())).send().await.unwrap().text().await.unwrap();
        let line = text.lines().find(|line| line.starts_with("vllm:num_requests_running{"));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap()
    }
}

/// The server under test, as its users run it.
pub(crate) struct Server {
    process: Process,
    base: String,
    client: Client,
    /// Goes after the process.
    _state: TempDir,
}

impl Server {
    pub(crate) async fn start(engine: &Engine) -> Self {
        Self::start_with(engine, "llamacpp").await
    }

    /// The server with one pool on the engine, which is spoken with in this kind's dialect.
    pub(crate) async fn start_with(engine: &Engine, kind: &str) -> Self {
        let pool = format!("default={kind}+http://127.0.0.1:{}", engine.port);
        Self::start_env(&[("ORCHD_POOLS", &pool)]).await
    }

    /// The server with these settings; with none, it has its built-in pool.
    pub(crate) async fn start_env(settings: &[(&str, &str)]) -> Self {
        let port = free_port();
        let state = TempDir::new().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_orchestratord"))
            .env_clear()
            .env("ORCHD_BIND_ADDR", format!("127.0.0.1:{port}"))
            .env("RUST_LOG", "warn")
            .env("ORCHD_STATE_DIR", state.path())
            .envs(settings.iter().copied())
            .spawn()
            .unwrap();
        let mut process = Process(child);
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let base = format!("http://127.0.0.1:{port}");
        until_ok(&client, &format!("{base}/ready"), &mut process).await;
        Self { process, base, client, _state: state }
    }

    pub(crate) fn url(&self) -> &str {
        &self.base
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.base.trim_start_matches("http://").parse().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    pub(crate) async fn get_text(&self, path: &str) -> String {
        self.client.get(format!("{}{path}", self.base)).send().await.unwrap().text().await.unwrap()
    }

    /// Waits until a task is in this state.
    pub(crate) async fn until_state(&self, id: &str, state: &str) -> Value {
        let began = Instant::now();
        loop {
            let task = self.get_json(&format!("/v2/tasks/{id}")).await;
            if task["state"] == state {
                return task;
            }
            assert!(began.elapsed() < PATIENCE, "{task} does not become {state}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn get_json(&self, path: &str) -> Value {
        self.client.get(format!("{}{path}", self.base)).send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> StatusCode {
        self.client.post(format!("{}{path}", self.base)).json(body).send().await.unwrap().status()
    }

    pub(crate) async fn try_submit(&self, task: &Value) -> (StatusCode, Value) {
        let url = format!("{}/v2/tasks", self.base);
        let response = self.client.post(url).json(task).send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    pub(crate) async fn submit(&self, task: &Value) -> String {
        let (status, body) = self.try_submit(task).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        body["job_id"].as_str().unwrap().to_owned()
    }

    /// The stream from the event after `after` to its end.
    pub(crate) async fn stream(&self, id: &str, after: Option<u64>) -> String {
        let after = after.map(|after| format!("?after={after}")).unwrap_or_default();
        let url = format!("{}/v2/tasks/{id}/events{after}", self.base);
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// Reads a stream until it shows a token.
    pub(crate) async fn until_tokens(&self, id: &str) {
        let url = format!("{}/v2/tasks/{id}/events", self.base);
        let mut response = self.client.get(url).send().await.unwrap();
        let mut seen = String::new();
        while !seen.contains("event: token") {
            let chunk = response.chunk().await.unwrap().expect("the stream shows a token before it ends");
            seen.push_str(&String::from_utf8_lossy(&chunk));
        }
    }
}

/// The events of a stream: name and data.
pub(crate) fn events(stream: &str) -> Vec<(String, Value)> {
    let blocks = stream.split("\n\n").filter(|block| !block.is_empty() && !block.starts_with(':'));
    blocks
        .map(|block| {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            (field("event: ").to_owned(), serde_json::from_str(field("data: ")).unwrap())
        })
        .collect()
}

/// The concatenated token texts of a stream.
pub(crate) fn text_of(stream: &str) -> String {
    let events = events(stream);
    let tokens = events.iter().filter(|(name, _)| name == "token");
    tokens.map(|(_, data)| data["t"].as_str().unwrap()).collect()
}

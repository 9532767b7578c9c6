//! The agent with a real llama.cpp server and real models, as processes of their own.
//!
//! `cargo xtask setup` gets the engine. Where it cannot be had, each test says SKIPPED and why.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "a test measures real time")]

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use pool_registry_types::PoolStatus;
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

/// Loading the small model takes a second or two; a busy machine gets more.
const PATIENCE: Duration = Duration::from_mins(1);
const COUNTER: &str = "tiny-counter.gguf";
const SMOLLM2: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

fn cache() -> PathBuf {
    let from = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("LLORCH_CACHE_DIR").unwrap_or_else(|| {
        let base = from("XDG_CACHE_HOME")
            .unwrap_or_else(|| PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache"));
        base.join("llama-orch/engines")
    })
}

/// The agent, and where it can be asked. It ends with its test.
struct Agent {
    child: Child,
    client: Client,
    base: String,
    cache: PathBuf,
    _folder: TempDir,
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Agent {
    /// An agent whose engine is the real one, or a line that says why there is none.
    fn start_or_skip() -> Option<Self> {
        let cache = cache();
        let (python, model) = (cache.join("venv/bin/python"), cache.join("models").join(COUNTER));
        for needed in [&python, &model] {
            if !needed.exists() {
                println!("SKIPPED: no real engine: {} is missing; run `cargo xtask setup`", needed.display());
                return None;
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = folder.path().join("node.toml");
        fs::write(&file, config(port, &python, &model, folder.path())).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pool-managerd"));
        command.arg("--config").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Some(Self { child, client, base: format!("http://127.0.0.1:{port}"), cache, _folder: folder })
    }

    async fn status(&self) -> Option<PoolStatus> {
        let answer = self.client.get(format!("{}/v2/pools/default/status", self.base)).send().await.ok()?;
        answer.json().await.ok()
    }

    async fn until(&self, what: &str, is: impl Fn(&PoolStatus) -> bool) -> PoolStatus {
        let began = Instant::now();
        loop {
            let status = self.status().await;
            if let Some(status) = status.clone().filter(&is) {
                println!("{what} after {:?}", began.elapsed());
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "not {what}: {status:#?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn model(&self, name: &str) -> String {
        self.cache.join("models").join(name).display().to_string()
    }
}

fn config(port: u16, python: &Path, model: &Path, folder: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask/engines/llama_server.py");
    let text = json!({
        "bind_addr": format!("127.0.0.1:{port}"),
        "gpu_policy": "allow-cpu",
        "state_dir": folder.join("state"),
    });
    let mut lines: Vec<String> =
        text.as_object().unwrap().iter().map(|(key, value)| format!("{key} = {value}")).collect();
    lines.push(format!(
        "[[pools]]\nid = \"default\"\nengine = \"llamacpp\"\nprovisioning = \"binary\"\nbinary = [\"{}\", \"{}\"]\nmodel = \"{}\"\ndevices = \"cpu\"\nslots = 2\nctx = 2048\nflags = [\"-t\", \"1\"]\n",
        python.display(),
        script.display(),
        model.display()
    ));
    lines.join("\n")
}

/// What the engine at the reported endpoint answers.
async fn complete(agent: &Agent, status: &PoolStatus, prompt: &str) -> Value {
    let url = format!("{}/completion", status.report.endpoint.as_ref().unwrap());
    let body = json!({"prompt": prompt, "n_predict": 8, "temperature": 0, "stream": false});
    agent.client.post(url).json(&body).send().await.unwrap().json().await.unwrap()
}

/// The engine's process: the child of the agent's child.
fn engine_of(agent: &Agent) -> String {
    let child_of = |pid: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        text.split_whitespace().next().map(str::to_owned)
    };
    // The agent's threads each have children of their own.
    let threads = fs::read_dir(format!("/proc/{}/task", agent.child.id())).unwrap().flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let mut babysitter =
        children.flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    babysitter.find_map(|pid| child_of(&pid)).unwrap()
}

mod live {
    //! The tests, under the name by which the runner finds them.

    use pool_registry_types::OperationState;

    use super::*;

    //= ORCH-3002 type=test
    //= ORCH-3441 type=test
    //= ORCH-3443 type=test
    #[tokio::test]
    async fn a_real_engine_is_started_lost_started_again_and_given_another_model() {
        let Some(agent) = Agent::start_or_skip() else { return };
        let status = agent.until("ready", |status| status.report.ready).await;
        assert_eq!((status.report.slots_total, status.report.ctx_max), (Some(2), Some(2_048)));
        assert_eq!(complete(&agent, &status, "Count:").await["content"], " 0 1 2 3 4 5 6 7");

        let engine = engine_of(&agent);
        assert!(Command::new("kill").args(["-9", &engine]).status().unwrap().success());
        let lost = agent.until("lost", |status| !status.report.ready).await;
        assert!(lost.report.last_error.unwrap().starts_with("killed by signal 9"));
        let status = agent.until("ready again", |status| status.report.ready).await;
        assert_eq!(complete(&agent, &status, "Count:").await["content"], " 0 1 2 3 4 5 6 7");

        let new = agent.model(SMOLLM2);
        let url = format!("{}/v2/pools/default/reload", agent.base);
        let answer = agent.client.post(url).json(&json!({"new_model_ref": new})).send().await.unwrap();
        assert_eq!(answer.status(), reqwest::StatusCode::ACCEPTED);
        let done = |status: &PoolStatus| {
            status.operation.as_ref().is_some_and(|operation| operation.state != OperationState::Running)
        };
        let status = agent.until("reloaded", done).await;
        assert_eq!(status.operation.as_ref().unwrap().state, OperationState::Succeeded, "{status:#?}");
        assert!(status.report.ready);
        assert_eq!(status.report.model_id, Some(new));
        let answer = complete(&agent, &status, "Once upon a time").await;
        assert!(answer["content"].as_str().is_some_and(|text| !text.trim().is_empty()), "{answer}");
    }
}

//! The server as a process of its own, which can be killed.

use std::{
    io::Read,
    net::{SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::support::{Event, PATIENCE, parse, until_state};

/// A process of the server on a state folder.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) addr: SocketAddr,
    pub(crate) client: Client,
}

impl Daemon {
    /// Starts it, and waits until it is ready.
    pub(crate) async fn start(state: &Path, settings: &[(&str, &str)]) -> Self {
        Self::start_under(&[], state, settings).await
    }

    /// Starts it under another program, which gets it as its last argument.
    pub(crate) async fn start_under(tracer: &[&str], state: &Path, settings: &[(&str, &str)]) -> Self {
        let mut daemon = Self::spawn(tracer, (state, settings), Stdio::inherit());
        daemon.until_ready().await;
        daemon
    }

    /// Waits until it has ended by itself, and tells whether it said that all is well.
    pub(crate) async fn ends(&mut self) -> bool {
        let ended = async {
            while self.child.try_wait().unwrap().is_none() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, ended).await.expect("it ends by itself");
        self.child.wait().unwrap().success()
    }

    pub(crate) fn spawn(tracer: &[&str], on: (&Path, &[(&str, &str)]), stderr: Stdio) -> Self {
        Self::spawn_into(tracer, on, (Stdio::inherit(), stderr))
    }

    /// Starts it so that both of what it writes go somewhere.
    pub(crate) fn spawn_into(
        tracer: &[&str],
        (state, settings): (&Path, &[(&str, &str)]),
        (stdout, stderr): (Stdio, Stdio),
    ) -> Self {
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let program = env!("CARGO_BIN_EXE_orchestratord");
        let mut command = Command::new(tracer.first().copied().unwrap_or(program));
        if let Some(more) = tracer.get(1..) {
            command.args(more).arg(program);
        }
        let child = command
            .env_clear()
            .env("ORCHD_BIND_ADDR", addr.to_string())
            .env("ORCHD_STATE_DIR", state)
            .env("RUST_LOG", "error")
            .envs(settings.iter().copied())
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .unwrap();
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { child, addr, client }
    }

    /// Starts it where it must refuse to, and returns its exit code and what it said.
    pub(crate) async fn refuses(state: &Path, settings: &[(&str, &str)]) -> (Option<i32>, String) {
        let mut daemon = Self::spawn(&[], (state, settings), Stdio::piped());
        let ended = async {
            loop {
                match daemon.child.try_wait().unwrap() {
                    Some(status) => return status,
                    None => sleep(Duration::from_millis(10)).await,
                }
            }
        };
        let status = timeout(PATIENCE, ended).await.expect("it ends by itself");
        let mut said = String::new();
        daemon.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status.code(), said)
    }

    fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// How it was called, as every user of the machine can read it.
    pub(crate) fn command_line(&self) -> Vec<u8> {
        std::fs::read(format!("/proc/{}/cmdline", self.child.id())).unwrap()
    }

    pub(crate) async fn until_ready(&mut self) {
        let ready = async {
            loop {
                let answer = self.client.get(self.url("/ready")).send().await;
                if answer.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                    return;
                }
                assert!(self.child.try_wait().unwrap().is_none(), "the server has ended");
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, ready).await.expect("the server becomes ready");
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Ends it without a word, as the kernel or a power cut would.
    pub(crate) fn kill(self) {
        // Dropping it does just that.
        drop(self);
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) {
        nix::sys::signal::kill(self.pid(), nix::sys::signal::SIGTERM).unwrap();
        let ended = async {
            while self.child.try_wait().unwrap().is_none() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, ended).await.expect("the server stops");
        assert!(self.child.wait().unwrap().success());
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let answer = self.client.post(self.url(path)).json(body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    pub(crate) async fn submit(&self, task: &Value) -> String {
        let (status, body) = self.post("/v2/tasks", task).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        body["job_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn get_json(&self, path: &str) -> Value {
        self.client.get(self.url(path)).send().await.unwrap().json().await.unwrap()
    }

    /// Waits until the task is in this state.
    pub(crate) async fn until_state(&self, id: &str, state: &str) -> Value {
        until_state(&self.client, &self.url(&format!("/v2/tasks/{id}")), state).await
    }

    /// The bytes of a stream from the event after `after` to its end.
    pub(crate) async fn stream(&self, id: &str, after: Option<u64>) -> String {
        let mut request = self.client.get(self.url(&format!("/v2/tasks/{id}/events")));
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{text}");
        text
    }

    pub(crate) async fn events(&self, id: &str) -> Vec<Event> {
        parse(&self.stream(id, None).await)
    }

    /// What a stream has said when so many events were read.
    pub(crate) async fn first_events(&self, id: &str, count: usize) -> String {
        let answer = self.client.get(self.url(&format!("/v2/tasks/{id}/events"))).send().await.unwrap();
        let mut answer = answer;
        let mut text = String::new();
        while text.matches("\n\n").count() < count {
            let chunk = timeout(PATIENCE, answer.chunk()).await.expect("events come").unwrap();
            text.push_str(std::str::from_utf8(&chunk.expect("the stream goes on")).unwrap());
        }
        text
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The group: under a tracer the server is not the child.
        nix::sys::signal::killpg(self.pid(), nix::sys::signal::SIGKILL).ok();
        drop(self.child.wait());
    }
}

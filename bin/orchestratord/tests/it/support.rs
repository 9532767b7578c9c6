//! A server to test, and the few ways in which tests speak with it.

use std::{ffi::OsString, net::SocketAddr, time::Duration};

use orchestratord::{App, config};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::model_root::Root;
pub(crate) use crate::stream::{Event, parse};

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server in this process.
pub(crate) struct TestApp {
    pub(crate) addr: SocketAddr,
    pub(crate) client: Client,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<anyhow::Result<()>>,
}

impl TestApp {
    /// A server with the built-in mock pool.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A server with these settings, by their environment names.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        // A test that names a folder wants what outlives the process.
        let kind =
            if settings.iter().any(|(name, _)| *name == "ORCHD_STATE_DIR") { "sqlite" } else { "memory" };
        let kind = [("ORCHD_STORE_KIND", kind)];
        let settings = settings.iter().chain(&kind);
        let env: Vec<_> = settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let config = config::load(Vec::<OsString>::new(), env).expect("the settings are valid");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let app = App::build(&config).await.unwrap();
        let served = tokio::spawn(app.serve(listener, async {
            drop(stopped.await);
        }));
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let app = Self { addr, client, stop: Some(stop), served };
        app.until_ready().await;
        app
    }

    /// A server whose models lie below this folder.
    pub(crate) async fn over(root: &Root) -> Self {
        Self::with(&[("ORCHD_MODEL_ROOTS", root.path())]).await
    }

    async fn until_ready(&self) {
        let ready = async {
            while self.get("/ready").await.status() != StatusCode::OK {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, ready).await.expect("the server becomes ready");
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    pub(crate) async fn get_json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.client.post(self.url(path)).json(body).send().await.unwrap()
    }

    /// Submits a task that must be accepted, and returns its id.
    pub(crate) async fn submit(&self, task: &Value) -> String {
        let response = self.post("/v2/tasks", task).await;
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        body["job_id"].as_str().unwrap().to_owned()
    }

    /// A task's whole stream, once it has ended.
    pub(crate) async fn events(&self, id: &str) -> Vec<Event> {
        parse(&self.stream(id, None).await)
    }

    /// The bytes of a stream from the event after `after` to its end.
    pub(crate) async fn stream(&self, id: &str, after: Option<u64>) -> String {
        let mut request = self.client.get(self.url(&format!("/v2/tasks/{id}/events")));
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.text().await.unwrap()
    }

    pub(crate) async fn cancel(&self, id: &str) -> StatusCode {
        let url = self.url(&format!("/v2/tasks/{id}/cancel"));
        self.client.post(url).send().await.unwrap().status()
    }

    /// Waits until the task is in this state.
    pub(crate) async fn until_state(&self, id: &str, state: &str) -> Value {
        until_state(&self.client, &self.url(&format!("/v2/tasks/{id}")), state).await
    }

    /// Sends raw bytes on a new connection and returns all that comes back until the server closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut socket = TcpStream::connect(self.addr).await.unwrap();
        // The server may close before it has read everything; what it said still counts.
        drop(socket.write_all(bytes).await);
        let mut answer = Vec::new();
        drop(timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("the server closes"));
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Checks that no slot and no place in a queue is taken, then stops the server.
    pub(crate) async fn finish(mut self) {
        let quiet = async {
            loop {
                let pools = self.get_json("/v2/pools").await;
                let all = pools["pools"].as_array().unwrap();
                let free = |pool: &Value| {
                    let metrics = &pool["metrics"];
                    let unready = pool["ready"] == false;
                    metrics["queue_depth"] == 0
                        && (unready || metrics["slots_free"] == metrics["slots_total"])
                };
                if all.iter().all(free) {
                    return;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, quiet).await.expect("every slot and queue is free at the end of a test");
        self.stop().await;
    }

    /// Tells the server to stop and waits until it has.
    pub(crate) async fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        timeout(PATIENCE, &mut self.served).await.expect("the server stops").unwrap().unwrap();
    }
}

/// Waits until the task at this address is in this state.
pub(crate) async fn until_state(client: &Client, url: &str, state: &str) -> Value {
    let reached = async {
        loop {
            let task: Value = client.get(url).send().await.unwrap().json().await.unwrap();
            if task["state"] == state {
                return task;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{url} becomes {state}"))
}

/// The concatenated token texts of a stream. Checks the order of events and the gapless numbers.
pub(crate) fn text_of(events: &[Event]) -> String {
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    assert_eq!(ids, (0..events.len() as u64).collect::<Vec<_>>(), "ids are gapless from 0");
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    let known = |name: &&str| ["started", "token", "metrics", "end", "error"].contains(name);
    assert!(names.iter().all(known), "there are no other events: {names:?}");
    let last = *names.last().expect("a stream is not empty");
    assert!(["end", "error"].contains(&last), "the last event is terminal: {names:?}");
    let terminals = names.iter().filter(|name| ["end", "error"].contains(name)).count();
    assert_eq!(terminals, 1, "there is one terminal event: {names:?}");
    assert_eq!(names[names.len() - 2], "metrics", "metrics come before the end: {names:?}");
    if let Some(first) = names.iter().position(|name| *name == "token") {
        assert!(names[..first].contains(&"started"), "started comes before tokens: {names:?}");
    }
    let tokens: Vec<_> = events.iter().filter(|event| event.name == "token").collect();
    for (index, token) in tokens.iter().enumerate() {
        assert_eq!(token.data["i"], index, "tokens are gapless from 0");
    }
    tokens.iter().map(|token| token.data["t"].as_str().unwrap()).collect()
}

/// A task for the built-in mock.
pub(crate) fn mock_task() -> Value {
    json!({"model_ref": "mock", "prompt": "Tell me a story.", "max_tokens": 12})
}

/// A task for an engine that plays scripts.
pub(crate) fn engine_task() -> Value {
    json!({"model_ref": "scripted", "prompt": "Count:", "max_tokens": 64})
}

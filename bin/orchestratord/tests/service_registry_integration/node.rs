//! A node to test with: an engine that plays scripts, and an agent that does what it is told.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use mock::wire::{Persona, ScriptedEngine};
use parking_lot::Mutex;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::support::PATIENCE;

/// A node with one engine.
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) engine: Arc<ScriptedEngine>,
    pub(crate) agent: Arc<Agent>,
    pub(crate) addr: SocketAddr,
    served: JoinHandle<()>,
    client: Client,
}

/// What the agent knows and has been told.
#[derive(Default)]
pub(crate) struct Agent {
    pub(crate) state: Mutex<Told>,
    engine: Option<Arc<ScriptedEngine>>,
}

#[derive(Default)]
pub(crate) struct Told {
    pub(crate) pool: String,
    pub(crate) report: Value,
    /// What reloads come to, each in its turn; one more succeeds.
    pub(crate) reloads: Vec<Reload>,
    pub(crate) operation: Option<Value>,
    pub(crate) operations: u64,
    /// Every request to do something: what, and with which body.
    pub(crate) asked: Vec<(String, Value)>,
    pub(crate) authorization: Option<String>,
    /// The trace of the last request to do something.
    pub(crate) traceparent: Option<String>,
}

/// What a reload comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reload {
    Works,
    Fails,
    /// It is never told how it ended.
    Hangs,
}

/// An engine that calls its model so, and by no other name.
pub(crate) fn serving(model: &str, slots: u32) -> Persona {
    let props =
        json!({"default_generation_settings": {"n_ctx": 4096}, "total_slots": slots, "model_alias": model});
    let models = json!({"data": [{"id": model}]});
    Persona::llamacpp(slots).saying("/props", &props.to_string()).saying("/v1/models", &models.to_string())
}

impl Drop for Node {
    fn drop(&mut self) {
        self.served.abort();
    }
}

impl Node {
    /// A node `id` whose pool `pool` serves `scripted` in so many slots.
    pub(crate) async fn start(id: &str, pool: &str, slots: u32) -> Self {
        let engine = Arc::new(ScriptedEngine::start_as(serving("scripted", slots)).await.unwrap());
        let report = json!({
            "pool_id": pool, "ready": true, "slots_free": slots, "slots_total": slots,
            "vram_free_bytes": 8_u64 << 30, "vram_total_bytes": 16_u64 << 30,
            "engine": "llamacpp", "engine_version": "b1", "endpoint": engine.url(),
            "model_id": "scripted", "device_mask": "0", "ctx_max": 4096,
        });
        let agent = Arc::new(Agent { engine: Some(Arc::clone(&engine)), ..Agent::default() });
        *agent.state.lock() = Told { pool: pool.to_owned(), report, ..Told::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/v2/pools", get(pools))
            .route("/v2/pools/{id}/status", get(status))
            .route("/v2/pools/{id}/{operation}", post(operate))
            .with_state(Arc::clone(&agent));
        let served = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { id: id.to_owned(), engine, agent, addr, served, client }
    }

    /// Changes what the node reports.
    pub(crate) fn says(&self, field: &str, value: impl Into<Value>) {
        self.agent.state.lock().report[field] = value.into();
    }

    pub(crate) fn report(&self) -> Value {
        self.agent.state.lock().report.clone()
    }

    pub(crate) fn registration(&self) -> Value {
        json!({
            "node_id": self.id, "machine_id": format!("machine-of-{}", self.id),
            "address": self.addr.to_string(), "pools": [self.agent.state.lock().pool],
            "capabilities": {"gpus": []}, "version": "0.1.0",
        })
    }

    pub(crate) async fn register(&self, base: &str) {
        let answer = self.post(base, "/v2/nodes/register", &self.registration()).await;
        assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
    }

    /// Sends a heartbeat with what the node says now.
    pub(crate) async fn beat(&self, base: &str) -> Response {
        self.beat_with(base, json!({})).await
    }

    /// Sends a heartbeat with further fields.
    pub(crate) async fn beat_with(&self, base: &str, more: Value) -> Response {
        let mut beat = json!({"timestamp": "2026-01-01T00:00:00Z", "pools": [self.report()]});
        for (name, value) in more.as_object().unwrap() {
            beat[name] = value.clone();
        }
        self.post(base, &format!("/v2/nodes/{}/heartbeat", self.id), &beat).await
    }

    async fn post(&self, base: &str, path: &str, body: &Value) -> Response {
        self.client.post(format!("{base}{path}")).json(body).send().await.unwrap()
    }

    /// Registers, is heard, and waits until its replica takes work.
    pub(crate) async fn join(&self, base: &str) {
        self.register(base).await;
        self.is_heard(base).await;
    }

    /// Is heard, and waits until its replica takes work.
    pub(crate) async fn is_heard(&self, base: &str) {
        let answer = self.beat(base).await;
        assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
        self.until(base, |replica| replica["ready"] == true).await;
    }

    /// Waits until its replica is shown so.
    pub(crate) async fn until(&self, base: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let (pool, replica) = {
            let state = self.agent.state.lock();
            (state.pool.clone(), format!("{}/{}", self.id, state.pool))
        };
        let url = format!("{base}/v2/pools/{pool}/health");
        let reached = async {
            loop {
                let health: Value = self.client.get(&url).send().await.unwrap().json().await.unwrap();
                let replicas = health["replicas"].as_array().cloned().unwrap_or_default();
                let own = replicas.into_iter().find(|it| it["replica_id"] == replica.as_str());
                if let Some(own) = own.filter(|own| is_so(own)) {
                    return own;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{replica} becomes so"))
    }

    /// What the agent was asked to do, without the bodies.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.agent.state.lock().asked.iter().map(|(what, _)| what.clone()).collect()
    }
}

async fn pools(State(agent): State<Arc<Agent>>, headers: HeaderMap) -> Json<Value> {
    let mut state = agent.state.lock();
    let token = headers.get("authorization").and_then(|value| value.to_str().ok());
    state.authorization = token.map(str::to_owned);
    Json(json!({"pools": [state.report]}))
}

async fn status(State(agent): State<Arc<Agent>>, Path(_): Path<String>) -> Json<Value> {
    let state = agent.state.lock();
    let mut status = state.report.clone();
    status["live"] = json!(true);
    status["model_ref"] = state.report["model_id"].clone();
    if let Some(operation) = &state.operation {
        status["operation"] = operation.clone();
    }
    Json(status)
}

/// Does what it is told, at once.
async fn operate(
    State(agent): State<Arc<Agent>>,
    Path((pool, operation)): Path<(String, String)>,
    headers: HeaderMap,
    body: Option<Json<Value>>,
) -> (StatusCode, Json<Value>) {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let mut state = agent.state.lock();
    state.asked.push((operation.clone(), body.clone()));
    let trace = headers.get("traceparent").and_then(|value| value.to_str().ok());
    state.traceparent = trace.map(str::to_owned);
    state.operations += 1;
    let mut answer = json!({"operation": operation, "state": "running", "operation_id": state.operations});
    let mut done = answer.clone();
    done["state"] = json!("succeeded");
    match operation.as_str() {
        "reload" => {
            let outcome = if state.reloads.is_empty() { Reload::Works } else { state.reloads.remove(0) };
            match outcome {
                Reload::Works => {
                    state.report["model_id"] = body["new_model_ref"].clone();
                    if let Some(engine) = &agent.engine {
                        let slots = state.report["slots_total"].as_u64().unwrap();
                        let model = body["new_model_ref"].as_str().unwrap();
                        engine.becomes(serving(model, slots.try_into().unwrap()));
                    }
                }
                Reload::Fails => {
                    done["state"] = json!("failed");
                    done["error"] = json!("the engine does not come up");
                }
                Reload::Hangs => done["state"] = json!("running"),
            }
        }
        "purge" => state.report["ready"] = json!(false),
        "drain" => state.report["draining"] = json!(true),
        "resume" => {
            state.report["ready"] = json!(true);
            state.report["draining"] = json!(false);
            return (StatusCode::NO_CONTENT, Json(Value::Null));
        }
        _ => return (StatusCode::NOT_FOUND, Json(Value::Null)),
    }
    state.operation = Some(done);
    answer["pool_id"] = json!(pool);
    (StatusCode::ACCEPTED, Json(answer))
}

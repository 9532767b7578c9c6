//! Telling the control plane: registration, heartbeats, and the word of farewell.
//!
//! Engines do not depend on it: a control plane that is away is asked again, at growing intervals, for ever.
//!
//! Invariant: within one life, heartbeats are numbered upwards, and only one is under way.

use std::{sync::Arc, time::Duration};

use http::{Method, StatusCode};
use narration_core::{Narration, NodeMoment, narrate};
use pool_registry_types::{Heartbeat, HeartbeatAnswer, NodeRegistered, RegisterNode};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{debug, error, info, warn};

use crate::{
    clock::rfc3339_now,
    gpu::{self, Reading},
    link::{Link, LinkError},
    metrics::Metrics,
    pool::Pools,
};

/// Several changes at once are one heartbeat.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// The first wait after a failure; each further one is twice as long.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// The farewell may not hold up the end.
const FAREWELL_TIME: Duration = Duration::from_secs(2);
/// What the control plane may ask for.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
const INTERVAL_MAX: Duration = Duration::from_secs(30);

/// Who this node is.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) machine_id: String,
    pub(crate) address: String,
    pub(crate) incarnation: u64,
}

/// What tells the control plane.
#[derive(Debug)]
pub(crate) struct Registrar {
    pub(crate) link: Link,
    pub(crate) node: Node,
    pub(crate) pools: Pools,
    pub(crate) readings: watch::Receiver<Arc<Vec<Reading>>>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Why the control plane did not take something in.
#[derive(Debug)]
enum Refused {
    /// It does not know this node.
    Unknown,
    /// It does not accept the token.
    Token(StatusCode),
    /// Anything else, which may pass.
    Other(String),
}

impl From<LinkError> for Refused {
    fn from(error: LinkError) -> Self {
        Self::Other(error.to_string())
    }
}

impl Registrar {
    /// Registers and sends heartbeats for ever.
    //= ORCH-3444
    #[expect(clippy::infinite_loop, reason = "it is run under a token that ends it")]
    pub(crate) async fn run(self: Arc<Self>) {
        let mut failures = 0_u32;
        let mut seq = 0_u64;
        loop {
            let refused = match self.register().await {
                Ok(registered) => {
                    self.metrics.registered("ok");
                    narrate!(
                        Narration::node(NodeMoment::Registers),
                        node_id = registered.node_id,
                        "registered at the control plane"
                    );
                    let first = seq;
                    let refused = self.beat_on(&mut seq, &mut failures).await;
                    // One that forgets what it has just been told is not asked again at once.
                    if matches!(refused, Refused::Unknown) && seq > first + 1 {
                        info!("the control plane does not know this node any more");
                        continue;
                    }
                    refused
                }
                Err(refused) => {
                    self.metrics.registered("failed");
                    refused
                }
            };
            failures = failures.saturating_add(1);
            sleep(self.wait_after(&refused, failures)).await;
        }
    }

    /// Sends heartbeats until one is not taken in.
    async fn beat_on(&self, seq: &mut u64, failures: &mut u32) -> Refused {
        let mut changes = self.pools.changes();
        loop {
            // What changes from here on is in the next one.
            changes.mark_unchanged();
            *seq += 1;
            let began = Instant::now();
            let answer = match self.beat(*seq).await {
                Ok(answer) => answer,
                Err(refused) => {
                    self.metrics.beat("failed");
                    return refused;
                }
            };
            *failures = 0;
            self.metrics.beat("ok");
            debug!(seq = *seq, "heartbeat");
            let interval = Duration::from_millis(answer.next_heartbeat_ms).clamp(INTERVAL_MIN, INTERVAL_MAX);
            tokio::select! {
                () = sleep_until(began + interval) => {}
                // The pools outlive this task, so it is a change and no end.
                _changed = changes.changed() => sleep(DEBOUNCE).await,
            }
        }
    }

    /// How long to wait after a failure, and a word about it.
    fn wait_after(&self, refused: &Refused, failures: u32) -> Duration {
        match refused {
            Refused::Token(status) => {
                error!(
                    status = status.as_u16(),
                    "the control plane refuses this node's token: set LLORCH_NODE_TOKEN or LLORCH_API_TOKEN to the one that it asks for"
                );
                return RETRY_MAX;
            }
            Refused::Unknown => warn!("the control plane does not know this node"),
            Refused::Other(reason) if failures == 1 => {
                warn!(
                    reason,
                    "the control plane did not answer well; the engines serve on, and it is tried again"
                );
            }
            Refused::Other(reason) => debug!(reason, failures, "the control plane is away"),
        }
        let doublings = failures.saturating_sub(1).min(5);
        let wait = RETRY_FIRST.saturating_mul(1 << doublings).min(RETRY_MAX);
        // Many nodes lose one control plane at the same time.
        wait.mul_f64(0.75 + jitter(&self.node.id, failures) / 2.0).min(RETRY_MAX)
    }

    async fn register(&self) -> Result<NodeRegistered, Refused> {
        let body = RegisterNode {
            node_id: self.node.id.clone(),
            machine_id: self.node.machine_id.clone(),
            address: self.node.address.clone(),
            pools: self.pools.ids(),
            capabilities: gpu::capabilities(&self.readings.borrow()),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            incarnation: Some(self.node.incarnation),
        };
        self.post("/v2/nodes/register", &body).await
    }

    async fn beat(&self, seq: u64) -> Result<HeartbeatAnswer, Refused> {
        self.metrics.gpus(&self.readings.borrow());
        let body = Heartbeat {
            timestamp: rfc3339_now(),
            pools: self.pools.reports(),
            incarnation: Some(self.node.incarnation),
            seq: Some(seq),
        };
        self.post(&format!("/v2/nodes/{}/heartbeat", self.node.id), &body).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Refused> {
        let body = serde_json::to_vec(body).map_err(|error| Refused::Other(error.to_string()))?;
        let (status, answer) = self.link.ask(Method::POST, path, body.into()).await?;
        match status {
            StatusCode::NOT_FOUND => Err(Refused::Unknown),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Refused::Token(status)),
            status if status.is_success() => {
                let read = serde_json::from_slice(&answer);
                read.map_err(|_json| Refused::Other(format!("{path} was answered with something else")))
            }
            status => Err(Refused::Other(format!(
                "{path} was answered with {}: {}",
                status.as_u16(),
                http_util::excerpt(&answer)
            ))),
        }
    }

    /// Says that the node goes, so that nothing is placed on it any more.
    //= ORCH-3444
    pub(crate) async fn farewell(&self) {
        let path = format!("/v2/nodes/{}", self.node.id);
        let told = timeout(FAREWELL_TIME, self.link.ask(Method::DELETE, &path, bytes::Bytes::new())).await;
        match told {
            Ok(Ok((status, _))) if status.is_success() => {
                narrate!(Narration::node(NodeMoment::Leaves), node_id = %self.node.id, "deregistered");
            }
            Ok(Ok((status, _))) => warn!(status = status.as_u16(), "the control plane refused the farewell"),
            Ok(Err(error)) => warn!(%error, "the control plane could not be told that this node goes"),
            Err(_late) => warn!("the control plane took too long to be told that this node goes"),
        }
    }
}

/// From 0 to 1, different from node to node and from try to try.
fn jitter(node: &str, failures: u32) -> f64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (node, failures).hash(&mut hasher);
    // Ten bits are fine enough, and every number of them is exact.
    f64::from(u16::try_from(hasher.finish() % 1_024).unwrap_or(0)) / 1_024.0
}

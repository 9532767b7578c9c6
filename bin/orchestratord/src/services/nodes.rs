//! The machines that report pools: what the registry says of them becomes replicas, events and lines.
//!
//! The registry decides which node is there and whether its word counts. Here its changes are carried out, in
//! the order in which it says them, under one lock, so that no two heartbeats overtake each other.

mod manager;
mod polling;
mod saved;
mod told;

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use auth_min::Identity;
use narration_core::{Narration, NodeMoment, narrate};
use orchestrator_core::{PoolId, ReplicaId};
use parking_lot::Mutex;
use pool_registry_types::{HEARTBEAT_MS, Heartbeat, HeartbeatAnswer, NodeRegistered, RegisterNode};
use service_registry::{
    Availability, Change, Contact, MassSilence, Node, Refusal, Registration, Registry, ReplicaKey, Rules,
};
use sha2::{Digest, Sha256};
use tokio::time::sleep;
use tracing::{error, info, warn};

use self::told::{Replica, Replicas};
use super::{
    command::Silence, events::millis, handle::SchedulerHandle, keeper::Keeper, models::Models, pools::Pools,
};
use crate::{clock::Clock, metrics::Metrics};

pub(crate) use self::{
    manager::{Manager, ManagerError},
    saved::registration,
};

/// How often the registry looks at its clocks.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Of the time after which a node is offline: after how much of it its streams are listened to, and how much of it they
/// may be silent then.
const SUSPECT_PART: u32 = 2;
const QUIET_PART: u32 = 3;

type Key = (PoolId, ReplicaId);

/// What is needed to know nodes.
pub(crate) struct NodesParts {
    pub(crate) rules: Rules,
    pub(crate) pools: Arc<Pools>,
    pub(crate) models: Arc<Models>,
    pub(crate) scheduler: SchedulerHandle,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    /// What agents must be shown.
    pub(crate) token: Option<String>,
    /// The pool that was made up for want of any other, until a node has one.
    pub(crate) stand_in: Option<Key>,
}

/// All nodes.
pub(crate) struct Nodes {
    parts: NodesParts,
    state: Mutex<State>,
}

struct State {
    registry: Registry,
    replicas: Replicas,
    stand_in: Option<Key>,
}

/// Why a node is not listened to.
#[derive(Debug)]
pub(crate) enum NodeError {
    Refused(Refusal),
    /// It cannot be kept now.
    Storage,
}

/// Who speaks for a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speaker {
    pub(crate) peer: IpAddr,
    pub(crate) identity: Identity,
}

impl Speaker {
    fn contact(&self) -> Contact {
        let digest = Sha256::digest(self.identity.to_string());
        let mut credential = [0; 8];
        credential.copy_from_slice(&digest[..8]);
        Contact { peer: self.peer, credential: u64::from_be_bytes(credential) }
    }
}

impl Nodes {
    pub(crate) fn new(mut parts: NodesParts) -> Self {
        let registry = Registry::new(parts.rules.clone());
        let stand_in = parts.stand_in.take();
        Self { parts, state: Mutex::new(State { registry, replicas: Replicas::default(), stand_in }) }
    }

    /// A node says that it is there. When this returns `Ok`, that is kept.
    //= ORCH-3424
    pub(crate) async fn register(
        &self,
        node: RegisterNode,
        speaker: Speaker,
    ) -> Result<NodeRegistered, NodeError> {
        let node_id = node.node_id.clone();
        let kept = {
            let mut state = self.state.lock();
            let changes = state.registry.register(self.now(), node, speaker.contact());
            self.parts.metrics.node_registered(outcome(&changes));
            self.carry_out(&mut state, changes.map_err(NodeError::Refused)?);
            self.keep(&state, &node_id)
        };
        if !kept.await {
            return Err(NodeError::Storage);
        }
        Ok(NodeRegistered { success: true, message: "the node is registered".to_owned(), node_id })
    }

    /// A node says that it is well.
    pub(crate) fn heartbeat(
        &self,
        node_id: &str,
        beat: Heartbeat,
        speaker: Speaker,
    ) -> Result<HeartbeatAnswer, NodeError> {
        let mut state = self.state.lock();
        let changes = state.registry.heartbeat(self.now(), node_id, beat, speaker.contact());
        self.parts.metrics.node_heard(outcome(&changes));
        let success = changes.is_ok();
        match changes {
            Ok(changes) => self.carry_out(&mut state, changes),
            // It came late or twice, and a node can do nothing about that.
            Err(Refusal::Stale) => {}
            Err(refusal) => {
                // What a refusal changed is told by the next call.
                self.sweep(&mut state);
                return Err(NodeError::Refused(refusal));
            }
        }
        Ok(HeartbeatAnswer { success, next_heartbeat_ms: HEARTBEAT_MS })
    }

    /// A node says what cannot be read.
    pub(crate) fn unreadable(&self, node_id: &str, speaker: Speaker) {
        let mut state = self.state.lock();
        state.registry.unreadable(self.now(), node_id, speaker.contact());
        self.parts.metrics.node_heard("malformed");
        self.sweep(&mut state);
    }

    /// A node leaves: what runs there goes elsewhere, or ends.
    // N15
    pub(crate) async fn deregister(&self, node_id: &str, speaker: Speaker) -> Result<(), NodeError> {
        let kept = {
            let mut state = self.state.lock();
            let changes = state.registry.deregister(self.now(), node_id, speaker.contact());
            self.carry_out(&mut state, changes.map_err(NodeError::Refused)?);
            self.keep(&state, node_id)
        };
        if kept.await { Ok(()) } else { Err(NodeError::Storage) }
    }

    /// Every node, as it stands.
    pub(crate) fn list<T>(&self, show: impl Fn(&Node, Duration) -> T) -> Vec<T> {
        let now = self.now();
        self.state.lock().registry.nodes().map(|node| show(node, now)).collect()
    }

    /// Which models are on which nodes.
    pub(crate) fn availability(&self) -> Availability {
        self.state.lock().registry.availability()
    }

    /// Whether the node of a replica is heard of.
    pub(crate) fn is_online(&self, key: &Key) -> bool {
        let state = self.state.lock();
        let node = state.replicas.node_of(key).and_then(|node| state.registry.node(node));
        node.is_some_and(Node::is_online)
    }

    /// The agent that acts on a replica. A name is looked up here, and only a checked address is connected to.
    pub(crate) async fn manager_of(&self, key: &Key) -> Option<Manager> {
        let (place, contact) = {
            let state = self.state.lock();
            let node = state.registry.node(state.replicas.node_of(key)?)?;
            (node.place().clone(), node.contact())
        };
        let at = self.parts.pools.connector().locate(&place, contact.peer, &place.host()).await;
        let at = at.map_err(
            |reason| warn!(target: "orchestratord::nodes", %place, reason, "the agent is not called"),
        );
        Manager::new(place.to_string().parse().ok()?, Some(at.ok()?), self.parts.token.as_deref()).ok()
    }

    /// Looks at the clocks for ever.
    #[expect(clippy::infinite_loop, reason = "it is run under a token that ends it")]
    pub(crate) async fn work(self: Arc<Self>) {
        loop {
            sleep(SWEEP_INTERVAL).await;
            self.parts.metrics.pools_available(self.parts.pools.available());
            let mut state = self.state.lock();
            self.sweep(&mut state);
            self.listen_for_silence(&state);
        }
    }

    /// Streams of a node that is silent live on as long as they say something themselves.
    // N01
    fn listen_for_silence(&self, state: &State) {
        let (now, offline_after) = (self.now(), state.registry.rules().offline_after);
        let quiet_max = offline_after / QUIET_PART;
        for node in state
            .registry
            .nodes()
            .filter(|node| now.saturating_sub(node.heard_at()) >= offline_after / SUSPECT_PART)
        {
            let replicas = state.replicas.of_node(node.id());
            let silence = if node.is_online() { Silence::Suspected } else { Silence::Certain(quiet_max) };
            self.parts.scheduler.node_is_silent(replicas, silence);
        }
    }

    /// Has the registry look at its clocks, and carries out what follows.
    fn sweep(&self, state: &mut State) {
        let changes = state.registry.sweep(self.now());
        self.carry_out(state, changes);
    }

    fn now(&self) -> Duration {
        self.parts.clock.uptime()
    }

    /// Carries out what the registry has decided.
    fn carry_out(&self, state: &mut State, changes: Vec<Change>) {
        let mut touched = BTreeSet::new();
        let (mut nodes, mut online) = (BTreeSet::new(), BTreeSet::new());
        for change in changes {
            tell(&change);
            match change {
                Change::ReplicaReported { node, replica, report, endpoint, ready } => {
                    let key = key(&replica);
                    touched.insert(key.0.clone());
                    let replica = Replica { node: Arc::clone(&node), report, endpoint, ready };
                    if state.replicas.insert(key, replica) {
                        nodes.insert(node);
                    }
                }
                Change::ReplicaGone { replica, .. } => {
                    let key = key(&replica);
                    touched.insert(key.0.clone());
                    nodes.extend(state.replicas.remove(&key));
                    self.parts.pools.remove(&key);
                }
                Change::NodeRegistered { .. } => {
                    if let Some(stand_in) = state.stand_in.take() {
                        info!(target: "orchestratord::nodes", "the built-in mock pool gives way to the first node");
                        self.parts.pools.remove(&stand_in);
                    }
                }
                Change::NodeRemoved { node, .. } => {
                    for key in self.parts.pools.of_node(&node) {
                        self.parts.pools.remove(&key);
                    }
                    nodes.insert(node);
                }
                Change::NodeOnline { node, .. } => drop(online.insert(node)),
                Change::NodeOffline { .. }
                | Change::NodeQuarantined { .. }
                | Change::NodeReleased { .. }
                | Change::Alarm(_)
                | Change::AlarmOver(_) => {}
            }
        }
        for pool in touched {
            self.describe(state, &pool);
        }
        for node in online {
            // What it had in an earlier life of this process, and does not bring back.
            let known = self.parts.pools.of_node(&node);
            let gone = known.iter().filter(|key| state.replicas.node_of(key) != Some(&node));
            gone.for_each(|key| self.parts.pools.remove(key));
        }
        for node in nodes {
            // Nobody waits for it: what is lost of it, the node says again.
            drop(self.keep(state, &node));
        }
        self.parts.metrics.nodes_online(state.registry.nodes().filter(|node| node.is_online()).count());
    }

    /// Hands on what is said of a pool's replicas, each held against the others.
    fn describe(&self, state: &mut State, pool: &PoolId) {
        for (key, described, wanted) in state.replicas.judged(pool, &state.registry, &self.parts.models) {
            self.parts.pools.report(key, described, wanted);
        }
    }
}

fn key(replica: &ReplicaKey) -> Key {
    (PoolId::new(Arc::clone(&replica.pool)), ReplicaId::new(Arc::clone(&replica.replica)))
}

fn outcome(changes: &Result<Vec<Change>, Refusal>) -> &'static str {
    match changes {
        Ok(_) => "accepted",
        Err(Refusal::Unknown) => "unknown",
        Err(Refusal::Malformed(_)) => "malformed",
        Err(Refusal::Stale) => "stale",
        Err(Refusal::OtherOwner) => "other_owner",
        Err(Refusal::Quarantined { .. }) => "quarantined",
        Err(Refusal::Full) => "full",
        Err(Refusal::EndpointRefused(_)) => "endpoint_refused",
    }
}

/// Writes down what happened to nodes.
fn tell(change: &Change) {
    match change {
        Change::NodeRegistered { node, how: Registration::New } => {
            narrate!(Narration::node(NodeMoment::Registers), target: "orchestratord::nodes", node_id = %node, "node registered");
        }
        Change::NodeOnline { node, damped_for } => {
            narrate!(Narration::node(NodeMoment::Online), target: "orchestratord::nodes", node_id = %node,
                damped_for_ms = millis(*damped_for), "node online");
        }
        Change::NodeOffline { node, silence } => {
            narrate!(Narration::node(NodeMoment::Offline), target: "orchestratord::nodes", node_id = %node,
                silent_for_ms = millis(*silence), "node offline");
        }
        Change::NodeRemoved { node, why } => {
            narrate!(Narration::node(NodeMoment::Leaves), target: "orchestratord::nodes", node_id = %node,
                why = ?why, "node removed");
        }
        Change::NodeQuarantined { node, fault } => {
            let fault = fault.as_ref().map(ToString::to_string);
            narrate!(Narration::node(NodeMoment::Quarantined), target: "orchestratord::nodes", node_id = %node,
                fault, "node quarantined");
        }
        Change::Alarm(MassSilence { silent, of }) => {
            error!(target: "orchestratord::nodes", silent, of, "many nodes are silent at once");
            let told = Narration::nodes_silent(count(*silent), count(*of));
            narrate!(told, target: "orchestratord::nodes", silent, of, "nodes suspected");
        }
        Change::AlarmOver(end) => {
            narrate!(Narration::nodes_heard(), target: "orchestratord::nodes", end = ?end, "alarm over");
        }
        Change::NodeRegistered { .. }
        | Change::NodeReleased { .. }
        | Change::ReplicaReported { .. }
        | Change::ReplicaGone { .. } => {}
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

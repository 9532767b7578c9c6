//! Agents that are asked: the operator has named them, and they need not know the control plane.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use auth_min::Identity;
use orchestrator_core::PoolId;
use pool_registry_types::PoolReport;
use service_registry::{Contact, Polled};
use tokio::time::sleep;
use tracing::{info, warn};
use url::Url;

use super::{
    Nodes, State,
    manager::{Manager, ManagerError, told},
};
use crate::{metrics::Answered, services::nodes::Speaker};

/// How often an agent that answers is asked.
const INTERVAL: Duration = Duration::from_secs(5);
/// How rarely one that does not is asked in the end.
const INTERVAL_MAX: Duration = Duration::from_mins(1);

impl Nodes {
    /// Asks one agent for ever.
    #[expect(clippy::infinite_loop, reason = "it is run under a token that ends it")]
    pub(crate) async fn poll(self: Arc<Self>, manager: Url) {
        let (mut pause, mut known) = (INTERVAL, Vec::new());
        loop {
            match self.ask(&manager).await {
                Ok(pools) => {
                    if pause > INTERVAL || known.is_empty() {
                        info!(target: "orchestratord::nodes", %manager, pools = pools.len(), "agent answers");
                    }
                    (pause, known) = (INTERVAL, pools);
                }
                Err(error) => {
                    if pause == INTERVAL {
                        warn!(target: "orchestratord::nodes", %manager, %error, "agent does not answer");
                    }
                    for pool in &known {
                        self.parts.metrics.health_checked(pool, Answered::No);
                    }
                    pause = (pause * 2).min(INTERVAL_MAX);
                }
            }
            sleep(pause).await;
        }
    }

    /// Asks an agent once, and takes in what it says. Its pools.
    async fn ask(&self, url: &Url) -> Result<Vec<PoolId>, ManagerError> {
        let manager = Manager::new(url.clone(), None, self.parts.token.as_deref())?;
        let (listed, from) = manager.pools().await?;
        let mut reports = Vec::with_capacity(listed.pools.len());
        for listed in listed.pools {
            let status = manager.status(&listed.pool_id).await;
            let pool = PoolId::new(listed.pool_id.as_str());
            let answered = if status.is_ok() { Answered::Yes } else { Answered::No };
            self.parts.metrics.health_checked(&pool, answered);
            reports.push(status.map_or_else(|_silent| PoolReport { ready: false, ..listed }, told));
        }
        let pools = reports.iter().map(|report| PoolId::new(report.pool_id.as_str())).collect();
        // One that does not say its name goes by its address.
        let name = listed.node_id.unwrap_or_else(|| name_of(url));
        let peer = from.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        self.polled(&name, url, reports, peer);
        Ok(pools)
    }

    fn polled(&self, node_id: &str, url: &Url, reports: Vec<PoolReport>, peer: IpAddr) {
        let mut state = self.state.lock();
        // The operator has named it, so it speaks with the operator's own word.
        let contact = Speaker { peer, identity: Identity::Localhost }.contact();
        self.take_in(&mut state, Polled { node_id, address: url.as_str(), pools: reports }, contact);
    }

    /// Takes in what an agent has answered. Whether it counts.
    fn take_in(&self, state: &mut State, polled: Polled<'_>, contact: Contact) -> bool {
        let node_id = polled.node_id;
        match state.registry.polled(self.now(), polled, contact) {
            Ok(changes) => {
                self.carry_out(state, changes);
                true
            }
            Err(refusal) => {
                warn!(target: "orchestratord::nodes", node_id, ?refusal, "what the agent says is refused");
                false
            }
        }
    }

    /// Asks the agent of a replica how its pools are, without waiting for its next heartbeat.
    pub(crate) async fn ask_again(&self, key: &super::Key) {
        let Some(manager) = self.manager_of(key).await else { return };
        let Some(node) = self.state.lock().replicas.node_of(key).cloned() else { return };
        match manager.pools().await {
            Ok((listed, _)) => self.heard_now(&node, key, listed.pools),
            Err(error) => {
                warn!(target: "orchestratord::nodes", node_id = %node, %error, "agent does not answer");
            }
        }
    }

    fn heard_now(&self, node_id: &str, key: &super::Key, reports: Vec<PoolReport>) {
        let mut state = self.state.lock();
        let Some(node) = state.registry.node(node_id) else { return };
        let (address, contact) = (node.address().to_owned(), node.contact());
        let polled = Polled { node_id, address: &address, pools: reports };
        if self.take_in(&mut state, polled, contact) {
            // Also when nothing changed: what was said of the replica before is not believed any more.
            self.describe(&mut state, &key.0);
        }
    }
}

fn name_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or("node").trim_matches(['[', ']']).replace(':', "-");
    match url.port() {
        Some(port) => format!("{host}-{port}"),
        None => host,
    }
}

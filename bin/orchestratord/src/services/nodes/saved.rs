//! Nodes as they are kept, so that tasks of an earlier process wait for theirs to come back.

use std::net::IpAddr;

use anyhow::Context;
use orchestrator_core::{Device, NodeId, PoolId, ReplicaId};
use pool_registry_types::RegisterNode;
use serde::{Deserialize, Serialize};
use service_registry::{Contact, Node};
use store_api::{Change as Kept, RecordKey, Shelf};
use tracing::{info, warn};

use super::{Key, Nodes, State};
use crate::services::{
    pools::{ByNode, Described, Standing},
    saved::{self, Version},
};

/// A node as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct SavedNode {
    version: Version,
    node: RegisterNode,
    peer: IpAddr,
    credential: u64,
    replicas: Vec<SavedReplica>,
}

/// A replica that it had.
#[derive(Debug, Serialize, Deserialize)]
struct SavedReplica {
    pool: String,
    replica: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
}

fn key(node_id: &str) -> RecordKey {
    RecordKey { shelf: Shelf::Nodes, name: node_id.into() }
}

/// A node as it has registered, or could have.
pub(crate) fn registration(node: &Node) -> RegisterNode {
    RegisterNode {
        node_id: node.id().to_string(),
        machine_id: node.machine_id().unwrap_or("unknown").to_owned(),
        address: node.address().to_owned(),
        pools: node.pools().map(str::to_owned).collect(),
        capabilities: node.capabilities().clone(),
        version: node.version().map(str::to_owned),
        incarnation: node.incarnation(),
    }
}

impl Nodes {
    /// Leaves a node to the store as it is now; the future hears whether it is kept.
    pub(super) fn keep(&self, state: &State, node_id: &str) -> impl Future<Output = bool> + Send + use<> {
        let change = match state.registry.node(node_id) {
            None => Kept::Remove(key(node_id)),
            Some(node) => {
                let contact = node.contact();
                let replicas =
                    state.replicas.reports_of(node_id).map(|((pool, replica), report)| SavedReplica {
                        pool: pool.to_string(),
                        replica: replica.to_string(),
                        model: report.model_id.clone(),
                    });
                let saved = SavedNode {
                    version: Version::default(),
                    node: registration(node),
                    peer: contact.peer,
                    credential: contact.credential,
                    replicas: replicas.collect(),
                };
                Kept::Put { record: key(node_id), body: saved::write(&saved) }
            }
        };
        self.parts.keeper.keep(change)
    }

    /// Reads back the nodes of earlier processes. They count as silent since now, and their replicas as not
    /// seen yet.
    pub(crate) async fn restore(&self) -> anyhow::Result<()> {
        let records = self
            .parts
            .keeper
            .store()
            .records(Shelf::Nodes)
            .await
            .context("the nodes of the store cannot be read")?;
        let count = records.len();
        for record in records {
            let saved: SavedNode = saved::read(&record.body)
                .with_context(|| format!("node {} in the store cannot be read", record.name))?;
            self.restore_one(saved);
        }
        if count > 0 {
            info!(target: "orchestratord::nodes", nodes = count, "nodes of earlier processes are awaited");
        }
        Ok(())
    }

    fn restore_one(&self, saved: SavedNode) {
        let SavedNode { node, peer, credential, replicas, .. } = saved;
        let node_id = node.node_id.clone();
        let mut state = self.state.lock();
        match state.registry.register(self.now(), node, Contact { peer, credential }) {
            Ok(changes) => self.carry_out(&mut state, changes),
            Err(refusal) => {
                // Its agent will say it again, or not.
                warn!(target: "orchestratord::nodes", node_id, ?refusal, "a node of an earlier process is refused");
                return;
            }
        }
        for SavedReplica { pool, replica, model } in replicas {
            let key: Key = (PoolId::new(pool), ReplicaId::new(replica));
            self.parts.pools.report(key, unseen(&node_id, model), None);
        }
    }
}

/// A replica of which its node has said nothing since the start.
fn unseen(node_id: &str, model: Option<String>) -> Described {
    Described {
        model,
        slots: None,
        ctx_max: None,
        device: Device::Unstated,
        price: 0,
        by_node: Some(ByNode {
            node: NodeId::new(node_id),
            standing: Standing::NotReady,
            version: None,
            vram_free_bytes: None,
            vram_total_bytes: None,
            gpu_utilization: None,
            problem: Some("its node has not been heard of since the server started".to_owned()),
        }),
    }
}

//! A node: who it is, and that it is well.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    check::{Fault, at_most, line, name, optional, pool_id},
    report::PoolReport,
};

/// More pools than any node has.
const POOLS_MAX: usize = 256;
const GPUS_MAX: usize = 64;

/// `POST /v2/nodes/register`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"node_id": "gpu-1", "machine_id": "gpu-1", "address": "http://10.0.0.7:9200", "pools": ["default"]}))]
pub struct RegisterNode {
    /// The node's name, which no other node has.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    pub node_id: String,
    /// The machine's own name or id, as its system tells it.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    pub machine_id: String,
    /// Where its agent listens: a URL, or host and port.
    #[schema(min_length = 1, max_length = 2048, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    pub address: String,
    /// The names of its pools.
    #[serde(default)]
    #[schema(max_items = 256)]
    pub pools: Vec<String>,
    /// What the machine has.
    #[serde(default)]
    pub capabilities: NodeCapabilities,
    /// The agent's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Which life of the agent this is: larger than that of any earlier process under this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
}

/// What a machine has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeCapabilities {
    /// Its GPUs.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub gpus: Vec<GpuView>,
    /// Cores of its CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_cores: Option<u32>,
    /// Its main memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ram_total_bytes: Option<u64>,
}

/// One GPU.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GpuView {
    /// Its number on the machine.
    pub device_id: u32,
    /// Its name.
    pub name: String,
    /// Its memory.
    pub vram_total_bytes: u64,
    /// What it can compute, as in `8.9`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_capability: Option<String>,
}

/// The answer to a registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeRegistered {
    /// Whether the node is known now.
    pub success: bool,
    /// The same, in words.
    pub message: String,
    /// The node.
    pub node_id: String,
}

/// `POST /v2/nodes/{id}/heartbeat`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"timestamp": "2026-01-01T00:00:00Z", "pools": [{"pool_id": "default", "ready": true, "slots_free": 2, "vram_free_bytes": 8_589_934_592_u64}]}))]
pub struct Heartbeat {
    /// When it was sent, by the node's own clock, as RFC 3339. It is shown, and nothing depends on it.
    #[schema(format = DateTime)]
    pub timestamp: String,
    /// The node's pools.
    #[serde(default)]
    #[schema(max_items = 256)]
    pub pools: Vec<PoolReport>,
    /// As in the registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// Larger than that of any earlier heartbeat of this life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatAnswer {
    /// Whether it was taken in.
    pub success: bool,
    /// When the next one is awaited.
    pub next_heartbeat_ms: u64,
}

impl RegisterNode {
    /// Whether every field holds what it may. The address is left to whoever calls it.
    ///
    /// # Errors
    /// The first field that does not.
    pub fn check(&self) -> Result<(), Fault> {
        name("node_id", &self.node_id)?;
        name("machine_id", &self.machine_id)?;
        line("address", &self.address)?;
        at_most("pools", self.pools.len(), POOLS_MAX)?;
        for (index, pool) in self.pools.iter().enumerate() {
            pool_id(&format!("pools[{index}]"), pool)?;
        }
        at_most("capabilities.gpus", self.capabilities.gpus.len(), GPUS_MAX)?;
        for (index, gpu) in self.capabilities.gpus.iter().enumerate() {
            line(&format!("capabilities.gpus[{index}].name"), &gpu.name)?;
        }
        optional("version", self.version.as_deref(), line)
    }
}

impl Heartbeat {
    /// Whether every field holds what it may. The time is not read, since nothing depends on it.
    ///
    /// # Errors
    /// The first field that does not.
    pub fn check(&self) -> Result<(), Fault> {
        line("timestamp", &self.timestamp)?;
        check_pools(&self.pools)
    }
}

/// Whether all reports of one node are sound, and each of another pool.
pub(crate) fn check_pools(pools: &[PoolReport]) -> Result<(), Fault> {
    at_most("pools", pools.len(), POOLS_MAX)?;
    for (index, pool) in pools.iter().enumerate() {
        let path = format!("pools[{index}]");
        pool.check(&path)?;
        if pools[..index].iter().any(|other| other.pool_id == pool.pool_id) {
            return Err(Fault::new(format!("{path}.pool_id"), "is told twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_names_the_field_that_is_wrong() {
        let sound = RegisterNode {
            node_id: "gpu-1".into(),
            machine_id: "m".into(),
            address: "gpu-1:9200".into(),
            ..Default::default()
        };
        assert_eq!(sound.check(), Ok(()));
        let long = "a".repeat(129);
        for node_id in ["", "a/b", "a b", "ä", "-a", long.as_str()] {
            let node = RegisterNode { node_id: node_id.into(), ..sound.clone() };
            assert_eq!(node.check().unwrap_err().field, "node_id", "{node_id}");
        }
        let node = RegisterNode { pools: vec!["ok".into(), "no!".into()], ..sound };
        assert_eq!(node.check().unwrap_err().field, "pools[1]");
    }

    #[test]
    fn a_pool_that_is_told_twice_is_refused() {
        let pool = PoolReport { pool_id: "p".into(), ..Default::default() };
        let beat = Heartbeat { timestamp: "t".into(), pools: vec![pool.clone(), pool], ..Default::default() };
        assert_eq!(beat.check().unwrap_err().to_string(), "pools[1].pool_id: is told twice");
    }
}

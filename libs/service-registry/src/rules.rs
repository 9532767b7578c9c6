//! What the operator decides.

use std::time::Duration;

use crate::network::Network;

/// What the operator decides.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How long a node may be silent before it is offline.
    pub offline_after: Duration,
    /// How often [`Registry::sweep`](crate::Registry::sweep) is called.
    pub sweep_every: Duration,
    /// How long a node may be silent before it is forgotten; it is offline before.
    pub expire_after: Duration,
    /// How many nodes are kept.
    pub nodes_max: usize,
    /// Networks in which engines may listen besides the node's own address.
    pub allow: Vec<Network>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            offline_after: Duration::from_secs(30),
            sweep_every: Duration::from_secs(1),
            expire_after: Duration::from_mins(10),
            nodes_max: 10_000,
            allow: Vec::new(),
        }
    }
}

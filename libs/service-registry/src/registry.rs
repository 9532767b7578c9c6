//! The registry: what nodes said, and what is known of them.

mod beat;
mod join;
mod leave;
mod mass;
mod reports;
mod strikes;

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

pub use self::beat::Polled;
use crate::{
    attention::{Attention, Moment},
    availability::Availability,
    change::{Change, ReplicaKey},
    node::Node,
    refusal::Refusal,
    registry::mass::Mass,
    rules::Rules,
};

/// Which nodes are there, and which of their engines take work.
///
/// Each call brings the time since the process started, on the monotonic clock, and returns what changed.
/// [`sweep`](Registry::sweep) is called at least as often as the rules say.
#[derive(Debug, Default)]
pub struct Registry {
    rules: Rules,
    attention: Attention,
    nodes: BTreeMap<Arc<str>, Node>,
    /// Which node has which engine.
    holders: BTreeMap<ReplicaKey, Arc<str>>,
    mass: Mass,
    /// What changed in a call that had to be refused; the next one that returns changes tells it.
    untold: Vec<Change>,
    stale: u64,
}

impl Registry {
    /// A registry without nodes.
    pub fn new(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// What the operator decided.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// All nodes, in the order of their names.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// The node of this name.
    pub fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// The nodes that have an engine of this pool, one for each engine, in the order of the engines' names.
    //= ORCH-3433
    pub fn holders<'a>(&'a self, pool: &'a str) -> impl Iterator<Item = &'a Node> {
        let first = ReplicaKey { pool: pool.into(), replica: "".into() };
        let of_pool = self.holders.range(first..).take_while(move |(key, _)| &*key.pool == pool);
        of_pool.filter_map(|(_, node)| self.nodes.get(node))
    }

    /// Which model is where, now.
    pub fn availability(&self) -> Availability {
        Availability::of(self.nodes())
    }

    /// How much time the process missed since it started, which counts as nobody's silence.
    pub fn own_lag(&self) -> Duration {
        self.attention.lag()
    }

    /// How many messages were ignored for their age, over all nodes.
    pub fn stale_count(&self) -> u64 {
        self.stale
    }

    fn attend(&mut self, now: Duration) -> Moment {
        self.attention.attend(now, self.rules.sweep_every)
    }

    /// What was left to tell.
    fn untold(&mut self) -> Vec<Change> {
        mem::take(&mut self.untold)
    }

    /// Something older than what is known was said in this node's name.
    //= ORCH-3427
    fn stale(&mut self, node_id: &str) -> Refusal {
        self.stale = self.stale.saturating_add(1);
        if let Some(node) = self.nodes.get_mut(node_id) {
            node.stale = node.stale.saturating_add(1);
        }
        Refusal::Stale
    }
}

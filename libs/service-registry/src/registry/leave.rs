//! A node leaves: it says so, or is silent for too long.

use std::{sync::Arc, time::Duration};

use crate::{
    change::{Change, Removal},
    node::{Contact, Node},
    refusal::Refusal,
    registry::{Registry, beat::check_speaker, strikes},
};

impl Registry {
    /// A node says that it leaves.
    ///
    /// # Errors
    /// Nobody has this name, or somebody else does.
    pub fn deregister(
        &mut self,
        now: Duration,
        node_id: &str,
        from: Contact,
    ) -> Result<Vec<Change>, Refusal> {
        self.attend(now);
        let node = self.nodes.get(node_id).ok_or(Refusal::Unknown)?;
        if check_speaker(node, from, None).is_err() {
            return Err(Refusal::OtherOwner);
        }
        let mut changes = self.untold();
        self.remove(node_id, Removal::Deregistered, &mut changes);
        self.settle_alarm(&mut changes);
        Ok(changes)
    }

    /// Looks at what time alone changes. To be called at least as often as the rules say: what comes later than that
    /// is the process's own lag, and nobody's silence.
    pub fn sweep(&mut self, now: Duration) -> Vec<Change> {
        let at = self.attend(now).at;
        let mut changes = self.untold();
        self.fall_silent(at, &mut changes);
        self.expire(at, &mut changes);
        for node in self.nodes.values_mut() {
            changes.extend(strikes::release(node, at));
            if node.fitness != node.fitness_at(at) {
                node.judge(at, &mut changes);
            }
        }
        changes
    }

    //= ORCH-3425
    fn expire(&mut self, at: Duration, changes: &mut Vec<Change>) {
        let expire_after = self.rules.expire_after;
        let is_expired =
            |node: &&Node| (node.is_offline() || node.is_quarantined()) && node.silence(at) >= expire_after;
        let expired: Vec<_> =
            self.nodes.values().filter(is_expired).map(|node| Arc::clone(&node.id)).collect();
        for id in expired {
            self.remove(&id, Removal::Expired, changes);
        }
    }

    /// Forgets a node, and what it had first.
    pub(super) fn remove(&mut self, id: &str, why: Removal, changes: &mut Vec<Change>) -> Option<Node> {
        let node = self.nodes.remove(id)?;
        for replica in &node.replicas {
            self.holders.remove(&replica.key);
            let (node, replica) = (Arc::clone(&node.id), replica.key.clone());
            changes.push(Change::ReplicaGone { node, replica });
        }
        changes.push(Change::NodeRemoved { node: Arc::clone(&node.id), why });
        Some(node)
    }
}

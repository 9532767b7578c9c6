//! A node that says impossible things gets no work for a while.

use std::{sync::Arc, time::Duration};

use pool_registry_types::Fault;

use crate::{
    change::Change,
    node::{Contact, Node, Presence, Quarantine},
    refusal::Refusal,
    registry::{Registry, beat::check_speaker},
};

/// Impossible messages in a row that bring a node into quarantine.
const STRIKES_MAX: u32 = 3;
/// The least time that it stays there.
const QUARANTINE: Duration = Duration::from_mins(1);

impl Registry {
    /// A message in the node's name could not even be read. It counts as an impossible one, of which the next sweep
    /// tells, if the one who sent it speaks for the node.
    pub fn unreadable(&mut self, now: Duration, node_id: &str, from: Contact) {
        let moment = self.attend(now);
        if self.nodes.get(node_id).is_some_and(|node| check_speaker(node, from, None).is_ok()) {
            self.strike(node_id, moment.at, None);
        }
    }

    /// The node said something impossible.
    //= ORCH-3431
    pub(super) fn strike(&mut self, node_id: &str, at: Duration, fault: Option<&Fault>) {
        let Some(node) = self.nodes.get_mut(node_id).filter(|node| node.quarantine.is_none()) else { return };
        node.strikes += 1;
        if node.strikes < STRIKES_MAX {
            return;
        }
        node.strikes = 0;
        node.quarantine = Some(Quarantine { since: at, fault: fault.cloned(), registered: false });
        node.presence = Presence::Registering;
        let id = Arc::clone(&node.id);
        self.untold.push(Change::NodeQuarantined { node: id, fault: fault.cloned() });
        node.judge(at, &mut self.untold);
    }

    /// Whether the node may be heard: one in quarantine waits, and then registers.
    pub(super) fn leave_quarantine(&mut self, node_id: &str, at: Duration) -> Result<(), Refusal> {
        self.release(node_id, at);
        let quarantine = self.nodes.get(node_id).and_then(|node| node.quarantine.as_ref());
        let Some(quarantine) = quarantine else { return Ok(()) };
        let wait = QUARANTINE.saturating_sub(at.saturating_sub(quarantine.since));
        Err(if wait.is_zero() { Refusal::Unknown } else { Refusal::Quarantined { wait } })
    }

    /// Ends the node's quarantine if its time has passed and it has registered since.
    pub(super) fn release(&mut self, node_id: &str, at: Duration) {
        if let Some(node) = self.nodes.get_mut(node_id) {
            self.untold.extend(release(node, at));
        }
    }
}

/// Ends the node's quarantine if its time has passed and it has registered since.
//= ORCH-3431
pub(super) fn release(node: &mut Node, at: Duration) -> Option<Change> {
    let is_over = |it: &Quarantine| it.registered && at.saturating_sub(it.since) >= QUARANTINE;
    node.quarantine.take_if(|quarantine| is_over(quarantine))?;
    // Nobody listened to it, so its silence begins now.
    node.heard.at = at;
    Some(Change::NodeReleased { node: Arc::clone(&node.id) })
}

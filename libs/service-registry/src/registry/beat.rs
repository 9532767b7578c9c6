//! A node is heard: by its heartbeat, or because it answered when it was asked.

use std::{sync::Arc, time::Duration};

use pool_registry_types::{Heartbeat, PoolReport, RegisterNode};

use crate::{
    attention::Moment,
    change::Change,
    endpoint::check_place,
    life::Age,
    node::{Contact, Node, Presence},
    refusal::Refusal,
    registry::{
        Registry,
        join::{Joining, is_same_place},
        reports::{self, Checked, Said},
    },
};

/// What a node answered when the control plane asked it.
#[derive(Debug, Clone, PartialEq)]
pub struct Polled<'a> {
    /// The node's name.
    pub node_id: &'a str,
    /// Where it was asked: a URL, or host and port.
    pub address: &'a str,
    /// Its pools.
    pub pools: Vec<PoolReport>,
}

impl Registry {
    /// A node says that it is well, and how its engines are.
    ///
    /// # Errors
    /// Why it is not taken in. An impossible report counts towards a quarantine, of which the next sweep tells.
    pub fn heartbeat(
        &mut self,
        now: Duration,
        node_id: &str,
        beat: Heartbeat,
        from: Contact,
    ) -> Result<Vec<Change>, Refusal> {
        let moment = self.attend(now);
        let node = self.nodes.get(node_id).ok_or(Refusal::Unknown)?;
        check_speaker(node, from, beat.incarnation)?;
        match node.life.age_of(&beat) {
            Age::New => self.hear(moment, node_id, beat, from),
            Age::Later => Err(Refusal::Unknown),
            Age::Stale => Err(self.stale(node_id)),
        }
    }

    /// A node answered when it was asked: it is registered if it was not, and its answer counts as a heartbeat. It has
    /// no numbers, for nobody can replay it.
    ///
    /// # Errors
    /// Why it is not taken in. An impossible report counts towards a quarantine, of which the next sweep tells.
    pub fn polled(
        &mut self,
        now: Duration,
        polled: Polled<'_>,
        from: Contact,
    ) -> Result<Vec<Change>, Refusal> {
        let moment = self.attend(now);
        let Polled { node_id, address, pools } = polled;
        let told = RegisterNode {
            node_id: node_id.to_owned(),
            machine_id: node_id.to_owned(),
            address: address.to_owned(),
            ..RegisterNode::default()
        };
        told.check().map_err(Refusal::Malformed)?;
        let place = check_place(address, from.peer, &self.rules.allow).map_err(Refusal::EndpointRefused)?;
        let beat = Heartbeat { timestamp: "polled".to_owned(), pools, ..Heartbeat::default() };
        match self.nodes.get_mut(node_id) {
            Some(node) if is_same_place(node, &place, from) => {
                if let Some(quarantine) = &mut node.quarantine {
                    quarantine.registered = true;
                }
                // Who speaks for itself is not known by where it was asked.
                let from = if node.machine.is_some() { node.contact } else { from };
                self.hear(moment, node_id, beat, from)
            }
            Some(node) if !node.is_offline() => Err(Refusal::OtherOwner),
            _ => self.discover(Joining { told, machine: None, place, from, moment }, beat),
        }
    }

    /// A node that did not register answered.
    fn discover(&mut self, joining: Joining, beat: Heartbeat) -> Result<Vec<Change>, Refusal> {
        beat.check().map_err(Refusal::Malformed)?;
        let node_id = joining.told.node_id.clone();
        let (place, peer) = (&joining.place, joining.from.peer);
        let said = Said { node: &node_id, place, peer, known: &[], moved: true };
        let checked = reports::check(&said, beat.pools, &self.holders, &self.rules.allow)?;
        let moment = joining.moment;
        let mut changes = match self.nodes.get(&*node_id) {
            Some(_) => self.succeed(joining),
            None => self.join(joining)?,
        };
        self.take_in(moment, &node_id, checked, &mut changes);
        Ok(changes)
    }

    /// A message of the node itself is new.
    fn hear(
        &mut self,
        moment: Moment,
        node_id: &str,
        beat: Heartbeat,
        from: Contact,
    ) -> Result<Vec<Change>, Refusal> {
        self.leave_quarantine(node_id, moment.at)?;
        let node = self.nodes.get_mut(node_id).ok_or(Refusal::Unknown)?;
        let mut life = node.life;
        life.advance(&beat);
        if let Err(fault) = beat.check() {
            // What was refused for what it says is not refused for it a second time.
            node.life = life;
            self.strike(node_id, moment.at, Some(&fault));
            return Err(Refusal::Malformed(fault));
        }
        let said = Said {
            node: node_id,
            place: &node.place,
            peer: from.peer,
            known: &node.replicas,
            moved: node.moved || !is_same_peer(node.contact, from),
        };
        let checked = reports::check(&said, beat.pools, &self.holders, &self.rules.allow)?;
        node.life = life;
        node.contact = from;
        let mut changes = self.untold();
        self.take_in(moment, node_id, checked, &mut changes);
        Ok(changes)
    }

    /// The node is there, and has what it reported.
    fn take_in(&mut self, moment: Moment, node_id: &str, checked: Checked, changes: &mut Vec<Change>) {
        let Some(node) = self.nodes.get_mut(node_id) else { return };
        for replica in reports::gone(&node.replicas, &checked) {
            self.holders.remove(&replica.key);
            let (node, replica) = (Arc::clone(&node.id), replica.key.clone());
            changes.push(Change::ReplicaGone { node, replica });
        }
        for key in checked.added {
            self.holders.insert(key, Arc::clone(&node.id));
        }
        node.replicas = checked.replicas;
        node.moved = false;
        node.heard = moment;
        node.strikes = 0;
        let was_online = node.is_online();
        node.presence = Presence::Online;
        if !was_online {
            let damped_for = node.steadiness.returned(moment.at);
            changes.push(Change::NodeOnline { node: Arc::clone(&node.id), damped_for });
        }
        node.judge(moment.at, changes);
        self.settle_alarm(changes);
    }
}

/// Whether `from` may speak for the node.
///
/// Three things tell a node: its credential, its address and the life of its agent. One of them may have changed,
/// since tokens are renewed and machines move. With two changed it must register again, which shows its machine.
//= ORCH-3429
pub(super) fn check_speaker(node: &Node, from: Contact, incarnation: Option<u64>) -> Result<(), Refusal> {
    let is_same_credential = node.contact.credential == from.credential;
    let is_same_life = incarnation.is_some() && incarnation == node.life.incarnation;
    let is_same_peer = is_same_peer(node.contact, from);
    let same = [is_same_credential, is_same_life, is_same_peer].into_iter().filter(|same| *same).count();
    match same {
        2.. => Ok(()),
        1 => Err(Refusal::Unknown),
        _ if node.is_offline() => Err(Refusal::Unknown),
        _ => Err(Refusal::OtherOwner),
    }
}

/// Whether both speak from one address.
pub(super) fn is_same_peer(known: Contact, from: Contact) -> bool {
    known.peer.to_canonical() == from.peer.to_canonical()
}

//! A node registers: whether the name is its own, and in which life.

use std::{cmp::Ordering, sync::Arc, time::Duration};

use pool_registry_types::RegisterNode;

use crate::{
    attention::Moment,
    change::{Change, Registration, Removal},
    endpoint::{Endpoint, check_place},
    life::Life,
    node::{Contact, Fitness, Node, Presence, Quarantine},
    refusal::Refusal,
    registry::{Registry, beat::is_same_peer},
    steadiness::Steadiness,
};

/// What a registration under a known name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// The same life says it again.
    Again,
    /// A later life, or another machine after the first fell silent.
    Later,
    /// An earlier life.
    Stale,
    /// Another machine, while the first is there.
    Other,
}

/// A registration whose fields are sound.
pub(super) struct Joining {
    pub(super) told: RegisterNode,
    /// The machine, unless the node did not register and was only asked.
    pub(super) machine: Option<String>,
    pub(super) place: Endpoint,
    pub(super) from: Contact,
    pub(super) moment: Moment,
}

impl Registry {
    /// A node says who it is. The same again changes nothing but what it tells of itself.
    ///
    /// # Errors
    /// Why it is not taken in.
    pub fn register(
        &mut self,
        now: Duration,
        node: RegisterNode,
        from: Contact,
    ) -> Result<Vec<Change>, Refusal> {
        let moment = self.attend(now);
        node.check().map_err(Refusal::Malformed)?;
        let place =
            check_place(&node.address, from.peer, &self.rules.allow).map_err(Refusal::EndpointRefused)?;
        let machine = Some(node.machine_id.clone());
        let joining = Joining { told: node, machine, place, from, moment };
        match self.nodes.get(&*joining.told.node_id).map(|known| claim(known, &joining)) {
            None => self.join(joining),
            Some(Claim::Later) => Ok(self.succeed(joining)),
            Some(Claim::Again) => Ok(self.join_again(joining)),
            Some(Claim::Stale) => Err(self.stale(&joining.told.node_id)),
            Some(Claim::Other) => Err(Refusal::OtherOwner),
        }
    }

    /// Whether there is room for another node.
    pub(super) fn has_room(&self) -> bool {
        self.nodes.len() < self.rules.nodes_max
    }

    pub(super) fn join(&mut self, joining: Joining) -> Result<Vec<Change>, Refusal> {
        if !self.has_room() {
            return Err(Refusal::Full);
        }
        let mut changes = self.untold();
        self.enter(joining, &mut changes);
        Ok(changes)
    }

    /// Another life or machine takes the name over: what the first had is gone before the second is there. What is held
    /// against the name stays, so that nobody gets rid of it by starting anew.
    //= ORCH-3429
    pub(super) fn succeed(&mut self, joining: Joining) -> Vec<Change> {
        let moment = joining.moment;
        let mut changes = self.untold();
        let first = self.remove(&joining.told.node_id, Removal::Fenced, &mut changes);
        let id = self.enter(joining, &mut changes);
        if let (Some(first), Some(second)) = (first, self.nodes.get_mut(&id)) {
            second.steadiness = first.steadiness;
            second.strikes = first.strikes;
            second.stale = first.stale;
            if let Some(quarantine) = first.quarantine {
                let (node, fault) = (Arc::clone(&id), quarantine.fault.clone());
                changes.push(Change::NodeQuarantined { node, fault });
                second.quarantine = Some(Quarantine { registered: true, ..quarantine });
            }
        }
        self.release(&id, moment.at);
        self.settle_alarm(&mut changes);
        changes.append(&mut self.untold);
        changes
    }

    fn enter(&mut self, joining: Joining, changes: &mut Vec<Change>) -> Arc<str> {
        let Joining { told, machine, place, from, moment } = joining;
        let id: Arc<str> = told.node_id.into();
        let node = Node {
            id: Arc::clone(&id),
            machine,
            contact: from,
            address: told.address,
            place,
            capabilities: told.capabilities,
            version: told.version,
            declared: told.pools,
            life: Life::begin(told.incarnation),
            presence: Presence::Registering,
            heard: moment,
            strikes: 0,
            quarantine: None,
            steadiness: Steadiness::default(),
            replicas: Vec::new(),
            moved: false,
            fitness: Fitness::Unfit,
            stale: 0,
        };
        self.nodes.insert(Arc::clone(&id), node);
        changes.push(Change::NodeRegistered { node: Arc::clone(&id), how: Registration::New });
        id
    }

    /// The same life says who it is. That it is well is shown by its next heartbeat: this may be a replay.
    fn join_again(&mut self, joining: Joining) -> Vec<Change> {
        let mut changes = self.untold();
        let Joining { told, machine, place, from, moment } = joining;
        let Some(node) = self.nodes.get_mut(&*told.node_id) else { return changes };
        let id = Arc::clone(&node.id);
        node.moved |= node.place != place || !is_same_peer(node.contact, from);
        node.machine = machine;
        node.contact = from;
        node.address = told.address;
        node.place = place;
        node.capabilities = told.capabilities;
        node.version = told.version;
        node.declared = told.pools;
        // Without incarnations a restart looks like this, and its numbers begin anew.
        if told.incarnation.is_none() || node.life.incarnation.is_none() {
            node.life = Life::begin(told.incarnation);
        }
        if let Some(quarantine) = &mut node.quarantine {
            quarantine.registered = true;
        }
        changes.push(Change::NodeRegistered { node: Arc::clone(&id), how: Registration::Again });
        self.release(&id, moment.at);
        changes.append(&mut self.untold);
        changes
    }
}

/// Whose name it is.
//= ORCH-3429
fn claim(known: &Node, joining: &Joining) -> Claim {
    let told = &joining.told;
    let is_same_machine = match &known.machine {
        Some(machine) => *machine == told.machine_id,
        // It was only asked so far, and now speaks for itself.
        None if is_same_place(known, &joining.place, joining.from) => return Claim::Again,
        None => false,
    };
    let order = told.incarnation.cmp(&known.life.incarnation);
    let is_same_credential = known.contact.credential == joining.from.credential;
    if order == Ordering::Greater && (is_same_machine || is_same_credential) {
        return Claim::Later;
    }
    match (is_same_machine, order) {
        (true, Ordering::Less) if known.is_offline() && told.incarnation.is_none() => Claim::Later,
        (true, Ordering::Less) => Claim::Stale,
        (true, Ordering::Equal | Ordering::Greater) => Claim::Again,
        (false, _) if known.is_offline() => Claim::Later,
        (false, _) => Claim::Other,
    }
}

/// Whether `place` is where the node is known to be: the same port of the same host.
pub(super) fn is_same_place(known: &Node, place: &Endpoint, from: Contact) -> bool {
    let is_same_host = is_same_peer(known.contact, from) || known.place.host() == place.host();
    known.place.port() == place.port() && is_same_host
}

//! A node as the registry knows it.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use pool_registry_types::{Fault, NodeCapabilities, PoolReport};

use crate::{
    attention::Moment,
    change::{Change, ReplicaKey},
    endpoint::Endpoint,
    life::Life,
    steadiness::Steadiness,
};

/// Who speaks for a node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    /// Where it speaks from.
    pub peer: IpAddr,
    /// A digest of what proves who it is. Where all nodes share one token, that proves no more than that it is a node.
    pub credential: u64,
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The credential's digest is nobody's business.
        f.debug_struct("Contact").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeStatus {
    /// It registered, and was not heard since.
    Registering,
    /// It is heard.
    Online,
    /// It is heard, and drains all that it has.
    Draining,
    /// It is silent.
    Offline,
    /// It is in quarantine, for what it said was impossible.
    Failed,
}

/// One engine of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Replica {
    pub(crate) key: ReplicaKey,
    pub(crate) report: Arc<PoolReport>,
    pub(crate) endpoint: Option<Endpoint>,
    /// Whether it takes work, as it was told last; nothing when something about it is still to be told.
    pub(crate) told: Option<bool>,
}

/// Whether a node is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Not yet.
    Registering,
    /// It is.
    Online,
    /// It is silent, but together with so many that the fault may be here.
    Suspect,
    /// No more; since when, if it ever was.
    Offline { fell: Option<Duration> },
}

/// Whether a node gets work, if its engines take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fitness {
    Fit,
    /// Not before it has stayed for a while.
    Damped,
    Unfit,
}

/// A node that said impossible things too often.
#[derive(Debug, Clone)]
pub(crate) struct Quarantine {
    pub(crate) since: Duration,
    /// The last impossible thing, if it could be read.
    pub(crate) fault: Option<Fault>,
    /// Whether it registered since.
    pub(crate) registered: bool,
}

/// A node.
#[derive(Debug, Clone)]
pub struct Node {
    pub(crate) id: Arc<str>,
    /// The machine, unless the node never registered and was only asked.
    pub(crate) machine: Option<String>,
    pub(crate) contact: Contact,
    pub(crate) address: String,
    pub(crate) place: Endpoint,
    pub(crate) capabilities: NodeCapabilities,
    pub(crate) version: Option<String>,
    pub(crate) declared: Vec<String>,
    pub(crate) life: Life,
    pub(crate) presence: Presence,
    pub(crate) heard: Moment,
    pub(crate) strikes: u32,
    pub(crate) quarantine: Option<Quarantine>,
    pub(crate) steadiness: Steadiness,
    pub(crate) replicas: Vec<Replica>,
    /// Whether its endpoints must be judged again, since it has another address.
    pub(crate) moved: bool,
    /// As it was when its engines were last judged.
    pub(crate) fitness: Fitness,
    pub(crate) stale: u64,
}

impl Replica {
    /// Its pool and its name there.
    pub fn key(&self) -> &ReplicaKey {
        &self.key
    }

    /// What its node said last.
    pub fn report(&self) -> &Arc<PoolReport> {
        &self.report
    }

    /// Where it listens.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.as_ref()
    }

    /// Whether new work may go there.
    pub fn is_ready(&self) -> bool {
        self.told == Some(true)
    }
}

impl Node {
    /// Its name.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// How it is.
    pub fn status(&self) -> NodeStatus {
        match self.presence {
            _ if self.quarantine.is_some() => NodeStatus::Failed,
            Presence::Registering => NodeStatus::Registering,
            Presence::Offline { .. } => NodeStatus::Offline,
            Presence::Online | Presence::Suspect if self.is_draining() => NodeStatus::Draining,
            Presence::Online | Presence::Suspect => NodeStatus::Online,
        }
    }

    /// Whether it is heard, or silent under suspicion only, and not in quarantine.
    pub fn is_online(&self) -> bool {
        matches!(self.presence, Presence::Online | Presence::Suspect) && self.quarantine.is_none()
    }

    /// Whether it is silent together with so many that it is not set offline.
    pub fn is_suspect(&self) -> bool {
        self.presence == Presence::Suspect
    }

    /// Whether it gets no work for what it said.
    pub fn is_quarantined(&self) -> bool {
        self.quarantine.is_some()
    }

    /// Whether it is heard, but gets no work until it has stayed for a while.
    pub fn is_damped(&self) -> bool {
        self.fitness == Fitness::Damped
    }

    /// Its machine; nothing when it never registered and was only asked.
    pub fn machine_id(&self) -> Option<&str> {
        self.machine.as_deref()
    }

    /// Who speaks for it.
    pub fn contact(&self) -> Contact {
        self.contact
    }

    /// Its address, as it told it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where its agent listens, as read from the address.
    pub fn place(&self) -> &Endpoint {
        &self.place
    }

    /// What its machine has.
    pub fn capabilities(&self) -> &NodeCapabilities {
        &self.capabilities
    }

    /// Its agent's version.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Which life of its agent this is.
    pub fn incarnation(&self) -> Option<u64> {
        self.life.incarnation
    }

    /// When it was last heard, or first registered, in the time that the calls bring.
    pub fn heard_at(&self) -> Duration {
        self.heard.now
    }

    /// How many of its messages were ignored for their age.
    pub fn stale_count(&self) -> u64 {
        self.stale
    }

    /// Its engines, as it reported them last.
    pub fn replicas(&self) -> &[Replica] {
        &self.replicas
    }

    /// The names of its pools: those of its reports, or, before the first, those of its registration.
    pub fn pools(&self) -> impl Iterator<Item = &str> {
        let declared = if self.presence == Presence::Registering { &*self.declared } else { &[] };
        let reported = self.replicas.iter().map(|replica| &*replica.key.pool);
        reported.chain(declared.iter().map(String::as_str))
    }

    fn is_draining(&self) -> bool {
        !self.replicas.is_empty() && self.replicas.iter().all(|replica| replica.report.draining)
    }

    pub(crate) fn is_offline(&self) -> bool {
        matches!(self.presence, Presence::Offline { .. })
    }

    /// How long it was silent while the registry listened.
    pub(crate) fn silence(&self, at: Duration) -> Duration {
        at.saturating_sub(self.heard.at)
    }

    /// Whether its silence is long enough for it to be offline.
    pub(crate) fn is_due(&self, at: Duration, offline_after: Duration) -> bool {
        self.quarantine.is_none() && !self.is_offline() && self.silence(at) >= offline_after
    }

    /// Whether it gets work, if its engines take it.
    pub(crate) fn fitness_at(&self, at: Duration) -> Fitness {
        match self.is_online() {
            true if self.steadiness.is_steady(at) => Fitness::Fit,
            true => Fitness::Damped,
            false => Fitness::Unfit,
        }
    }

    /// It is silent for too long.
    //= ORCH-3425
    pub(crate) fn fall(&mut self, at: Duration, changes: &mut Vec<Change>) {
        let was_online = self.is_online();
        if was_online {
            self.steadiness.fell(at);
        }
        self.presence = Presence::Offline { fell: was_online.then_some(at) };
        changes.push(Change::NodeOffline { node: Arc::clone(&self.id), silence: self.silence(at) });
        self.judge(at, changes);
    }

    /// Judges whether its engines get work, and tells of those of which anything is otherwise.
    pub(crate) fn judge(&mut self, at: Duration, changes: &mut Vec<Change>) {
        self.fitness = self.fitness_at(at);
        for replica in &mut self.replicas {
            let report = &replica.report;
            let ready = self.fitness == Fitness::Fit && report.ready && !report.draining;
            if replica.told == Some(ready) {
                continue;
            }
            replica.told = Some(ready);
            changes.push(Change::ReplicaReported {
                node: Arc::clone(&self.id),
                replica: replica.key.clone(),
                report: Arc::clone(report),
                endpoint: replica.endpoint.clone(),
                ready,
            });
        }
    }
}

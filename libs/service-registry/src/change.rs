//! What changed.

use std::{sync::Arc, time::Duration};

use pool_registry_types::{Fault, PoolReport};

use crate::endpoint::Endpoint;

/// One engine among those that serve a pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaKey {
    /// The pool.
    pub pool: Arc<str>,
    /// Its name in the pool.
    pub replica: Arc<str>,
}

/// Something that is otherwise than before.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A node registered.
    NodeRegistered {
        /// The node.
        node: Arc<str>,
        /// Whether it was known.
        how: Registration,
    },
    /// A node is heard.
    NodeOnline {
        /// The node.
        node: Arc<str>,
        /// How long it must stay before it gets work; nothing unless it fell silent too often.
        damped_for: Duration,
    },
    /// A node is heard no more. What it had comes next, not ready.
    NodeOffline {
        /// The node.
        node: Arc<str>,
        /// How long it was silent while the registry listened.
        silence: Duration,
    },
    /// A node said impossible things too often, and gets no work. What it had comes next, not ready.
    NodeQuarantined {
        /// The node.
        node: Arc<str>,
        /// The last of them; none when its message could not even be read.
        fault: Option<Fault>,
    },
    /// A node's quarantine is over; its next heartbeat counts.
    NodeReleased {
        /// The node.
        node: Arc<str>,
    },
    /// A node is known no more. What it had was told to be gone before this.
    NodeRemoved {
        /// The node.
        node: Arc<str>,
        /// Why.
        why: Removal,
    },
    /// An engine is there, or something about it is otherwise.
    ReplicaReported {
        /// The node that has it.
        node: Arc<str>,
        /// The engine.
        replica: ReplicaKey,
        /// What its node says of it.
        report: Arc<PoolReport>,
        /// Where it listens, checked; a name's addresses are to be checked too.
        endpoint: Option<Endpoint>,
        /// Whether new work may go there: its node says so, does not drain it, and is itself fit for work.
        ready: bool,
    },
    /// An engine is there no more.
    ReplicaGone {
        /// The node that had it.
        node: Arc<str>,
        /// The engine.
        replica: ReplicaKey,
    },
    /// So many nodes fell silent together that the fault may be here: for a minute nobody is set offline.
    Alarm(MassSilence),
    /// The alarm is over.
    AlarmOver(AlarmEnd),
}

/// Whether a node that registered was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// It was not, or not in this life.
    New,
    /// It was: nothing but what it told of itself is otherwise.
    Again,
}

/// Why a node is known no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It said so.
    Deregistered,
    /// It was silent for too long.
    Expired,
    /// A later life of it, or another machine, took its name.
    Fenced,
}

/// How many nodes are silent together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MassSilence {
    /// So many are.
    pub silent: usize,
    /// Of so many that were online.
    pub of: usize,
}

/// How an alarm ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmEnd {
    /// Every node under suspicion was heard again, or left.
    Returned,
    /// The minute passed. Who was still silent is offline.
    TimedOut,
}

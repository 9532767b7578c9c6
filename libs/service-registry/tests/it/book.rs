//! What somebody knows who is told nothing but the changes.

use std::collections::{BTreeMap, BTreeSet};

use service_registry::{Change, NodeStatus, Registration, Registry, ReplicaKey};

/// A node, as the changes tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Registered,
    Online,
    Offline,
    Quarantined,
}

/// Kept from the changes alone.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) nodes: BTreeMap<String, Known>,
    replicas: BTreeMap<ReplicaKey, (String, bool)>,
    alarm: bool,
}

impl Book {
    /// The names of the engines that take work, as `pool/replica`.
    pub(crate) fn ready(&self) -> BTreeSet<String> {
        let ready = self.replicas.iter().filter(|(_, (_, ready))| *ready);
        ready.map(|(key, _)| key.replica.to_string()).collect()
    }

    pub(crate) fn is_alarmed(&self) -> bool {
        self.alarm
    }

    /// Takes the changes in, each of which must make sense after the ones before.
    pub(crate) fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            self.apply_one(change);
        }
    }

    fn apply_one(&mut self, change: &Change) {
        match change {
            Change::NodeRegistered { node, how } => {
                let was_known = self.nodes.contains_key(&**node);
                assert_eq!(was_known, *how == Registration::Again, "{change:?}");
                self.nodes.entry(node.to_string()).or_insert(Known::Registered);
            }
            Change::NodeOnline { node, .. } => {
                let before = self.step(node, Known::Online);
                assert!(matches!(before, Known::Registered | Known::Offline), "{change:?}: {before:?}");
            }
            Change::NodeOffline { node, .. } => {
                let before = self.step(node, Known::Offline);
                assert!(matches!(before, Known::Registered | Known::Online), "{change:?}: {before:?}");
            }
            Change::NodeQuarantined { node, .. } => {
                assert_ne!(self.step(node, Known::Quarantined), Known::Quarantined, "{change:?}");
            }
            Change::NodeReleased { node } => {
                assert_eq!(self.step(node, Known::Registered), Known::Quarantined, "{change:?}");
            }
            Change::NodeRemoved { node, .. } => {
                assert!(self.nodes.remove(&**node).is_some(), "{change:?}");
                let left = self.replicas.values().any(|(holder, _)| **holder == **node);
                assert!(!left, "{change:?}: its replicas are still there");
            }
            Change::ReplicaReported { node, replica, ready, report, .. } => {
                let is_fit = self.nodes[&**node] == Known::Online && report.ready && !report.draining;
                assert!(is_fit || !ready, "{change:?}: its node gets no work");
                let before = self.replicas.insert(replica.clone(), (node.to_string(), *ready));
                assert!(before.is_none_or(|(holder, _)| *holder == **node), "{change:?}: of another node");
            }
            Change::ReplicaGone { node, replica } => {
                let holder = self.replicas.remove(replica).map(|(holder, _)| holder);
                assert_eq!(holder.as_deref(), Some(&**node), "{change:?}");
            }
            Change::Alarm(_) => assert!(!std::mem::replace(&mut self.alarm, true), "raised twice"),
            Change::AlarmOver(_) => assert!(std::mem::replace(&mut self.alarm, false), "it did not stand"),
        }
    }

    fn step(&mut self, node: &str, now: Known) -> Known {
        self.nodes.insert(node.to_owned(), now).unwrap_or_else(|| panic!("{node} is not known"))
    }

    /// Holds what the changes told against what the registry shows.
    pub(crate) fn compare(&self, registry: &Registry) {
        let told: Vec<_> = self.nodes.keys().map(String::as_str).collect();
        let shown: Vec<_> = registry.nodes().map(|node| &**node.id()).collect();
        assert_eq!(told, shown);
        let mut replicas = BTreeMap::new();
        for node in registry.nodes() {
            let known = self.nodes[&**node.id()];
            assert_eq!(node.is_online(), known == Known::Online, "{node:?}");
            assert_eq!(node.status() == NodeStatus::Offline, known == Known::Offline, "{node:?}");
            assert_eq!(node.status() == NodeStatus::Failed, known == Known::Quarantined, "{node:?}");
            assert!(self.alarm || !node.is_suspect(), "{node:?}");
            for replica in node.replicas() {
                replicas.insert(replica.key().clone(), (node.id().to_string(), replica.is_ready()));
                let holder = registry.holders(&replica.key().pool).any(|holder| holder.id() == node.id());
                assert!(holder, "{node:?} does not hold {replica:?}");
            }
        }
        assert_eq!(self.replicas, replicas);
    }
}

//! Whatever nodes say, and in whatever order: the changes tell all that is otherwise, no older message counts, no name has
//! two owners, and what nobody can have is not taken in.
#![no_main]

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pool_registry_types::{Heartbeat, PoolReport, RegisterNode};
use service_registry::{Change, Contact, NodeStatus, Polled, Refusal, Registry, ReplicaKey, Rules};

const OPS_MAX: usize = 150;

fuzz_target!(|ops: Vec<Op>| {
    let rules = Rules { nodes_max: 5, ..Rules::default() };
    let mut run = Run {
        registry: Registry::new(rules),
        now: Duration::from_secs(100),
        replicas: BTreeMap::new(),
        online: BTreeMap::new(),
        heard: BTreeMap::new(),
    };
    for op in ops.into_iter().take(OPS_MAX) {
        run.apply(op);
    }
});

#[derive(Debug, Arbitrary)]
enum Op {
    Register {
        node: u8,
        machine: u8,
        from: From,
        incarnation: Option<u8>,
        elsewhere: bool,
    },
    Beat {
        node: u8,
        from: From,
        incarnation: Option<u8>,
        seq: Option<u8>,
        pools: Vec<Pool>,
    },
    /// A body as it comes over the wire.
    Body {
        node: u8,
        from: From,
        json: String,
    },
    Polled {
        node: u8,
        pools: Vec<Pool>,
    },
    Leave {
        node: u8,
        from: From,
    },
    Wait(u16),
    /// The process was away.
    Gap(u16),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
struct From {
    other_peer: bool,
    other_credential: bool,
}

#[derive(Debug, Arbitrary)]
struct Pool {
    id: u8,
    ready: bool,
    draining: bool,
    slots: u8,
    total: Option<u8>,
    odd: Option<Odd>,
    replica: Option<u8>,
    endpoint: Option<u8>,
}

/// What no node can have.
#[derive(Debug, Arbitrary)]
enum Odd {
    Slots(u32),
    Memory { free: u64, total: Option<u64> },
    Context(u32),
    Busy(f64),
    Engine(String),
    Mask(String),
    Digest(String),
    Error(String),
}

struct Run {
    registry: Registry,
    now: Duration,
    /// What the changes told: which node has an engine, and whether it takes work.
    replicas: BTreeMap<ReplicaKey, (String, bool)>,
    online: BTreeMap<String, bool>,
    /// The newest heartbeat of each owner of a name that was taken in.
    heard: BTreeMap<String, (Option<u64>, Option<u64>)>,
}

impl Run {
    fn apply(&mut self, op: Op) {
        match op {
            Op::Register { node, machine, from, incarnation, elsewhere } => {
                let id = name(node);
                let address =
                    if elsewhere { "10.0.0.99:1".to_owned() } else { format!("10.0.0.{}:9200", node % 6) };
                let told = RegisterNode {
                    node_id: id.clone(),
                    machine_id: format!("m{}", machine % 3),
                    address,
                    incarnation: incarnation.map(u64::from),
                    ..RegisterNode::default()
                };
                let answer = self.registry.register(self.now, told, contact(node, from));
                if answer.is_ok() {
                    self.heard.remove(&id);
                }
                self.took(answer.ok());
            }
            Op::Beat { node, from, incarnation, seq, pools } => {
                let beat = Heartbeat {
                    timestamp: "2026-01-01T00:00:00Z".to_owned(),
                    pools: pools.iter().map(Pool::report).collect(),
                    incarnation: incarnation.map(u64::from),
                    seq: seq.map(u64::from),
                };
                self.beat(node, from, beat);
            }
            Op::Body { node, from, json } => {
                let Ok(beat) = serde_json::from_str::<Heartbeat>(&json) else { return };
                let written = serde_json::to_string(&beat).expect("a heartbeat is JSON");
                let again: Heartbeat = serde_json::from_str(&written).expect("it reads again");
                assert_eq!(serde_json::to_string(&again).ok(), Some(written));
                self.beat(node, from, beat);
            }
            Op::Polled { node, pools } => {
                let (id, address) = (name(node), format!("10.0.0.{}:9200", node % 6));
                let pools = pools.iter().map(Pool::report).collect();
                let polled = Polled { node_id: &id, address: &address, pools };
                let from = contact(node, From { other_peer: false, other_credential: false });
                let answer = self.registry.polled(self.now, polled, from);
                self.took(answer.ok());
            }
            Op::Leave { node, from } => {
                let answer = self.registry.deregister(self.now, &name(node), contact(node, from));
                if answer.is_ok() {
                    self.heard.remove(&name(node));
                    assert!(self.registry.node(&name(node)).is_none());
                }
                self.took(answer.ok());
            }
            Op::Wait(ms) => {
                for _ in 0..=ms / 1_000 {
                    self.now += Duration::from_millis(1_000.min(u64::from(ms)));
                    self.took(None);
                }
            }
            Op::Gap(seconds) => {
                self.now += Duration::from_secs(u64::from(seconds % 2_000));
                self.took(None);
            }
        }
    }

    fn beat(&mut self, node: u8, from: From, beat: Heartbeat) {
        let id = name(node);
        let (numbers, fault) = ((beat.incarnation, beat.seq), beat.check().err());
        let before = self.registry.node(&id).map(|node| (node.contact(), node.heard_at()));
        let answer = self.registry.heartbeat(self.now, &id, beat, contact(node, from));
        match &answer {
            Ok(_) => {
                assert_eq!(fault, None, "an impossible report was taken in");
                assert!(before.is_some(), "nobody registered under {id}");
                let newest = self.heard.entry(id.clone()).or_default();
                let grows = match (numbers, *newest) {
                    ((Some(told), _), (Some(known), _)) if told < known => false,
                    ((told, Some(seq)), (known, Some(last))) if told == known => seq > last,
                    _ => true,
                };
                assert!(grows, "{numbers:?} after {newest:?}");
                *newest = (numbers.0.or(newest.0), numbers.1.or(newest.1));
            }
            Err(refusal) => {
                // What is refused for its age or its speaker has changed nothing of the node.
                if matches!(refusal, Refusal::Stale | Refusal::OtherOwner) {
                    let after = self.registry.node(&id).map(|node| (node.contact(), node.heard_at()));
                    assert_eq!(after, before, "{refusal}");
                }
            }
        }
        self.took(answer.ok());
    }

    /// Takes the changes in, and holds what they told against what the registry shows.
    fn took(&mut self, changes: Option<Vec<Change>>) {
        // What a refused call changed is told by the next sweep.
        let changes = changes.unwrap_or_else(|| self.registry.sweep(self.now));
        for change in changes {
            self.take_one(change);
        }
        let mut shown = BTreeMap::new();
        for node in self.registry.nodes() {
            assert_eq!(self.online.get(&**node.id()), Some(&node.is_online()), "{node:?}");
            for replica in node.replicas() {
                let there = (node.id().to_string(), replica.is_ready());
                assert!(!there.1 || node.is_online(), "work for a node that is not there: {node:?}");
                assert!(shown.insert(replica.key().clone(), there).is_none(), "two nodes have {replica:?}");
            }
            assert!(!node.is_quarantined() || node.status() == NodeStatus::Failed);
        }
        assert_eq!(self.replicas, shown);
        assert_eq!(self.online.len(), self.registry.nodes().count());
        assert!(self.registry.nodes().count() <= 5);
        let places = self.registry.availability();
        assert_eq!(places, self.registry.availability());
    }

    fn take_one(&mut self, change: Change) {
        match change {
            Change::NodeRegistered { node, .. } => {
                self.online.entry(node.to_string()).or_insert(false);
            }
            Change::NodeOnline { node, .. } => self.is_now(&node, true),
            Change::NodeOffline { node, .. } => self.is_now(&node, false),
            Change::NodeQuarantined { node, .. } | Change::NodeReleased { node } => {
                self.online.insert(node.to_string(), false);
            }
            Change::NodeRemoved { node, .. } => {
                assert!(self.online.remove(&*node).is_some(), "{node} was not there");
                assert!(
                    self.replicas.values().all(|(holder, _)| **holder != *node),
                    "{node} left engines behind"
                );
                self.heard.remove(&*node);
            }
            Change::ReplicaReported { node, replica, ready, report, .. } => {
                assert!(!ready || (report.ready && !report.draining && self.online[&*node]), "{report:?}");
                assert_eq!(report.check(""), Ok(()));
                let before = self.replicas.insert(replica, (node.to_string(), ready));
                assert!(before.is_none_or(|(holder, _)| *holder == *node), "taken from another node");
            }
            Change::ReplicaGone { node, replica } => {
                let holder = self.replicas.remove(&replica).map(|(holder, _)| holder);
                assert_eq!(holder.as_deref(), Some(&*node));
            }
            Change::Alarm(_) | Change::AlarmOver(_) => {}
        }
    }

    fn is_now(&mut self, node: &str, online: bool) {
        let before = self.online.insert(node.to_owned(), online);
        assert!(before.is_some(), "{node} is not known");
    }
}

impl Pool {
    fn report(&self) -> PoolReport {
        let mut report = PoolReport {
            pool_id: format!("p{}", self.id % 3),
            ready: self.ready,
            draining: self.draining,
            slots_free: self.slots.into(),
            slots_total: self.total.map(u32::from),
            model_id: Some(format!("m{}", self.id % 2)),
            replica_id: self.replica.map(|replica| format!("r{}", replica % 3)),
            endpoint: self.endpoint.map(|host| format!("http://10.0.0.{}:1", host % 8)),
            ..PoolReport::default()
        };
        match &self.odd {
            None => {}
            Some(Odd::Slots(slots)) => report.slots_free = *slots,
            Some(Odd::Memory { free, total }) => {
                (report.vram_free_bytes, report.vram_total_bytes) = (*free, *total);
            }
            Some(Odd::Context(ctx)) => report.ctx_max = Some(*ctx),
            Some(Odd::Busy(share)) => report.gpu_utilization = Some(*share),
            Some(Odd::Engine(engine)) => report.engine = Some(engine.clone()),
            Some(Odd::Mask(mask)) => report.device_mask = Some(mask.clone()),
            Some(Odd::Digest(digest)) => report.model_digest = Some(digest.clone()),
            Some(Odd::Error(error)) => report.last_error = Some(error.clone()),
        }
        report
    }
}

fn name(node: u8) -> String {
    format!("n{}", node % 6)
}

fn contact(node: u8, from: From) -> Contact {
    let last = node % 6 + if from.other_peer { 100 } else { 0 };
    Contact { peer: IpAddr::from([10, 0, 0, last]), credential: u64::from(from.other_credential) }
}

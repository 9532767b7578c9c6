//! Short random stories that shrink: everything is held against invariants N1 to N5 and a naive set of books.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use pool_registry_types::{Heartbeat, PoolReport, RegisterNode};
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use service_registry::{AlarmEnd, Change, Contact, Polled, Refusal, Registration, Registry, Rules};

use crate::{
    book::{Book, Known},
    world::{Answer, impossible, pool, s},
};

const CASES: u32 = 150;
const NODES: [&str; 4] = ["a", "b", "c", "d"];

/// Who speaks: the machine, the credential and the address of a host.
type Host = u8;

#[derive(Debug, Clone)]
enum Op {
    Register {
        node: u8,
        host: Host,
        incarnation: Option<u64>,
    },
    Beat {
        node: u8,
        host: Host,
        incarnation: Option<u64>,
        seq: Option<u64>,
        says: Says,
    },
    /// All nodes are heard by their owners, as it is when nothing is wrong.
    AllBeat,
    /// The owner registers again.
    Again {
        node: u8,
    },
    /// The owner says impossible things only.
    Rage {
        node: u8,
    },
    Poll {
        node: u8,
        host: Host,
        says: Says,
    },
    Unreadable {
        node: u8,
        host: Host,
    },
    Leave {
        node: u8,
        host: Host,
    },
    Wait(u64),
    Pause(u64),
}

/// What a node says of its engines.
#[derive(Debug, Clone, Copy)]
enum Says {
    Ready,
    NotReady,
    Draining,
    Nothing,
    Named,
    Impossible,
    Elsewhere,
}

fn says() -> impl Strategy<Value = Says> {
    prop_oneof![
        8 => Just(Says::Ready),
        1 => Just(Says::NotReady),
        1 => Just(Says::Draining),
        1 => Just(Says::Nothing),
        1 => Just(Says::Named),
        2 => Just(Says::Impossible),
        1 => Just(Says::Elsewhere),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let who = || (0..4_u8, prop_oneof![3 => Just(0_u8), 1 => 0..4_u8]);
    let number = |most: u64| proptest::option::weighted(0.7, 0..most);
    prop_oneof![
        6 => (who(), number(4)).prop_map(|((node, host), incarnation)| Op::Register { node, host, incarnation }),
        10 => (who(), number(4), number(30), says()).prop_map(|((node, host), incarnation, seq, says)| {
            Op::Beat { node, host, incarnation, seq, says }
        }),
        6 => Just(Op::AllBeat),
        3 => (0..4_u8).prop_map(|node| Op::Again { node }),
        2 => (0..4_u8).prop_map(|node| Op::Rage { node }),
        2 => (who(), says()).prop_map(|((node, host), says)| Op::Poll { node, host, says }),
        1 => who().prop_map(|(node, host)| Op::Unreadable { node, host }),
        1 => who().prop_map(|(node, host)| Op::Leave { node, host }),
        12 => prop_oneof![4 => 1..15_u64, 2 => 25..35_u64, 1 => 60..70_u64, 1 => 600..601_u64].prop_map(Op::Wait),
        2 => (3..5_000_u64).prop_map(Op::Pause),
    ]
}

/// Hosts 0 and 1 share a machine, 1 and 2 a credential; host 3 is a stranger.
fn contact(host: Host) -> Contact {
    Contact { peer: IpAddr::from([10, 0, 0, host]), credential: [1, 2, 2, 3][usize::from(host)] }
}

fn registration(node: u8, host: Host, incarnation: Option<u64>) -> RegisterNode {
    RegisterNode {
        node_id: NODES[usize::from(node)].into(),
        machine_id: ["m", "m", "k", "x"][usize::from(host)].into(),
        address: format!("10.0.0.{host}:{}", 9_200 + u16::from(node)),
        incarnation,
        ..RegisterNode::default()
    }
}

fn pools(says: Says) -> Vec<PoolReport> {
    match says {
        Says::Ready => vec![pool("p")],
        Says::NotReady => vec![PoolReport { ready: false, ..pool("p") }],
        Says::Draining => vec![PoolReport { draining: true, ..pool("p") }],
        Says::Nothing => vec![],
        Says::Named => vec![pool("q"), PoolReport { replica_id: Some("one".into()), ..pool("p") }],
        Says::Impossible => impossible().pools,
        Says::Elsewhere => vec![PoolReport { endpoint: Some("http://10.0.0.99:1".into()), ..pool("p") }],
    }
}

/// What the checker remembers of a node: who owns it, and what was taken in last.
#[derive(Debug, Clone)]
struct Owner {
    machine: String,
    incarnation: Option<u64>,
    last: Option<(u64, u64)>,
    heard: Duration,
}

struct Model<'a> {
    registry: Registry,
    book: Book,
    now: Duration,
    last_call: Duration,
    /// Time that the process missed, counted a second time.
    missed: Duration,
    owners: BTreeMap<String, Owner>,
    /// Who went offline when, without an alarm having stood for a minute.
    fell: BTreeMap<String, Duration>,
    reached: &'a RefCell<BTreeSet<String>>,
}

fn name_of(text: &str) -> String {
    text.chars().take_while(char::is_ascii_alphanumeric).collect()
}

impl Model<'_> {
    fn attended(&self) -> Duration {
        self.now.saturating_sub(self.missed)
    }

    /// A call is about to be made.
    fn call(&mut self) -> Duration {
        let gap = self.now.saturating_sub(self.last_call);
        if gap > s(2) {
            self.missed += gap.saturating_sub(s(1));
        }
        self.last_call = self.now;
        self.now
    }

    fn reach(&self, thing: &dyn std::fmt::Debug) {
        self.reached.borrow_mut().insert(name_of(&format!("{thing:?}")));
    }

    /// What a call answered is taken into the books.
    fn took(&mut self, answer: &Answer) {
        match answer {
            Ok(changes) => self.told(changes),
            Err(refusal) => {
                self.reach(refusal);
                let changes = self.registry.sweep(self.now);
                self.told(&changes);
            }
        }
    }

    fn told(&mut self, changes: &[Change]) {
        // N4: nobody goes offline while an alarm stands.
        let stood = self.book.is_alarmed();
        let timed_out = changes.contains(&Change::AlarmOver(AlarmEnd::TimedOut));
        for change in changes {
            self.reach(change);
            match change {
                Change::NodeOffline { node, silence } => {
                    assert!(!stood || timed_out, "{change:?} while an alarm stands");
                    // N3: by silence alone.
                    let heard = self.owners[&**node].heard;
                    assert_eq!(*silence, self.attended().saturating_sub(heard), "{change:?}");
                    assert!(*silence >= s(30), "{change:?}");
                    let was_online = self.book.nodes[&**node] == Known::Online;
                    if was_online && !timed_out {
                        self.fell.insert(node.to_string(), self.attended());
                    }
                }
                // N5: with what it had, which the book checks.
                Change::NodeRemoved { node, .. } => {
                    self.owners.remove(&**node);
                    self.fell.remove(&**node);
                }
                Change::NodeOnline { node, .. } | Change::NodeQuarantined { node, .. } => {
                    self.fell.remove(&**node);
                }
                Change::NodeReleased { node } => {
                    let attended = self.attended();
                    self.owners.entry(node.to_string()).and_modify(|owner| owner.heard = attended);
                }
                _ => {}
            }
            self.book.apply(std::slice::from_ref(change));
        }
        if timed_out {
            self.fell.clear();
        }
        if changes.iter().any(|change| matches!(change, Change::NodeOffline { .. })) {
            self.most_are_there();
        }
    }

    // N4: no more than half of the nodes go offline within a minute, unless an alarm stood for as long.
    fn most_are_there(&self) {
        let since = |fell: &Duration| self.attended().saturating_sub(*fell) < s(60);
        let fallen = self.fell.values().filter(|fell| since(fell)).count();
        let online = self.book.nodes.values().filter(|known| **known == Known::Online).count();
        let of = online + fallen;
        assert!(of < 3 || fallen * 2 <= of, "{fallen} of {of} went offline");
    }

    fn sweep(&mut self) {
        let now = self.call();
        let changes = self.registry.sweep(now);
        self.took(&Ok(changes));
        // N3, the other way: who is silent for so long is offline, unless an alarm stands.
        for (id, owner) in &self.owners {
            let silence = self.attended().saturating_sub(owner.heard);
            let known = self.book.nodes[id];
            let may_stay = matches!(known, Known::Offline | Known::Quarantined) || self.book.is_alarmed();
            assert!(silence < s(30) || may_stay, "{id} is {known:?} after {silence:?}");
            assert!(silence < s(600) || self.book.is_alarmed(), "{id} is still there after {silence:?}");
        }
    }

    fn register(&mut self, node: u8, host: Host, incarnation: Option<u64>) {
        let told = registration(node, host, incarnation);
        let before = self.owners.get(&told.node_id).cloned();
        let known = self.book.nodes.get(&told.node_id).copied();
        let same_credential = self.registry.node(&told.node_id).map(|it| it.contact().credential)
            == Some(contact(host).credential);
        let now = self.call();
        let answer = self.registry.register(now, told.clone(), contact(host));
        self.took(&answer);
        let Ok(changes) = answer else { return };
        let again = changes.iter().any(
            |change| matches!(change, Change::NodeRegistered { how: Registration::Again, node } if **node == *told.node_id),
        );
        // N1: a name changes hands only when its owner is offline, or to a later life that shows the same credential.
        if let Some(before) = &before {
            let same_machine = before.machine == told.machine_id || before.machine.is_empty();
            let is_later = incarnation > before.incarnation && same_credential;
            assert!(same_machine || is_later || known == Some(Known::Offline), "{told:?} over {before:?}");
            assert!(same_machine || !again, "{told:?} again");
        }
        // That it says the same again does not show that it is well.
        let before = before.filter(|_| again);
        let heard = before.as_ref().map_or_else(|| self.attended(), |_| self.owners[&told.node_id].heard);
        let last = before.filter(|before| before.incarnation.is_some()).and_then(|before| before.last);
        let owner = Owner { machine: told.machine_id, incarnation, last, heard };
        self.owners.insert(told.node_id, owner);
    }

    fn beat(&mut self, node: u8, host: Host, beat: &Heartbeat) {
        let id = NODES[usize::from(node)];
        let numbers = beat.incarnation.zip(beat.seq);
        let now = self.call();
        let answer = self.registry.heartbeat(now, id, beat.clone(), contact(host));
        self.took(&answer);
        let attended = self.attended();
        match (&answer, self.owners.get_mut(id)) {
            // N2: what is taken in grows.
            (Ok(_), Some(owner)) => {
                if let (Some(last), Some(numbers)) = (owner.last, numbers) {
                    assert!(numbers > last, "{numbers:?} after {last:?}");
                }
                assert!(owner.last.is_none() || numbers.is_some(), "no numbers after {:?}", owner.last);
                assert!(beat.incarnation <= owner.incarnation || owner.incarnation.is_none());
                owner.last = numbers.or(owner.last);
                owner.incarnation = owner.incarnation.or(beat.incarnation);
                owner.heard = attended;
            }
            (Ok(_), None) => panic!("{id} is heard, and nobody registered it"),
            (Err(Refusal::Malformed(fault)), Some(owner)) if !fault.field.ends_with("replica_id") => {
                owner.last = numbers.or(owner.last);
                owner.incarnation = owner.incarnation.or(beat.incarnation);
            }
            (Err(_), _) => {}
        }
    }

    /// The host of the node's owner.
    fn host(&self, node: u8) -> Option<Host> {
        let peer = self.registry.node(NODES[usize::from(node)])?.contact().peer;
        (0..4).find(|host| contact(*host).peer == peer)
    }

    /// The owner of a node says the next thing that it has to say.
    fn owner_says(&mut self, node: u8, says: Says) {
        let Some(host) = self.host(node) else { return };
        let owner = &self.owners[NODES[usize::from(node)]];
        let (incarnation, seq) = (owner.incarnation, owner.last.map(|(_, seq)| seq + 1));
        let beat = Heartbeat { timestamp: "t".into(), pools: pools(says), incarnation, seq };
        self.beat(node, host, &beat);
    }

    fn poll(&mut self, node: u8, host: Host, says: Says) {
        let address = format!("10.0.0.{host}:{}", 9_200 + u16::from(node));
        let id = NODES[usize::from(node)];
        let polled = Polled { node_id: id, address: &address, pools: pools(says) };
        let now = self.call();
        let answer = self.registry.polled(now, polled, Contact { credential: 9, ..contact(host) });
        self.took(&answer);
        if answer.is_ok() {
            let heard = self.attended();
            let new = Owner { machine: String::new(), incarnation: None, last: None, heard };
            self.owners.entry(id.to_owned()).or_insert(new).heard = heard;
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Register { node, host, incarnation } => self.register(node, host, incarnation),
            Op::Beat { node, host, incarnation, seq, says } => {
                let beat = Heartbeat { timestamp: "t".into(), pools: pools(says), incarnation, seq };
                self.beat(node, host, &beat);
            }
            Op::AllBeat => (0..4).for_each(|node| self.owner_says(node, Says::Ready)),
            Op::Rage { node } => (0..3).for_each(|_| self.owner_says(node, Says::Impossible)),
            Op::Again { node } => {
                if let Some(host) = self.host(node) {
                    let incarnation = self.owners[NODES[usize::from(node)]].incarnation;
                    self.register(node, host, incarnation);
                }
            }
            Op::Poll { node, host, says } => self.poll(node, host, says),
            Op::Unreadable { node, host } => {
                let now = self.call();
                self.registry.unreadable(now, NODES[usize::from(node)], contact(host));
                self.sweep();
            }
            Op::Leave { node, host } => {
                let now = self.call();
                let answer = self.registry.deregister(now, NODES[usize::from(node)], contact(host));
                self.took(&answer);
            }
            Op::Wait(seconds) => {
                for _ in 0..seconds {
                    self.now += s(1);
                    self.sweep();
                }
            }
            Op::Pause(seconds) => {
                self.now += s(seconds);
                self.sweep();
            }
        }
    }
}

fn story(ops: &[Op], reached: &RefCell<BTreeSet<String>>) {
    let rules = Rules { nodes_max: 3, ..Rules::default() };
    let mut model = Model {
        registry: Registry::new(rules),
        book: Book::default(),
        now: s(100),
        last_call: s(100),
        missed: Duration::ZERO,
        owners: BTreeMap::new(),
        fell: BTreeMap::new(),
        reached,
    };
    for op in ops {
        model.apply(op);
        model.book.compare(&model.registry);
    }
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() }
}

/// Runs stories, and says what happened in them.
fn tell(mut runner: TestRunner) -> String {
    let reached = RefCell::new(BTreeSet::new());
    let stories = proptest::collection::vec(op(), 1..120);
    let told = runner.run(&stories, |ops| {
        story(&ops, &reached);
        Ok(())
    });
    told.unwrap();
    reached.into_inner().into_iter().collect::<Vec<_>>().join(" ")
}

// N01 N02 N04 N05 S14
//= ORCH-3425 type=test
//= ORCH-3426 type=test
//= ORCH-3427 type=test
//= ORCH-3429 type=test
//= ORCH-3430 type=test
#[test]
fn no_story_breaks_an_invariant() {
    assert_ne!(tell(TestRunner::new(config())), "");
}

#[test]
fn everything_happens_in_some_story() {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let all = "Alarm AlarmOver EndpointRefused Full Malformed NodeOffline NodeOnline NodeQuarantined \
        NodeRegistered NodeReleased NodeRemoved OtherOwner Quarantined ReplicaGone ReplicaReported Stale Unknown";
    assert_eq!(tell(TestRunner::new_with_rng(config(), rng)), all);
}

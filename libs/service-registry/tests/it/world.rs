//! A registry under watch, its time, and nodes that speak plainly.

use std::{net::IpAddr, time::Duration};

use pool_registry_types::{Heartbeat, PoolReport, RegisterNode};
use service_registry::{Change, Contact, Node, NodeStatus, Refusal, Registry, Rules};

use crate::book::Book;

pub(crate) type Answer = Result<Vec<Change>, Refusal>;

pub(crate) const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Every call is applied to the book, and the book is compared.
pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) now: Duration,
    pub(crate) book: Book,
}

/// The host of the last digit of the node's name, with a credential of its own.
pub(crate) fn contact(node: &str) -> Contact {
    let digit = node.bytes().last().map_or(0, |byte| byte % 16);
    Contact { peer: IpAddr::from([10, 0, 0, digit]), credential: digit.into() }
}

/// A machine's registration of a node at the host of its own.
pub(crate) fn node(id: &str, machine: &str, incarnation: Option<u64>) -> RegisterNode {
    let address = format!("{}:9200", contact(id).peer);
    let (node_id, machine_id) = (id.to_owned(), machine.to_owned());
    RegisterNode { node_id, machine_id, address, incarnation, ..RegisterNode::default() }
}

/// An engine that takes work.
pub(crate) fn pool(id: &str) -> PoolReport {
    PoolReport {
        pool_id: id.into(),
        ready: true,
        slots_free: 2,
        model_id: Some("m".into()),
        ..PoolReport::default()
    }
}

pub(crate) fn beat(pools: Vec<PoolReport>) -> Heartbeat {
    Heartbeat { timestamp: "2026-01-01T00:00:00Z".into(), pools, ..Heartbeat::default() }
}

pub(crate) fn numbered(incarnation: u64, seq: u64) -> Heartbeat {
    Heartbeat { incarnation: Some(incarnation), seq: Some(seq), ..beat(vec![pool("p")]) }
}

/// A report that no machine can make.
pub(crate) fn impossible() -> Heartbeat {
    beat(vec![PoolReport { slots_free: 1_000_000_000, ..pool("p") }])
}

impl Default for World {
    fn default() -> Self {
        Self::new(Rules::default())
    }
}

impl World {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { registry: Registry::new(rules), now: s(100), book: Book::default() }
    }

    /// Nodes that were heard just now, each with an engine that takes work.
    pub(crate) fn of(nodes: &[&str]) -> Self {
        let mut world = Self::default();
        world.sweep();
        for id in nodes {
            world.join(id);
        }
        world
    }

    /// The node registers and is heard.
    pub(crate) fn join(&mut self, id: &str) {
        self.register(node(id, id, None)).unwrap();
        self.beat(id).unwrap();
    }

    /// What a call answered is taken into the book.
    pub(crate) fn took(&mut self, answer: Answer) -> Answer {
        match &answer {
            Ok(changes) => self.book.apply(changes),
            // What such a call changed is told by the next sweep.
            Err(_) => self.book.apply(&self.registry.sweep(self.now)),
        }
        self.book.compare(&self.registry);
        answer
    }

    pub(crate) fn register(&mut self, node: RegisterNode) -> Answer {
        let from = contact(&node.node_id);
        self.register_from(node, from)
    }

    pub(crate) fn register_from(&mut self, node: RegisterNode, from: Contact) -> Answer {
        let answer = self.registry.register(self.now, node, from);
        self.took(answer)
    }

    /// The node says that its one engine takes work.
    pub(crate) fn beat(&mut self, id: &str) -> Answer {
        self.say(id, beat(vec![pool("p")]))
    }

    pub(crate) fn say(&mut self, id: &str, beat: Heartbeat) -> Answer {
        self.say_from(id, beat, contact(id))
    }

    pub(crate) fn say_from(&mut self, id: &str, beat: Heartbeat, from: Contact) -> Answer {
        let answer = self.registry.heartbeat(self.now, id, beat, from);
        self.took(answer)
    }

    pub(crate) fn leave(&mut self, id: &str) -> Answer {
        let answer = self.registry.deregister(self.now, id, contact(id));
        self.took(answer)
    }

    pub(crate) fn sweep(&mut self) -> Vec<Change> {
        let changes = self.registry.sweep(self.now);
        self.took(Ok(changes)).unwrap()
    }

    /// Time passes in which the process attends; says what changed.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<Change> {
        let until = self.now + time;
        let mut changes = Vec::new();
        while self.now < until {
            self.now = (self.now + s(1)).min(until);
            changes.extend(self.sweep());
        }
        changes
    }

    /// Time passes, and these nodes are heard every ten seconds.
    pub(crate) fn pass_with(&mut self, heard: &[&str], time: Duration) -> Vec<Change> {
        let until = self.now + time;
        let mut changes = Vec::new();
        while self.now < until {
            for id in heard {
                changes.extend(self.beat(id).unwrap());
            }
            changes.extend(self.pass(s(10).min(until.saturating_sub(self.now))));
        }
        changes
    }

    pub(crate) fn node(&self, id: &str) -> &Node {
        self.registry.node(id).unwrap()
    }

    pub(crate) fn status(&self, id: &str) -> NodeStatus {
        self.node(id).status()
    }

    /// Whether the node's engines take work, as the changes told.
    pub(crate) fn is_ready(&self, id: &str) -> bool {
        self.book.ready().contains(&format!("{id}/p"))
    }
}

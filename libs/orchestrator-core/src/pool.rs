//! Pools and replicas as the scheduler sees them: what was last heard, and which slots are in use.

use crate::{
    breaker::{Breaker, Circuit},
    estimate::{Arrivals, Promises, ServiceTimes, Starters},
    ids::PoolId,
    job::Priority,
    operation::{Closed, Hold, OperationKind, Patience},
    queue::Line,
    time::Timestamp,
    view::{Readiness, ReplicaView},
};

/// Where a replica stands in the scheduler's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReplicaKey {
    pub(crate) pool: usize,
    pub(crate) replica: usize,
}

/// Whether a replica is there, as far as streams and probes have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Here,
    /// A stream of it broke: nothing new goes there until it was looked at again.
    Suspect,
    /// It is gone; its place is kept until its last lease ends.
    Gone,
}

/// A replica and the slots of it that are in use.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) view: ReplicaView,
    /// Live leases. May exceed `view.slots` for a while when a replica comes back smaller.
    pub(crate) used: u32,
    /// It said that it is busy: nothing new before this.
    pub(crate) rests_until: Timestamp,
    pub(crate) presence: Presence,
    pub(crate) breaker: Breaker,
    /// The first replica of its pool that does the same; itself, if none does.
    pub(crate) like: usize,
}

impl Replica {
    pub(crate) fn new(view: ReplicaView) -> Self {
        Self {
            view,
            used: 0,
            rests_until: Timestamp::default(),
            presence: Presence::Here,
            breaker: Breaker::default(),
            like: 0,
        }
    }

    pub(crate) fn exists(&self) -> bool {
        self.presence != Presence::Gone
    }

    /// The first replica that does the same in its pool, which has this index.
    pub(crate) fn like_key(&self, pool: usize) -> ReplicaKey {
        ReplicaKey { pool, replica: self.like }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.exists() && self.view.readiness == Readiness::Ready
    }

    //= ORCH-3010
    fn has_room(&self, now: Timestamp) -> bool {
        self.used < self.view.slots
            && self.is_ready()
            && self.presence == Presence::Here
            && self.rests_until <= now
            && self.breaker.allows(now)
    }
}

/// What the replicas and holds of a pool come to, so that no decision has to count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Replicas that exist.
    pub(crate) present: u32,
    /// Slots of the replicas that serve now.
    pub(crate) slots: u32,
}

/// A pool: its replicas, its two lines of waiting jobs, and what was measured of it.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) id: PoolId,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) lines: [Line; 2],
    /// Per class, interactive first.
    pub(crate) times: [ServiceTimes; 2],
    pub(crate) interactive: Arrivals,
    pub(crate) starters: Starters,
    pub(crate) promises: Promises,
    /// What is being done with it.
    pub(crate) operation: Option<OperationKind>,
    /// What of it takes nothing new: at most one hold per scope.
    pub(crate) holds: Vec<Hold>,
    /// Kept by [`Self::count`].
    pub(crate) tally: Tally,
}

impl Pool {
    pub(crate) fn new(id: PoolId) -> Self {
        Self {
            id,
            replicas: Vec::new(),
            lines: Default::default(),
            times: Default::default(),
            interactive: Arrivals::default(),
            starters: Starters::default(),
            promises: Promises::default(),
            operation: None,
            holds: Vec::new(),
            tally: Tally::default(),
        }
    }

    pub(crate) fn exists(&self) -> bool {
        self.tally.present > 0
    }

    /// To be called when a replica or a hold has come, gone or changed.
    pub(crate) fn count(&mut self) {
        self.tally = self.counted();
    }

    /// What [`Self::tally`] must be.
    pub(crate) fn counted(&self) -> Tally {
        let mut tally = Tally::default();
        for replica in self.replicas.iter().filter(|replica| replica.exists()) {
            tally.present += 1;
            tally.slots += if self.serves(replica) { replica.view.slots } else { 0 };
        }
        tally
    }

    /// To be called when what a replica does has changed.
    pub(crate) fn find_likes(&mut self) {
        for index in 0..self.replicas.len() {
            let (before, from) = self.replicas.split_at_mut(index);
            let Some(replica) = from.first_mut() else { return };
            let mut firsts = before.iter().enumerate().filter(|(at, other)| other.like == *at);
            let like = firsts.find(|(_, other)| other.view.does_the_same(&replica.view));
            replica.like = like.map_or(index, |(at, _)| at);
        }
    }

    /// Jobs that wait, over both classes.
    pub(crate) fn waiting(&self) -> u32 {
        self.lines.iter().map(|line| line.len).sum()
    }

    /// Jobs that wait, interactive ones first.
    pub(crate) fn waiting_by_class(&self) -> [u32; 2] {
        [self.lines[0].len, self.lines[1].len]
    }

    /// Jobs that would be served before a newcomer of this class.
    pub(crate) fn ahead(&self, priority: Priority) -> u32 {
        match priority {
            Priority::Interactive => self.lines[0].len,
            Priority::Batch => self.waiting(),
        }
    }

    /// Slots in use.
    pub(crate) fn used(&self) -> u32 {
        self.replicas.iter().map(|replica| replica.used).sum()
    }

    /// Whether a replica takes nothing new because somebody said so.
    pub(crate) fn closes(&self, replica: &Replica) -> bool {
        self.holds.iter().any(|hold| hold.covers(&replica.view.replica))
    }

    /// Whether a replica serves newcomers, room aside.
    pub(crate) fn serves(&self, replica: &Replica) -> bool {
        replica.is_ready() && !self.closes(replica)
    }

    /// Whether one more attempt may start on a replica now.
    pub(crate) fn has_room(&self, replica: &Replica, now: Timestamp) -> bool {
        replica.has_room(now) && !self.closes(replica)
    }

    /// Whether it is closed for good, as far as those who wait can tell: it was drained until its deadline,
    /// and is not about to come back with another model.
    pub(crate) fn is_withdrawn(&self) -> bool {
        self.operation != Some(OperationKind::Reload)
            && self.holds.iter().any(|hold| hold.replica.is_none() && hold.patience == Patience::Over)
    }

    /// Slots in use in the scope of a hold.
    pub(crate) fn used_under(&self, hold: &Hold) -> u32 {
        let covered = self.replicas.iter().filter(|it| hold.covers(&it.view.replica));
        covered.map(|it| it.used).sum()
    }

    pub(crate) fn is_measured(&self) -> bool {
        self.times.iter().any(ServiceTimes::is_measured)
    }

    /// What was measured of a class, or else of the other class, or else the guess.
    pub(crate) fn times_of<'a>(&'a self, priority: Priority, guess: &'a ServiceTimes) -> &'a ServiceTimes {
        let own = &self.times[priority.index()];
        let other = &self.times[1 - priority.index()];
        [own, other].into_iter().find(|times| times.is_measured()).unwrap_or(guess)
    }
}

/// A pool, told to the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSummary {
    /// Its name.
    pub pool: PoolId,
    /// Waiting jobs per class, interactive first.
    pub waiting: [u32; 2],
    /// Slots in use, also of replicas that are gone.
    pub running: u32,
    /// The operation that is under way.
    pub operation: Option<OperationKind>,
    /// Whether the whole pool takes nothing new, and how far that is.
    pub closed: Option<Closed>,
    /// Its replicas, in the order in which they were first seen.
    pub replicas: Vec<ReplicaSummary>,
}

/// A replica, told to the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaSummary {
    /// What was last seen of it.
    pub view: ReplicaView,
    /// Slots in use by this orchestrator.
    pub slots_used: u32,
    /// Whether it takes nothing new, by itself or with its pool, and how far that is.
    pub closed: Option<Closed>,
    /// Whether requests reach it.
    pub circuit: Circuit,
}

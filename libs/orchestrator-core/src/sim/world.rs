//! One random world: replicas, clients and engines around one scheduler under watch.
//!
//! A world lives for some thousand events under load and faults. Then it either goes down, or its
//! faults stop, and every job that was ever accepted must come to its end.

use std::{
    hash::{DefaultHasher, Hash},
    time::Duration,
};

use super::{
    book::Claimed,
    check::{Breach, Checked, hold},
    draw::{Map, Mood, outcome_of_evicted, outcome_of_stopped, readiness, spent},
    random::Random,
    rare::{Rare, Tally},
};
use crate::{
    Effect, Event, JobId, LeaseId, Loaded, Outcome, Readiness, Recovered, ReplicaView, Scheduler, Timestamp,
};

/// How long a world may take to come to rest after its faults have stopped.
const HEAL_STEPS: u32 = 20_000;

/// A world in the middle of its run.
#[derive(Debug)]
pub(super) struct World {
    pub(super) checked: Checked,
    pub(super) events: u64,
    pub(super) trace: DefaultHasher,
    /// Takes the same events without the steps between; its effects must be the same.
    shadow: Option<Scheduler>,
    pub(super) random: Random,
    pub(super) now: Timestamp,
    pub(super) map: Map,
    mood: Mood,
    /// Attempts that have ended, to end them again.
    over: Vec<LeaseId>,
    /// Jobs that have ended, to cancel them and to use their ids again.
    past: Vec<JobId>,
    /// Replicas that the scheduler wants to be looked at.
    probes: Vec<usize>,
    jobs: u128,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let map = Map::draw(&mut random);
        // A small world can be audited after every step, a large one only now and then.
        let audit_every = if map.homes.len() <= 4 { 1 } else { 61 };
        let shadow = random.chance(30).then(|| Scheduler::new(map.rules));
        Self {
            checked: Checked::new(map.rules, audit_every),
            events: 0,
            trace: DefaultHasher::new(),
            shadow,
            now: Timestamp::from_micros(random.below(1_000_000)),
            random,
            map,
            mood: Mood::Even,
            over: Vec::new(),
            past: Vec::new(),
            probes: Vec::new(),
            jobs: 0,
        }
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.checked.tally
    }

    /// Lives for `events` events, then comes to rest.
    pub(super) fn run(&mut self, events: u64) -> Result<(), Breach> {
        for index in 0..self.map.homes.len() {
            if self.random.chance(85) {
                let view = self.changed_view(index);
                self.tell(Event::ReplicaSeen(view))?;
            }
        }
        while self.events < events {
            if self.random.chance(1) {
                self.mood = Mood::draw(&mut self.random);
            }
            self.pass_time();
            self.act()?;
        }
        if self.random.chance(50) { self.go_down() } else { self.heal() }
    }

    pub(super) fn tell(&mut self, event: Event) -> Result<(), Breach> {
        self.events += 1;
        let shadow = self.shadow.as_mut().map(|shadow| {
            let effects = shadow.handle(self.now, event.clone());
            effects.collect::<Vec<_>>()
        });
        let effects = self.checked.handle(self.now, event)?;
        hold(shadow.is_none_or(|shadow| shadow == effects), "R5", || {
            "the same events without a tick between them have other effects".to_owned()
        })?;
        self.now.hash(&mut self.trace);
        for effect in effects {
            note(&mut self.trace, effect);
            match effect {
                Effect::Finish(job, _) => remember(&mut self.past, *job),
                Effect::Probe(pool, replica) => {
                    let homes = &self.map.homes;
                    let it = homes.iter().position(|it| it.pool == *pool && it.replica == *replica);
                    self.probes.extend(it);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn pass_time(&mut self) {
        let due = self.checked.scheduler().next_due();
        self.now = match (self.random.below(1000), due) {
            (0..10, _) => self.now + Duration::from_secs(self.random.between(1, 90)),
            (10..60, Some(due)) => due.max(self.now),
            (60..90, Some(due)) => due.max(self.now) + Duration::from_millis(self.random.below(5000)),
            (90..400, _) => self.now,
            _ => self.now + Duration::from_micros(self.random.below(60_000)),
        };
    }

    fn act(&mut self) -> Result<(), Breach> {
        let [submit, end] = self.mood.weights();
        match self.random.weighted(&[submit, end, 50, 40, 20, 15, 15, 6, 3, 40, 3]) {
            0 => self.submit(),
            1 => self.end_one(),
            2 => self.change_replica(),
            3 => self.cancel(),
            4 => self.answer_probe(),
            5 => match self.random.pick(&self.over).copied() {
                Some(lease) => {
                    let outcome = self.map.outcome(&mut self.random);
                    let spent = spent(&mut self.random);
                    self.tell(Event::AttemptEnded(lease, outcome, spent))
                }
                None => Ok(()),
            },
            6 => self.tell(Event::Tick),
            8 => self.recover(),
            9 => self.operate(),
            10 => self.lose_node(),
            _ => {
                let session = Map::session(&mut self.random);
                self.tell(Event::EndSession(session))
            }
        }
    }

    fn submit(&mut self) -> Result<(), Breach> {
        self.jobs += 1;
        let live = &self.checked.book.live;
        let promised = &self.checked.book.promised;
        let id = match self.random.below(100) {
            4..12 => self.random.pick(promised).and_then(|(client, ..)| match client {
                Claimed::Job(id) => Some(*id),
                Claimed::Like(_) => None,
            }),
            0..2 => self.random.pick(live).map(|note| note.job.id),
            2..4 => self.random.pick(&self.past).copied(),
            _ => None,
        };
        let job = self.map.job(&mut self.random, self.now, id.unwrap_or(JobId::from_u128(self.jobs)));
        let was_over = id.is_some_and(|id| self.checked.book.find(id).is_none());
        let accepted = self.checked.book.accepted;
        self.tell(Event::Submit(job))?;
        let again = was_over && self.checked.book.accepted > accepted;
        self.checked.tally.reach_if(again, Rare::IdUsedAgain);
        Ok(())
    }

    /// A job of an earlier process comes back.
    fn recover(&mut self) -> Result<(), Breach> {
        let Some(pool) = self.random.pick(&self.checked.book.pools).cloned() else { return Ok(()) };
        self.jobs += 1;
        let live = self.random.pick(&self.checked.book.live).map(|note| note.job.id);
        let id = live.filter(|_| self.random.chance(5)).unwrap_or(JobId::from_u128(self.jobs));
        let mut job = self.map.job(&mut self.random, self.now, id);
        job.deadline = job.deadline.filter(|deadline| *deadline > self.now);
        // Its session had room for it, and its like was not refused; of one that is drawn here that is not known.
        job.session = None;
        job.fingerprint = None;
        let attempts = self.random.small(0, 3);
        self.tell(Event::Recover(Recovered { job, pool, attempts }))
    }

    fn end_one(&mut self) -> Result<(), Breach> {
        let Some(lease) = self.random.pick(&self.checked.book.leases) else { return Ok(()) };
        let (id, aborted, evicted) = (lease.id, lease.aborted, lease.evicted.is_some());
        // Some engines are slow to let go.
        if (aborted || evicted) && self.random.chance(30) {
            return Ok(());
        }
        let random = &mut self.random;
        let outcome = match (aborted, evicted) {
            (true, _) => outcome_of_stopped(random),
            (false, true) => outcome_of_evicted(random),
            (false, false) => self.map.outcome(random),
        };
        let spent = spent(random);
        remember(&mut self.over, id);
        self.tell(Event::AttemptEnded(id, outcome, spent))
    }

    fn cancel(&mut self) -> Result<(), Breach> {
        let live = self.random.pick(&self.checked.book.live).map(|note| note.job.id);
        let past = self.random.pick(&self.past).copied();
        let held = self.checked.book.leases.iter().find(|lease| lease.aborted).map(|lease| lease.job);
        let id = match self.random.below(10) {
            0 => None,
            1 => past,
            2 => held,
            _ => live,
        };
        let id = id.unwrap_or(JobId::from_u128(u128::MAX));
        self.tell(Event::Cancel(id))?;
        if self.random.chance(20) { self.tell(Event::Cancel(id)) } else { Ok(()) }
    }

    fn answer_probe(&mut self) -> Result<(), Breach> {
        match self.probes.pop() {
            Some(index) if self.random.chance(80) => {
                let view = self.changed_view(index);
                self.tell(Event::ReplicaSeen(view))
            }
            _ => Ok(()),
        }
    }

    fn change_replica(&mut self) -> Result<(), Breach> {
        let index = self.random.index(self.map.homes.len());
        let home = &self.map.homes[index];
        if self.random.chance(12) {
            let (pool, replica) = (home.pool.clone(), home.replica.clone());
            return self.tell(Event::ReplicaGone(pool, replica));
        }
        let view = self.changed_view(index);
        self.tell(Event::ReplicaSeen(view))
    }

    /// A replica as it may be seen: never more than at home, often less.
    pub(super) fn changed_view(&mut self, index: usize) -> ReplicaView {
        let random = &mut self.random;
        let mut view = self.map.homes[index].clone();
        view.vram_free_bytes = view.vram_free_bytes.map(|_| random.below(5) << 30);
        // The total is left out only where less than it is told.
        view.vram_total_bytes =
            view.vram_total_bytes.filter(|_| view.vram_free_bytes.is_none() || random.chance(85));
        if random.chance(30) {
            view.loaded = Loaded::No;
        }
        view.readiness = readiness(random);
        if random.chance(15) {
            view.slots = random.small(0, view.slots + 1);
        }
        if random.chance(5) {
            view.ctx_max = Some(view.ctx_max.unwrap_or(4096) / 2);
        }
        if random.chance(5) {
            view.models.truncate(random.index(2));
        }
        view
    }

    /// Shutdown in the middle of it all: what waits ends now, what runs ends soon or is stopped.
    fn go_down(&mut self) -> Result<(), Breach> {
        self.tell(Event::Shutdown)?;
        for _ in 0..self.random.below(60) {
            self.pass_time();
            self.act()?;
        }
        self.tell(Event::StopRunning)?;
        self.end_all()?;
        self.at_rest()
    }

    /// No more faults: whatever was accepted must now come to an end.
    fn heal(&mut self) -> Result<(), Breach> {
        self.open_all()?;
        for _ in 0..HEAL_STEPS {
            for index in 0..self.map.homes.len() {
                let view = ReplicaView { readiness: Readiness::Ready, ..self.map.homes[index].clone() };
                self.tell(Event::ReplicaSeen(view))?;
            }
            self.end_all()?;
            if self.checked.book.live.is_empty() {
                return self.at_rest();
            }
            let due = self.checked.scheduler().next_due();
            self.now = due.unwrap_or(self.now).max(self.now);
            self.tell(Event::Tick)?;
        }
        self.at_rest()
    }

    fn end_all(&mut self) -> Result<(), Breach> {
        while let Some(lease) = self.checked.book.leases.first() {
            let outcome = if lease.aborted { Outcome::Aborted } else { Outcome::Completed };
            self.now = self.now + Duration::from_millis(1);
            let spent = spent(&mut self.random);
            self.tell(Event::AttemptEnded(lease.id, outcome, spent))?;
        }
        Ok(())
    }

    fn at_rest(&self) -> Result<(), Breach> {
        let left: Vec<JobId> = self.checked.book.live.iter().map(|note| note.job.id).collect();
        hold(left.is_empty(), "T3", || format!("jobs never end: {left:?}"))?;
        let idle = self.checked.scheduler().is_idle();
        hold(idle, "P2", || "slots are taken and nothing runs".to_owned())?;
        self.checked.whole(self.now)
    }
}

fn remember<T>(memory: &mut Vec<T>, item: T) {
    if memory.len() >= 16 {
        memory.remove(0);
    }
    memory.push(item);
}

/// Adds an effect to the trace: two runs are the same when their traces are.
fn note(trace: &mut DefaultHasher, effect: &Effect) {
    std::mem::discriminant(effect).hash(trace);
    match effect {
        Effect::Accept(job, it) => {
            (job, &it.pool, it.queue_position, it.predicted_start, it.predicted_start_p90).hash(trace);
            it.on_time_per_mille.hash(trace);
            it.budget.map(|left| (left.tokens, left.time, left.cost)).hash(trace);
        }
        Effect::Reject(job, it) => {
            (job, std::mem::discriminant(&it.reason), &it.pool, it.retry_after).hash(trace);
        }
        Effect::Dispatch(it) => {
            (it.job, it.lease, &it.pool, &it.replica, it.attempt, it.affinity).hash(trace);
        }
        Effect::Abort(lease) | Effect::Evict(lease) => lease.hash(trace),
        Effect::Finish(job, end) => (job, end).hash(trace),
        Effect::Probe(pool, replica) => (pool, replica).hash(trace),
        Effect::Began(pool, kind) => (pool, kind).hash(trace),
        Effect::Refused(pool, why) => (pool, std::mem::discriminant(why)).hash(trace),
        Effect::Drained(pool, replica) => (pool, replica).hash(trace),
    }
}

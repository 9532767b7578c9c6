//! One world of the accuracy runs: clients that obey, and attempts that last as a law says.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use super::{Accuracy, Law};
use crate::{
    Admission, AdmissionPolicy, Effect, Event, GpuPolicy, JobEnd, JobId, LeaseId, NewJob, Outcome,
    PlacementKind, PoolId, Priority, ReplicaId, ReplicaView, Requirements, Rules, Scheduler, Spent,
    Timestamp, sim::random::Random,
};

/// How long a world lives, and how long it and a change take until they are known.
const LIFE: Duration = Duration::from_mins(10);
const LEARN: Duration = Duration::from_secs(30);

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Submit(JobId),
    End(LeaseId),
    Cancel(JobId),
    Due,
}

/// A job that is not over.
#[derive(Debug)]
struct Client {
    job: NewJob,
    /// When it was accepted, and what it was told.
    told: Option<(Timestamp, Admission)>,
    refused: u32,
}

/// A world in the middle of its run.
#[derive(Debug)]
pub(super) struct World {
    scheduler: Scheduler,
    random: Random,
    law: Law,
    now: Timestamp,
    /// When the engine becomes slower.
    slower_at: Option<Timestamp>,
    mean: f64,
    think: f64,
    /// Batch jobs in a hundred.
    batch: u64,
    next: BTreeSet<(Timestamp, Next)>,
    clients: HashMap<JobId, Client>,
    running: HashMap<JobId, LeaseId>,
    born: u128,
    pub(super) found: Accuracy,
}

impl World {
    pub(super) fn new(seed: u64, law: Law) -> Self {
        let mut random = Random::new(seed);
        let capacity = random.small(40, 100);
        let slots = random.small(1, 4);
        let replicas = random.small(1, 3);
        let rules = Rules {
            capacity,
            policy: AdmissionPolicy::Reject,
            placement: PlacementKind::LeastLoaded,
            gpu: GpuPolicy::VramOnly,
            ..Rules::default()
        };
        let mean = real(&mut random, 0.3, 2.0) * f64::from(slots * replicas) / 4.0;
        let slower_at = random.chance(50).then(|| Timestamp::default() + LIFE / 2);
        let mut world = Self {
            scheduler: Scheduler::new(rules),
            law,
            now: Timestamp::default(),
            slower_at,
            mean,
            think: mean * 4.0,
            batch: [0, 10, 30, 50][random.index(4)],
            next: BTreeSet::new(),
            clients: HashMap::new(),
            running: HashMap::new(),
            born: u128::from(random.next()) << 64,
            found: Accuracy::default(),
            random,
        };
        for replica in 0..replicas {
            let view = view(replica, slots);
            world.scheduler.handle(world.now, Event::ReplicaSeen(view));
        }
        // From a queue that is half full to one that always turns some away.
        let share = world.random.small(50, 130);
        for _ in 0..slots * replicas + capacity * share / 100 {
            world.bear();
        }
        world
    }

    pub(super) fn run(&mut self) {
        while let Some((at, next)) = self.next.pop_first()
            && at - Timestamp::default() < LIFE
        {
            self.now = at;
            match next {
                Next::Submit(id) => {
                    let Some(client) = self.clients.get(&id) else { continue };
                    let mut job = client.job.clone();
                    if self.random.chance(8) && client.refused == 0 {
                        job.deadline = Some(at + seconds(self.mean * real(&mut self.random, 2.0, 60.0)));
                    }
                    self.tell(Event::Submit(job));
                }
                Next::End(lease) => {
                    self.tell(Event::AttemptEnded(lease, Outcome::Completed, Spent::default()));
                }
                Next::Cancel(id) => self.tell(Event::Cancel(id)),
                Next::Due => self.tell(Event::Tick),
            }
        }
    }

    /// A client that thinks, and then submits a job that nobody submitted before.
    fn bear(&mut self) {
        // The id decides the jitter, so its last bits must be drawn.
        self.born += (1 << 32) + u128::from(self.random.below(1 << 31));
        let id = JobId::from_u128(self.born);
        let priority = Priority::ALL[usize::from(self.random.chance(self.batch))];
        let size = self.random.small(16, 1024);
        let job = NewJob { size, ..NewJob::of(id, priority, Requirements::of("m", 1)) };
        let at = self.now + seconds(exponential(&mut self.random) * self.think);
        self.clients.insert(id, Client { job, told: None, refused: 0 });
        self.next.insert((at, Next::Submit(id)));
    }

    fn tell(&mut self, event: Event) {
        let effects: Vec<Effect> = self.scheduler.handle(self.now, event).collect();
        for effect in effects {
            self.hear(effect);
        }
        if let Some(due) = self.scheduler.next_due() {
            self.next.insert((due, Next::Due));
        }
    }

    fn hear(&mut self, effect: Effect) {
        let now = self.now;
        match effect {
            Effect::Accept(id, admission) => {
                let Some(client) = self.clients.get_mut(&id) else { return };
                self.found.returned += u64::from(client.refused == 1);
                self.found.let_in += u64::from(client.refused == 1);
                client.told = Some((now, admission));
                if self.random.chance(8) {
                    let patience = seconds(exponential(&mut self.random) * self.mean * 10.0);
                    self.next.insert((now + patience, Next::Cancel(id)));
                }
            }
            Effect::Reject(id, rejection) => {
                let Some(client) = self.clients.get_mut(&id) else { return };
                let Some(wait) = rejection.retry_after else {
                    self.clients.remove(&id);
                    return self.bear();
                };
                self.found.returned += u64::from(client.refused == 1);
                client.refused += 1;
                let late = Duration::from_millis(self.random.below(50));
                self.next.insert((now + wait + late, Next::Submit(id)));
            }
            Effect::Dispatch(it) => {
                self.judge(it.job);
                let service = self.service(it.job);
                self.running.insert(it.job, it.lease);
                self.next.insert((now + service, Next::End(it.lease)));
            }
            Effect::Abort(lease) => {
                // The connection closes soon; the end that was planned is then told twice.
                self.next.insert((now + Duration::from_millis(5), Next::End(lease)));
            }
            Effect::Finish(id, end) => {
                self.judge_end(id, end);
                self.clients.remove(&id);
                self.running.remove(&id);
                self.bear();
            }
            Effect::Probe(..)
            | Effect::Began(..)
            | Effect::Refused(..)
            | Effect::Drained(..)
            | Effect::Evict(_) => {}
        }
    }

    /// Whether things are as they were for long enough to be known.
    fn is_settled(&self, at: Timestamp) -> bool {
        let changed = self.slower_at.filter(|slower| at + LEARN >= *slower);
        let since = changed.unwrap_or_default();
        at - since >= LEARN
    }

    fn judge(&mut self, id: JobId) {
        let Some((at, told)) = self.clients.get(&id).and_then(|client| client.told.as_ref()) else { return };
        let (wait, start) = ((self.now - *at).as_secs_f64(), told.predicted_start.as_secs_f64());
        let before_change = self.slower_at.is_some_and(|slower| *at < slower && self.now >= slower);
        if !self.is_settled(*at) || before_change || told.predicted_start_p90 == Duration::ZERO {
            return;
        }
        let covered = u64::from(wait <= told.predicted_start_p90.as_secs_f64());
        *self.found.waits.entry(self.law).or_default() += 1;
        *self.found.covered.entry(self.law).or_default() += covered;
        if wait > 1.0 {
            let error = Duration::try_from_secs_f64((start - wait).abs() / wait).unwrap_or_default();
            let error = u32::try_from(error.as_millis()).unwrap_or(u32::MAX);
            self.found.errors.entry(self.law).or_default().push(error);
        }
    }

    fn judge_end(&mut self, id: JobId, end: JobEnd) {
        let Some((at, told)) = self.clients.get(&id).and_then(|client| client.told.as_ref()) else { return };
        if let Some(on_time) = told.on_time_per_mille.filter(|_| self.is_settled(*at))
            && end != JobEnd::Canceled
        {
            self.found.deadlines += 1;
            self.found.promised += u64::from(on_time);
            self.found.on_time += u64::from(end == JobEnd::Completed);
        }
    }

    fn service(&mut self, id: JobId) -> Duration {
        let size = self.clients.get(&id).map_or(0, |client| client.job.size);
        let random = &mut self.random;
        let share = match self.law {
            Law::Constant => 1.0,
            Law::Exponential => exponential(random),
            Law::Lognormal => {
                let (sigma, normal) = (0.8_f64, normal(random));
                (sigma * normal - sigma * sigma / 2.0).exp()
            }
            Law::BySize => 0.1 + 0.9 * f64::from(size) / 520.0 * real(random, 0.8, 1.2),
        };
        let slower = self.slower_at.is_some_and(|at| self.now >= at);
        seconds(self.mean * share * if slower { 3.0 } else { 1.0 })
    }
}

fn view(replica: u32, slots: u32) -> ReplicaView {
    let replica = ReplicaId::new(format!("r{replica}"));
    ReplicaView { slots, ..ReplicaView::ready(PoolId::new("p"), replica, "m") }
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}

/// A number above 0 and at most 1.
fn unit(random: &mut Random) -> f64 {
    (f64::from((random.next() >> 32) as u32) + 1.0) / 4_294_967_296.0
}

fn real(random: &mut Random, low: f64, high: f64) -> f64 {
    low + (high - low) * unit(random)
}

fn exponential(random: &mut Random) -> f64 {
    -unit(random).ln()
}

fn normal(random: &mut Random) -> f64 {
    (-2.0 * unit(random).ln()).sqrt() * (std::f64::consts::TAU * unit(random)).cos()
}

//! Which job gets which slot.

use super::{Due, Scheduler};
use crate::{
    effect::{Affinity, Assignment, Effect},
    explain::Rule,
    fit::{self, Fitting, Tried},
    job::{JobState, JobStep, NewJob, Priority},
    lease::Lease,
    placement::Placement,
    pool::{Pool, Replica, ReplicaKey},
    queue::Place,
    rules::PlacementKind,
    time::Timestamp,
};

impl Scheduler {
    /// A replica with room that may run such a job, and what decided: preferred pools first, among them
    /// where its session was last, then by placement, whose next turn is in `turn`.
    //= ORCH-3009
    pub(super) fn choose_free(
        &self,
        now: Timestamp,
        job: &NewJob,
        tried: &[Tried],
        turn: &mut Placement,
    ) -> Option<(ReplicaKey, Rule)> {
        let Self { pools, rules, sessions, .. } = self;
        let requirements = &job.requirements;
        let free = || {
            pools.iter().enumerate().flat_map(|(pool, each)| {
                let keyed = each.replicas.iter().enumerate().filter(|(_, it)| each.has_room(it, now));
                keyed.map(move |(replica, it)| (ReplicaKey { pool, replica }, it))
            })
        };
        let mut fitting = Fitting::new(requirements, tried, rules.gpu);
        let mut fits =
            |(key, it): (ReplicaKey, &Replica)| fitting.check(Some(it.like_key(key.pool)), &it.view).is_ok();
        let prefer = &requirements.prefer_pools;
        let last = job.session.as_ref().and_then(|asked| sessions.last_of(asked.id));
        if let Some((pool, name)) = last.filter(|(pool, _)| prefer.is_empty() || prefer.contains(pool)) {
            let there = |it: &Replica| it.view.replica == *name && it.view.pool == *pool;
            if let Some((key, _)) = free().find(|it| there(it.1) && fits(*it)) {
                return Some((key, Rule::Affinity));
            }
        }
        if !prefer.is_empty() {
            let preferred = free().filter(|it| prefer.contains(&it.1.view.pool) && fits(*it));
            if let Some(key) = turn.choose(preferred) {
                return Some((key, Rule::Preferred));
            }
        }
        let rule = match rules.placement {
            PlacementKind::LeastLoaded => Rule::LeastLoaded,
            PlacementKind::RoundRobin => Rule::RoundRobin,
        };
        Some((turn.choose(free().filter(|it| fits(*it)))?, rule))
    }

    /// Gives the free slots of a replica to jobs that wait.
    pub(super) fn fill(&mut self, now: Timestamp, key: ReplicaKey) {
        let has_room = |pool: &Pool| pool.has_room(&pool.replicas[key.replica], now);
        while has_room(&self.pools[key.pool]) {
            let Some(place) = self.next_for(key) else { return };
            let home = self.jobs[place].pool;
            self.pools[home].starters.started();
            self.leave_line(place);
            self.dispatch(now, place, key, Rule::SlotFreed);
        }
    }

    /// The job that a replica takes next: interactive before batch, then its own pool's before
    /// another's, then the oldest.
    //= ORCH-3004
    fn next_for(&self, key: ReplicaKey) -> Option<Place> {
        let view = &self.pools[key.pool].replicas[key.replica].view;
        let first_fit = |index: usize, priority: Priority| {
            let line = &self.pools[index].lines[priority.index()];
            if !line.may_ask_for(&view.models) {
                return None;
            }
            self.jobs.in_line(line).find(|place| {
                let record = &self.jobs[*place];
                fit::check(&record.job.requirements, &record.tried, view, self.rules.gpu).is_ok()
            })
        };
        Priority::ALL.into_iter().find_map(|priority| {
            first_fit(key.pool, priority).or_else(|| {
                let others = (0..self.pools.len()).filter(|&index| index != key.pool);
                others
                    .filter_map(|index| first_fit(index, priority))
                    .min_by_key(|place| self.jobs[*place].rank)
            })
        })
    }

    pub(super) fn leave_line(&mut self, place: Place) {
        let record = &self.jobs[place];
        let (pool, class) = (record.pool, record.job.priority.index());
        self.jobs.leave(&mut self.pools[pool].lines[class], place);
    }

    /// Takes a slot for a job that stands in no line.
    pub(super) fn dispatch(&mut self, now: Timestamp, place: Place, key: ReplicaKey, rule: Rule) {
        let why = Box::new(self.why(now, place, rule));
        let record = &mut self.jobs[place];
        let held = record.held.take();
        let lease = self.leases.open(Lease {
            place,
            replica: key,
            since: now,
            priority: record.job.priority,
            size: record.job.size,
            held,
            stopped: None,
            evicted: None,
        });
        if !step(&mut record.state, JobStep::Dispatch(lease)) {
            return;
        }
        record.attempts += 1;
        record.pool = key.pool;
        let replica = &mut self.pools[key.pool].replicas[key.replica];
        replica.used += 1;
        replica.breaker.starts(lease);
        let (pool, name) = (replica.view.pool.clone(), replica.view.replica.clone());
        let affinity = held.map_or(Affinity::None, |held| match self.sessions.last_of(held.session()) {
            None => Affinity::None,
            Some((at, last)) if *at == pool && *last == name => Affinity::Kept,
            Some(_) => Affinity::Moved,
        });
        if let Some(held) = &held {
            self.sessions.went_to(held, &pool, &name);
            if let Some(allowance) = held.allowance() {
                self.due.insert((now + allowance, Due::Allowance(lease)));
            }
        }
        self.effects.push(Effect::Dispatch(Assignment {
            job: record.job.id,
            lease,
            pool,
            replica: name,
            attempt: record.attempts,
            affinity,
            why,
        }));
    }
}

/// Moves a state. An illegal step is a bug: it stops a test, and in production changes nothing.
pub(super) fn step(state: &mut JobState, step: JobStep) -> bool {
    match state.step(step) {
        Ok(next) => {
            *state = next;
            true
        }
        Err(illegal) => {
            debug_assert!(false, "{illegal}");
            false
        }
    }
}

//! What happens when something is over: an attempt, a job, a deadline, the server.

use std::time::Duration;

use super::{Due, Phase, Scheduler, place::step};
use crate::{
    effect::Effect,
    event::Outcome,
    fit,
    ids::{JobId, LeaseId},
    job::{FailReason, JobEnd, JobState, JobStep},
    lease::Lease,
    pool::{Presence, ReplicaKey},
    queue::Place,
    time::Timestamp,
};

/// How long a replica rests that said it was busy and did not say for how long.
const REST_DEFAULT: Duration = Duration::from_secs(1);
/// An engine that says "at once" would be asked over and over, past the jobs whose turn it is.
const REST_MIN: Duration = Duration::from_millis(100);
/// No engine can keep itself out of the game for longer.
const REST_MAX: Duration = Duration::from_secs(30);

impl Scheduler {
    pub(super) fn cancel(&mut self, _now: Timestamp, job: JobId) {
        if let Some(place) = self.jobs.find(job) {
            self.finish(place, JobEnd::Canceled);
        }
    }

    pub(super) fn deadline_passed(&mut self, _now: Timestamp, job: JobId) {
        if let Some(place) = self.jobs.find(job) {
            self.finish(place, JobEnd::Failed(FailReason::DeadlinePassed));
        }
    }

    /// Frees the slot, then decides what becomes of the job, if it is still alive.
    pub(super) fn attempt_ended(&mut self, now: Timestamp, id: LeaseId, outcome: Outcome) {
        let Some(lease) = self.leases.close(id) else { return };
        let key = lease.replica;
        self.give_back(now, id, &lease, outcome);
        let live = self.jobs.find(lease.job);
        if let Some(place) = live.filter(|place| self.jobs[*place].state == JobState::Running(id)) {
            let poisoned = self.broke_again(now, place, key, outcome);
            match outcome {
                _ if poisoned => self.end_poisoned(now, place),
                Outcome::Completed => self.finish(place, JobEnd::Completed),
                Outcome::Refused => self.finish(place, JobEnd::Failed(FailReason::Refused)),
                Outcome::Lost { tokens_out: 0 } | Outcome::TimedOut { tokens_out: 0 } => {
                    self.try_elsewhere(now, place, key);
                }
                Outcome::TimedOut { .. } => self.finish(place, JobEnd::Failed(FailReason::TimedOut)),
                Outcome::Lost { .. } | Outcome::Aborted => {
                    self.finish(place, JobEnd::Failed(FailReason::EngineLost));
                }
                Outcome::Busy { .. } => {
                    // Nothing was tried: it does not count as an attempt.
                    self.jobs[place].attempts = self.jobs[place].attempts.saturating_sub(1);
                    self.wait_again(now, place);
                }
            }
        }
        self.fill(now, key);
    }

    fn give_back(&mut self, now: Timestamp, id: LeaseId, lease: &Lease, outcome: Outcome) {
        let key = lease.replica;
        let pool = &mut self.pools[key.pool];
        let replica = &mut pool.replicas[key.replica];
        replica.used = replica.used.saturating_sub(1);
        if let Some(until) = replica.breaker.ended(now, id, outcome) {
            self.due.insert((until, Due::Rested(key)));
        }
        match outcome {
            Outcome::Completed | Outcome::Aborted => {
                pool.times[lease.priority.index()].measure(lease.size, now - lease.since);
            }
            Outcome::Refused => {}
            Outcome::Lost { .. } | Outcome::TimedOut { .. } if !replica.exists() => {}
            Outcome::Lost { .. } | Outcome::TimedOut { .. } => {
                replica.presence = Presence::Suspect;
                let view = &replica.view;
                self.effects.push(Effect::Probe(view.pool.clone(), view.replica.clone()));
            }
            Outcome::Busy { retry_after } => {
                replica.rests_until = now + retry_after.unwrap_or(REST_DEFAULT).clamp(REST_MIN, REST_MAX);
                self.due.insert((replica.rests_until, Due::Rested(key)));
            }
        }
    }

    /// Whether this attempt broke, and its like broke another replica before.
    fn broke_again(&mut self, now: Timestamp, place: Place, key: ReplicaKey, outcome: Outcome) -> bool {
        let Some(fingerprint) = self.jobs[place].job.fingerprint else { return false };
        let broke = matches!(outcome, Outcome::Lost { .. } | Outcome::TimedOut { .. });
        let view = &self.pools[key.pool].replicas[key.replica].view;
        broke && self.quarantine.broke(now, fingerprint, (view.pool.clone(), view.replica.clone()))
    }

    /// Ends a job, and those of its like that wait: they must not meet a third replica.
    fn end_poisoned(&mut self, _now: Timestamp, place: Place) {
        let fingerprint = self.jobs[place].job.fingerprint;
        self.finish(place, JobEnd::Failed(FailReason::Poisoned));
        let like = |place: &Place| {
            let record = &self.jobs[*place];
            record.state == JobState::Queued && record.job.fingerprint == fingerprint
        };
        let waiting: Vec<_> = self.jobs.all().filter(like).collect();
        for place in waiting {
            self.finish(place, JobEnd::Failed(FailReason::Poisoned));
        }
    }

    /// Nothing was shown yet, so another replica may start over; never the same one.
    fn try_elsewhere(&mut self, now: Timestamp, place: Place, key: ReplicaKey) {
        let view = &self.pools[key.pool].replicas[key.replica].view;
        let lost_on = (view.pool.clone(), view.replica.clone());
        let record = &mut self.jobs[place];
        record.tried.push(lost_on);
        if record.attempts < record.job.max_attempts {
            self.wait_again(now, place);
        } else {
            self.finish(place, JobEnd::Failed(FailReason::EngineLost));
        }
    }

    /// Whether a job was lost, and no replica that exists may ever run it again.
    pub(super) fn is_stranded(&self, place: Place) -> bool {
        let record = &self.jobs[place];
        let mut replicas = self.pools.iter().flat_map(|pool| &pool.replicas).filter(|it| it.exists());
        !record.tried.is_empty()
            && !replicas.any(|replica| {
                fit::check(&record.job.requirements, &record.tried, &replica.view, self.rules.gpu).is_ok()
            })
    }

    /// Puts a job back at its old rank, and gives it a free slot if there is one.
    fn wait_again(&mut self, now: Timestamp, place: Place) {
        if self.is_stranded(place) {
            return self.finish(place, JobEnd::Failed(FailReason::EngineLost));
        }
        if self.jobs[place].job.fingerprint.is_some_and(|print| self.quarantine.refuses(now, print)) {
            return self.finish(place, JobEnd::Failed(FailReason::Poisoned));
        }
        if self.phase == Phase::Closing {
            return self.finish(place, JobEnd::Failed(FailReason::ShuttingDown));
        }
        let record = &mut self.jobs[place];
        if !step(&mut record.state, JobStep::Requeue) {
            return;
        }
        let (pool, class) = (record.pool, record.job.priority.index());
        let (requirements, tried) = (record.job.requirements.clone(), record.tried.clone());
        self.jobs.join(&mut self.pools[pool].lines[class], place);
        if let Some(key) = self.choose_free(now, &requirements, &tried) {
            self.leave_line(place);
            self.dispatch(now, place, key);
        }
    }

    /// Ends a job: out of its line, its attempt stopped, its place given up.
    ///
    /// The slot of a running job stays taken until the attempt reports that its connection is closed.
    //= ORCH-3017
    pub(super) fn finish(&mut self, place: Place, end: JobEnd) {
        let was = self.jobs[place].state;
        if !step(&mut self.jobs[place].state, JobStep::End(end)) {
            return;
        }
        match was {
            JobState::Queued => {
                let home = self.jobs[place].pool;
                self.pools[home].starters.gave_up();
                self.leave_line(place);
            }
            JobState::Running(lease) if self.leases.is_live(lease) => {
                self.effects.push(Effect::Abort(lease));
            }
            JobState::Running(_) | JobState::Ended(_) => {}
        }
        if let Some(record) = self.jobs.remove(place) {
            let id = record.job.id;
            if let Some(deadline) = record.job.deadline {
                self.due.remove(&(deadline, Due::Deadline(id)));
            }
            self.effects.push(Effect::Finish(id, end));
        }
    }

    pub(super) fn shut_down(&mut self, _now: Timestamp) {
        self.phase = Phase::Closing;
        self.finish_all(|state| state == JobState::Queued);
    }

    pub(super) fn stop_running(&mut self, _now: Timestamp) {
        self.phase = Phase::Closing;
        self.finish_all(|_| true);
    }

    fn finish_all(&mut self, which: impl Fn(JobState) -> bool) {
        let places: Vec<_> = self.jobs.all().filter(|place| which(self.jobs[*place].state)).collect();
        for place in places {
            self.finish(place, JobEnd::Failed(FailReason::ShuttingDown));
        }
    }
}

//! What happens when something is over: an attempt, a job, a deadline, the server.

use std::time::Duration;

use super::{Due, Phase, Scheduler, place::step};
use crate::{
    effect::Effect,
    event::{Outcome, Spent},
    ids::{JobId, LeaseId},
    job::{AfterTokens, FailReason, JobEnd, JobState, JobStep, NewJob},
    lease::{Eviction, Lease},
    pool::{Presence, ReplicaKey},
    queue::{Place, Prospect},
    sessions::Held,
    time::Timestamp,
};

/// How long a replica rests that said it was busy and did not say for how long.
const REST_DEFAULT: Duration = Duration::from_secs(1);
/// An engine that says "at once" would be asked over and over, past the jobs whose turn it is.
const REST_MIN: Duration = Duration::from_millis(100);
/// No engine can keep itself out of the game for longer.
const REST_MAX: Duration = Duration::from_secs(30);

impl Scheduler {
    pub(super) fn cancel(&mut self, now: Timestamp, job: JobId) {
        if let Some(place) = self.jobs.find(job) {
            self.finish(now, place, JobEnd::Canceled);
        }
    }

    pub(super) fn deadline_passed(&mut self, now: Timestamp, job: JobId) {
        if let Some(place) = self.jobs.find(job) {
            self.finish(now, place, JobEnd::Failed(FailReason::DeadlinePassed));
        }
    }

    /// The time that an attempt holds of its session's budget is used up: it gets more, or it ends.
    pub(super) fn allowance_used(&mut self, now: Timestamp, id: LeaseId) {
        let Self { leases, sessions, due, .. } = self;
        let Some(lease) = leases.find_mut(id) else { return };
        let (place, since) = (lease.place, lease.since);
        let Some(held) = lease.held.as_mut().filter(|_| lease.stopped.is_none()) else { return };
        if sessions.extend(held) {
            if let Some(allowance) = held.allowance() {
                due.insert((since + allowance, Due::Allowance(id)));
            }
        } else if self.jobs.holds(place, id) {
            self.finish(now, place, JobEnd::Failed(FailReason::BudgetSpent));
        }
    }

    /// Frees the slot, then decides what becomes of the job, if it is still alive.
    pub(super) fn attempt_ended(&mut self, now: Timestamp, id: LeaseId, outcome: Outcome, spent: Spent) {
        let Some(lease) = self.leases.close(id) else { return };
        let key = lease.replica;
        self.let_go(now, (id, lease), outcome, spent);
        self.fill(now, key);
        self.tell_drained(key.pool);
    }

    fn let_go(&mut self, now: Timestamp, (id, mut lease): (LeaseId, Lease), outcome: Outcome, spent: Spent) {
        let key = lease.replica;
        self.give_back(now, id, &lease, outcome);
        let held = lease.held.take();
        if let Some(held) = &held {
            self.note_session(held, key, outcome, spent);
            if let Some(allowance) = held.allowance() {
                self.due.remove(&(lease.since + allowance, Due::Allowance(id)));
            }
        }
        let place = lease.place;
        if !self.jobs.holds(place, id) {
            if let Some(held) = held {
                self.sessions.settle(now, held, spent, lease.used(now));
            }
            return;
        }
        if let Some(end) = self.end_of_attempt(now, place, &lease, outcome) {
            if let Some(held) = held {
                self.sessions.settle(now, held, spent, lease.used(now));
            }
            match end {
                JobEnd::Failed(FailReason::Poisoned) => self.end_poisoned(now, place),
                end => self.finish(now, place, end),
            }
        } else {
            self.jobs[place].held = held.map(|mut held| {
                self.sessions.carry(&mut held, spent, lease.used(now));
                held
            });
            self.wait_again(now, place, key);
        }
    }

    /// How a job ends with its attempt; `None` when it waits again.
    fn end_of_attempt(
        &mut self,
        now: Timestamp,
        place: Place,
        lease: &Lease,
        outcome: Outcome,
    ) -> Option<JobEnd> {
        let key = lease.replica;
        if self.broke_again(now, place, key, outcome) {
            return Some(JobEnd::Failed(FailReason::Poisoned));
        }
        let again = self.jobs[place].job.after_tokens == AfterTokens::TryAgain;
        let fail = match outcome {
            Outcome::Completed => return Some(JobEnd::Completed),
            Outcome::Refused => FailReason::Refused,
            Outcome::Busy { .. } => {
                // Nothing was tried: it does not count as an attempt.
                self.jobs[place].attempts = self.jobs[place].attempts.saturating_sub(1);
                return self.why_not_again(now, place).map(JobEnd::Failed);
            }
            //= ORCH-3422
            Outcome::Evicted { tokens_out } if tokens_out == 0 || again => {
                // Neither the job nor the replica failed: this was no attempt.
                let record = &mut self.jobs[place];
                record.attempts = record.attempts.saturating_sub(1);
                if lease.evicted == Some(Eviction::Gone) {
                    record.prospect = Prospect::Doubtful;
                }
                return self.why_not_again(now, place).map(JobEnd::Failed);
            }
            Outcome::Evicted { .. } if lease.evicted == Some(Eviction::Gone) => FailReason::EngineLost,
            Outcome::Evicted { .. } => FailReason::Drained,
            Outcome::Lost { tokens_out } if tokens_out == 0 || again => {
                return self.try_elsewhere(now, place, key, FailReason::EngineLost);
            }
            // A silence before the first token is told as the loss that it is.
            Outcome::TimedOut { tokens_out: 0 } => {
                return self.try_elsewhere(now, place, key, FailReason::EngineLost);
            }
            Outcome::TimedOut { .. } if again => {
                return self.try_elsewhere(now, place, key, FailReason::TimedOut);
            }
            Outcome::TimedOut { .. } => FailReason::TimedOut,
            Outcome::Lost { .. } | Outcome::Aborted => FailReason::EngineLost,
        };
        Some(JobEnd::Failed(fail))
    }

    /// What an attempt's end tells about where its session is warm.
    fn note_session(&mut self, held: &Held, key: ReplicaKey, outcome: Outcome, spent: Spent) {
        let view = &self.pools[key.pool].replicas[key.replica].view;
        match outcome {
            Outcome::Completed => self.sessions.ran(held, spent),
            Outcome::Lost { .. } | Outcome::TimedOut { .. } => {
                self.sessions.broke(held, &view.pool, &view.replica);
            }
            Outcome::Aborted | Outcome::Busy { .. } | Outcome::Refused | Outcome::Evicted { .. } => {}
        }
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
            Outcome::Refused | Outcome::Evicted { .. } => {}
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
    fn end_poisoned(&mut self, now: Timestamp, place: Place) {
        let fingerprint = self.jobs[place].job.fingerprint;
        self.finish(now, place, JobEnd::Failed(FailReason::Poisoned));
        let like = |place: &Place| {
            let record = &self.jobs[*place];
            record.state == JobState::Queued && record.job.fingerprint == fingerprint
        };
        let waiting: Vec<_> = self.jobs.all().filter(like).collect();
        for place in waiting {
            self.finish(now, place, JobEnd::Failed(FailReason::Poisoned));
        }
    }

    /// Another replica may start over, never the same one; `None` when it may wait for one.
    fn try_elsewhere(
        &mut self,
        now: Timestamp,
        place: Place,
        key: ReplicaKey,
        fail: FailReason,
    ) -> Option<JobEnd> {
        let view = &self.pools[key.pool].replicas[key.replica].view;
        let lost_on = (view.pool.clone(), view.replica.clone());
        let record = &mut self.jobs[place];
        record.tried.push(lost_on);
        if record.attempts >= record.job.max_attempts || self.is_stranded(place) {
            return Some(JobEnd::Failed(fail));
        }
        self.why_not_again(now, place).map(JobEnd::Failed)
    }

    /// What forbids a job to wait again.
    fn why_not_again(&self, now: Timestamp, place: Place) -> Option<FailReason> {
        if let Some(reason) = self.is_hopeless(place) {
            return Some(reason);
        }
        if self.jobs[place].job.fingerprint.is_some_and(|print| self.quarantine.refuses(now, print)) {
            return Some(FailReason::Poisoned);
        }
        (self.phase == Phase::Closing).then_some(FailReason::ShuttingDown)
    }

    /// Puts a job back at its old rank, and gives it a free slot if there is one.
    fn wait_again(&mut self, now: Timestamp, place: Place, freed: ReplicaKey) {
        let record = &mut self.jobs[place];
        if !step(&mut record.state, JobStep::Requeue) {
            return;
        }
        self.join_line(place);
        // The slot that it gave back goes to whose turn it is; for any other that is free nobody waits.
        self.start_if_free(now, place, Some(freed));
        self.fill(now, freed);
        if self.jobs[place].state == JobState::Queued {
            self.start_if_free(now, place, None);
        }
    }

    /// Puts a job into its line by its rank, and gives it a free slot if there is one.
    pub(super) fn line_up(&mut self, now: Timestamp, place: Place) {
        self.join_line(place);
        self.start_if_free(now, place, None);
    }

    fn join_line(&mut self, place: Place) {
        let record = &self.jobs[place];
        let (pool, class) = (record.pool, record.job.priority.index());
        self.jobs.join(&mut self.pools[pool].lines[class], place);
    }

    /// Gives a waiting job the best of the free slots, unless that is on `not_on`.
    fn start_if_free(&mut self, now: Timestamp, place: Place, not_on: Option<ReplicaKey>) {
        let record = &self.jobs[place];
        let mut turn = self.placement;
        let free = self.choose_free(now, &record.job, &record.tried, &mut turn);
        // What is not taken has not had its turn.
        if let Some((key, rule)) = free.filter(|(key, _)| Some(*key) != not_on) {
            self.placement = turn;
            self.leave_line(place);
            self.dispatch(now, place, key, rule);
        }
    }

    /// Ends a job: out of its line, its attempt stopped, its place given up.
    ///
    /// The slot of a running job stays taken until the attempt reports that its connection is closed.
    //= ORCH-3017
    pub(super) fn finish(&mut self, now: Timestamp, place: Place, end: JobEnd) {
        let was = self.jobs[place].state;
        if !step(&mut self.jobs[place].state, JobStep::End(end)) {
            return;
        }
        if let Some(held) = self.jobs[place].held.take() {
            // It waits, so nothing more is used than what its earlier attempts have carried on.
            self.sessions.settle(now, held, Spent::default(), Duration::ZERO);
        }
        match was {
            JobState::Queued => {
                let home = self.jobs[place].pool;
                self.pools[home].starters.gave_up();
                self.leave_line(place);
            }
            JobState::Running(id) => {
                if let Some(lease) = self.leases.find_mut(id) {
                    lease.stopped = Some(now);
                    self.effects.push(Effect::Abort(id));
                }
            }
            JobState::Ended(_) => {}
        }
        let NewJob { id, deadline, .. } = self.jobs[place].job;
        self.jobs.remove(place);
        if let Some(deadline) = deadline {
            self.due.remove(&(deadline, Due::Deadline(id)));
        }
        self.effects.push(Effect::Finish(id, end));
    }

    pub(super) fn shut_down(&mut self, now: Timestamp) {
        self.phase = Phase::Closing;
        self.finish_all(now, |state| state == JobState::Queued);
    }

    pub(super) fn stop_running(&mut self, now: Timestamp) {
        self.phase = Phase::Closing;
        self.finish_all(now, |_| true);
    }

    fn finish_all(&mut self, now: Timestamp, which: impl Fn(JobState) -> bool) {
        let places: Vec<_> = self.jobs.all().filter(|place| which(self.jobs[*place].state)).collect();
        for place in places {
            self.finish(now, place, JobEnd::Failed(FailReason::ShuttingDown));
        }
    }
}

//! Whether a job comes in, and what its client is told.

use std::time::Duration;

use super::{Due, Phase, Scheduler};
use crate::{
    effect::{Admission, Effect, RejectReason, Rejection},
    fit::{self, Misfit},
    job::{FailReason, JobEnd, NewJob, Priority},
    pool::{Replica, ReplicaKey},
    queue::Place,
    rules::AdmissionPolicy,
    time::Timestamp,
    view::Readiness,
};

/// What a look at all replicas told about a job.
#[derive(Debug, Default)]
struct Survey {
    /// The replica that came nearest to fitting, when none fits.
    nearest_misfit: Option<Misfit>,
    /// Pools with a Ready replica that fits, each once.
    open_pools: Vec<usize>,
    fitting: u32,
    unreachable: u32,
}

impl Scheduler {
    pub(super) fn submit(&mut self, now: Timestamp, job: NewJob) {
        if self.phase == Phase::Closing {
            return self.reject(&job, RejectReason::ShuttingDown, None);
        }
        if self.jobs.find(job.id).is_some() {
            return self.reject(&job, RejectReason::DuplicateId, None);
        }
        if job.deadline.is_some_and(|deadline| deadline <= now) {
            let reason = RejectReason::Deadline { predicted_start: Duration::ZERO };
            return self.reject(&job, reason, None);
        }
        let survey = self.survey(&job);
        if survey.fitting == 0 {
            let reason = self.misfit_reason(&job, survey.nearest_misfit.as_ref());
            return self.reject(&job, reason, None);
        }
        if survey.open_pools.is_empty() {
            let known = survey.unreachable > 0;
            let reason = if known { RejectReason::Unreachable } else { RejectReason::Unready };
            return self.reject(&job, reason, None);
        }
        match self.choose_free(now, &job.requirements, &[]) {
            Some(key) => self.admit_and_dispatch(now, job, key),
            None => self.admit_to_queue(now, job, survey.open_pools),
        }
    }

    fn survey(&self, job: &NewJob) -> Survey {
        let mut survey = Survey::default();
        for (index, pool) in self.pools.iter().enumerate() {
            for replica in pool.replicas.iter().filter(|replica| replica.exists()) {
                match fit::check(&job.requirements, &[], &replica.view, self.rules.gpu) {
                    Ok(()) => {
                        survey.fitting += 1;
                        survey.unreachable += u32::from(replica.view.readiness == Readiness::Unreachable);
                        if replica.is_ready() && survey.open_pools.last() != Some(&index) {
                            survey.open_pools.push(index);
                        }
                    }
                    Err(misfit) => {
                        let nearest = survey.nearest_misfit.take();
                        survey.nearest_misfit = nearest.max(Some(misfit));
                    }
                }
            }
        }
        survey
    }

    fn misfit_reason(&self, job: &NewJob, nearest: Option<&Misfit>) -> RejectReason {
        if let Some(pin) = &job.requirements.pin_pool
            && !self.pools.iter().any(|pool| pool.exists() && pool.id == *pin)
        {
            return RejectReason::UnknownPin;
        }
        let unseen = |replica: &Replica| replica.exists() && replica.view.readiness == Readiness::Unseen;
        match nearest {
            None => RejectReason::NoPool,
            Some(Misfit::Context { limit }) => RejectReason::Context { limit: *limit },
            Some(Misfit::DeviceMask | Misfit::CpuForbidden) => RejectReason::Device,
            // A replica that has never answered may yet turn out to serve the model.
            Some(_) if self.pools.iter().any(|pool| pool.replicas.iter().any(unseen)) => {
                RejectReason::Unready
            }
            Some(_) => RejectReason::NoSuchModel,
        }
    }

    fn admit_and_dispatch(&mut self, now: Timestamp, job: NewJob, key: ReplicaKey) {
        let admission = Admission {
            pool: self.pools[key.pool].id.clone(),
            queue_position: 0,
            predicted_start: Duration::ZERO,
            predicted_start_p90: Duration::ZERO,
        };
        let place = self.accept(job, key.pool, admission);
        self.dispatch(now, place, key);
    }

    /// Puts the job into the line that will probably serve it first, if there is room in any.
    fn admit_to_queue(&mut self, now: Timestamp, job: NewJob, mut pools: Vec<usize>) {
        let preferred = |index: usize| job.requirements.prefer_pools.contains(&self.pools[index].id);
        pools.sort_by_key(|&index| (!preferred(index), self.predict(now, index, job.priority).0, index));
        let room = pools.iter().find(|&&index| self.pools[index].waiting() < self.rules.capacity);
        let Some(&index) = room.or(pools.first()) else {
            return self.reject(&job, RejectReason::NoPool, None);
        };
        let (predicted_start, predicted_start_p90) = self.predict(now, index, job.priority);
        let late = job.deadline.is_some_and(|deadline| now + predicted_start >= deadline);
        if late && self.pools[index].times.is_measured() {
            return self.reject(&job, RejectReason::Deadline { predicted_start }, None);
        }
        if room.is_none() && !self.make_room(now, &job, index) {
            return;
        }
        let pool = &self.pools[index];
        let admission = Admission {
            pool: pool.id.clone(),
            queue_position: pool.ahead(job.priority),
            predicted_start,
            predicted_start_p90,
        };
        let priority = job.priority;
        let place = self.accept(job, index, admission);
        self.jobs.join(&mut self.pools[index].lines[priority.index()], place);
    }

    /// Applies the policy to a full queue. False when the newcomer was turned away.
    //= ORCH-3005
    fn make_room(&mut self, now: Timestamp, job: &NewJob, index: usize) -> bool {
        let lines = &self.pools[index].lines;
        let victim = match (self.rules.policy, job.priority) {
            (AdmissionPolicy::Reject, _) => {
                let retry_after = self.retry_after(now, index, job);
                self.reject(job, RejectReason::QueueFull, Some((index, retry_after)));
                return false;
            }
            (AdmissionPolicy::DropLru, Priority::Interactive) => lines[1].front().or(lines[0].front()),
            (AdmissionPolicy::DropLru, Priority::Batch) => lines[1].front(),
        };
        let Some(victim) = victim else {
            let retry_after = self.retry_after(now, index, job);
            self.reject(job, RejectReason::NothingToDrop, Some((index, retry_after)));
            return false;
        };
        self.finish(victim, JobEnd::Failed(FailReason::Dropped));
        true
    }

    fn accept(&mut self, job: NewJob, pool: usize, admission: Admission) -> Place {
        if let Some(deadline) = job.deadline {
            self.due.insert((deadline, Due::Deadline(job.id)));
        }
        self.effects.push(Effect::Accept(job.id, admission));
        self.jobs.insert(job, pool)
    }

    fn reject(&mut self, job: &NewJob, reason: RejectReason, about: Option<(usize, Duration)>) {
        let pool = about.map(|(index, _)| self.pools[index].id.clone());
        let rejection = Rejection { reason, pool, retry_after: about.map(|(_, wait)| wait) };
        self.effects.push(Effect::Reject(job.id, rejection));
    }

    /// When a newcomer of this class would start in this pool: probably, and with 90 %.
    fn predict(&self, now: Timestamp, index: usize, priority: Priority) -> (Duration, Duration) {
        let pool = &self.pools[index];
        pool.times.start(pool.load(pool.ahead(priority), self.oldest_running(now, index)))
    }

    fn retry_after(&mut self, now: Timestamp, index: usize, job: &NewJob) -> Duration {
        let oldest = self.oldest_running(now, index);
        let pool = &mut self.pools[index];
        let load = pool.load(pool.ahead(job.priority), oldest);
        // The jitter comes from the id, so that the same events give the same answers.
        let spread = f64::from((job.id.as_u128() & 0xFFFF) as u16) / f64::from(u16::MAX);
        pool.times.retry_after(now, load, spread)
    }

    /// For how long the oldest attempt has run. Only asked for while nothing was measured.
    fn oldest_running(&self, now: Timestamp, index: usize) -> Duration {
        if self.pools[index].times.is_measured() {
            return Duration::ZERO;
        }
        let mut of_pool = self.leases.iter().filter(|(_, lease)| lease.replica.pool == index);
        of_pool.next().map_or(Duration::ZERO, |(_, lease)| now - lease.since)
    }
}

//! Whether a job comes in, and what its client is told.

use std::time::Duration;

use smallvec::SmallVec;

use super::{Due, Phase, Scheduler, predict};
use crate::{
    effect::{Admission, Effect, RejectReason, Rejection},
    estimate::{Backlog, Claim, Forecast},
    event::Recovered,
    explain::Rule,
    fit::{self, Fitting, Misfit},
    job::{Claimant, FailReason, JobEnd, JobState, NewJob, Priority},
    pool::{Replica, ReplicaKey},
    queue::{Place, Prospect},
    rules::AdmissionPolicy,
    sessions::Remaining,
    time::Timestamp,
    view::Readiness,
};

/// For so many pools that could have a job nothing is allocated.
const POOLS: usize = 4;

impl Scheduler {
    pub(super) fn submit(&mut self, now: Timestamp, job: NewJob) {
        if self.phase == Phase::Closing {
            return self.reject(&job, RejectReason::ShuttingDown, None);
        }
        //= ORCH-3024
        if self.jobs.find(job.id).is_some() {
            return self.reject(&job, RejectReason::DuplicateId, None);
        }
        if job.fingerprint.is_some_and(|print| self.quarantine.refuses(now, print)) {
            return self.reject(&job, RejectReason::Poisoned, None);
        }
        if job.deadline.is_some_and(|deadline| deadline <= now) {
            let reason = RejectReason::Deadline { predicted_start: Duration::ZERO };
            return self.reject(&job, reason, None);
        }
        let open = self.open_pools(&job);
        if open.is_empty() {
            let reason = self.closed_reason(&job);
            return self.reject(&job, reason, None);
        }
        let price = self.price(&job);
        if let Some(asked) = &job.session
            && let Err((refusal, retry_after)) = self.sessions.check(now, asked, price)
        {
            let rejection = Rejection { reason: RejectReason::Session(refusal), pool: None, retry_after };
            return self.effects.push(Effect::Reject(job.id, rejection));
        }
        let mut turn = self.placement;
        let free = self.choose_free(now, &job, &[], &mut turn);
        self.placement = turn;
        match free {
            Some((key, rule)) => self.admit_and_dispatch(now, job, (key, rule), price),
            None => self.admit_to_queue(now, job, &open, price),
        }
    }

    /// Puts a job that was accepted before back into its line, however long that is by now.
    //= ORCH-3406
    pub(super) fn recover(&mut self, now: Timestamp, Recovered { mut job, pool, attempts }: Recovered) {
        if self.jobs.find(job.id).is_some() {
            return;
        }
        let home = self.pools.iter().position(|it| it.exists() && it.id == pool).unwrap_or(0);
        let end = if job.deadline.is_some_and(|deadline| deadline <= now) {
            Some(FailReason::DeadlinePassed)
        } else if job.fingerprint.is_some_and(|print| self.quarantine.refuses(now, print)) {
            Some(FailReason::Poisoned)
        } else if self.phase == Phase::Closing {
            Some(FailReason::ShuttingDown)
        } else {
            self.pools.is_empty().then_some(FailReason::EngineLost)
        };
        if let Some(reason) = end {
            return self.effects.push(Effect::Finish(job.id, JobEnd::Failed(reason)));
        }
        // That the server went down is no failure of an engine, so it costs no attempt.
        job.max_attempts = job.max_attempts.max(attempts.saturating_add(1));
        let price = self.price(&job);
        let (place, _) = self.take_in(job, (home, price));
        self.jobs[place].attempts = attempts;
        self.jobs[place].prospect = Prospect::Doubtful;
        self.line_up(now, place);
        if self.jobs[place].state == JobState::Queued
            && let Some(reason) = self.is_hopeless(place)
        {
            self.finish(now, place, JobEnd::Failed(reason));
        }
    }

    /// Pools with a replica that serves now and fits, each once.
    fn open_pools(&self, job: &NewJob) -> SmallVec<[usize; POOLS]> {
        let mut fitting = Fitting::new(&job.requirements, &[], self.rules.gpu);
        let pools = self.pools.iter().enumerate();
        let open = pools.filter(|(index, pool)| {
            let mut replicas = pool.replicas.iter();
            replicas.any(|it| pool.serves(it) && fitting.check(Some(it.like_key(*index)), &it.view).is_ok())
        });
        open.map(|(index, _)| index).collect()
    }

    /// The highest price among the replicas that fit. Only sessions pay.
    fn price(&self, job: &NewJob) -> u64 {
        if job.session.is_none() {
            return 0;
        }
        let fits =
            |replica: &&Replica| fit::check(&job.requirements, &[], &replica.view, self.rules.gpu).is_ok();
        let fitting = self.existing().map(|(_, replica)| replica).filter(fits);
        fitting.map(|replica| replica.view.price).max().unwrap_or(0)
    }

    /// Why nothing serves a job now.
    fn closed_reason(&self, job: &NewJob) -> RejectReason {
        let (mut fitting, mut silent, mut unreachable) = (0, 0, 0);
        let mut nearest_misfit = None;
        for (pool, replica) in self.existing() {
            match fit::check(&job.requirements, &[], &replica.view, self.rules.gpu) {
                Ok(()) => {
                    let is_silent = replica.view.readiness.is_silent();
                    fitting += 1;
                    silent += u32::from(is_silent);
                    unreachable += u32::from(is_silent && !pool.closes(replica));
                }
                Err(misfit) => nearest_misfit = nearest_misfit.max(Some(misfit)),
            }
        }
        if fitting == 0 {
            self.misfit_reason(job, nearest_misfit)
        } else if job.requirements.pin_node.is_some() && silent == fitting {
            RejectReason::NodeUnavailable
        } else if unreachable > 0 {
            RejectReason::Unreachable
        } else {
            RejectReason::Unready
        }
    }

    fn misfit_reason(&self, job: &NewJob, nearest: Option<Misfit>) -> RejectReason {
        if let Some(pin) = &job.requirements.pin_pool
            && !self.pools.iter().any(|pool| pool.exists() && pool.id == *pin)
        {
            return RejectReason::UnknownPin;
        }
        let on_it = |replica: &Replica| replica.exists() && replica.view.node == job.requirements.pin_node;
        if job.requirements.pin_node.is_some()
            && !self.pools.iter().any(|pool| pool.replicas.iter().any(on_it))
        {
            return RejectReason::NodeUnavailable;
        }
        let unseen = |replica: &Replica| replica.exists() && replica.view.readiness == Readiness::Unseen;
        match nearest {
            None => RejectReason::NoPool,
            // Node and pool are there, and the one has nothing of the other.
            Some(Misfit::OtherNode) => RejectReason::NodeUnavailable,
            Some(Misfit::Vram { need, have }) => RejectReason::Vram { need, have },
            Some(Misfit::Context { limit }) => RejectReason::Context { limit },
            Some(Misfit::DeviceMask | Misfit::CpuForbidden) => RejectReason::Device,
            Some(Misfit::Workload) => RejectReason::NoSuchWorkload,
            // A replica that has never answered may yet turn out to serve the model.
            Some(_) if self.pools.iter().any(|pool| pool.replicas.iter().any(unseen)) => {
                RejectReason::Unready
            }
            Some(_) => RejectReason::NoSuchModel,
        }
    }

    fn admit_and_dispatch(
        &mut self,
        now: Timestamp,
        job: NewJob,
        (key, rule): (ReplicaKey, Rule),
        price: u64,
    ) {
        let admission = Admission {
            pool: self.pools[key.pool].id.clone(),
            queue_position: 0,
            predicted_start: Duration::ZERO,
            predicted_start_p90: Duration::ZERO,
            on_time_per_mille: self.on_time(now, key.pool, &job, Forecast::default()),
            budget: None,
        };
        let place = self.accept(now, job, (key.pool, price), admission);
        self.dispatch(now, place, key, rule);
    }

    /// Puts the job into the line that will probably serve it first, if there is room in any.
    fn admit_to_queue(&mut self, now: Timestamp, job: NewJob, open: &[usize], price: u64) {
        let backlogs: SmallVec<[(usize, Backlog); POOLS]> =
            open.iter().map(|&index| (index, self.backlog(now, index, job.priority))).collect();
        let ranked = backlogs.iter().map(|(index, backlog)| {
            let preferred = job.requirements.prefer_pools.contains(&self.pools[*index].id);
            (!preferred, backlog.start().median(), *index)
        });
        let mut pools: SmallVec<[(bool, Duration, usize); POOLS]> = ranked.collect();
        pools.sort_unstable();
        let room = self.first_with_room(now, &job, &pools);
        let Some(index) = room.or(pools.first().map(|(_, _, index)| *index)) else {
            return self.reject(&job, RejectReason::NoPool, None);
        };
        let forecast = predict::joined(index, &backlogs);
        let predicted_start = forecast.median();
        let late = job.deadline.is_some_and(|deadline| now + predicted_start >= deadline);
        if late && self.pools[index].is_measured() {
            return self.reject(&job, RejectReason::Deadline { predicted_start }, None);
        }
        if room.is_none() && !self.make_room(now, &job, index) {
            return;
        }
        let admission = Admission {
            pool: self.pools[index].id.clone(),
            queue_position: self.pools[index].ahead(job.priority),
            predicted_start,
            predicted_start_p90: forecast.p90(),
            on_time_per_mille: self.on_time(now, index, &job, forecast),
            budget: None,
        };
        let priority = job.priority;
        let place = self.accept(now, job, (index, price), admission);
        self.jobs.join(&mut self.pools[index].lines[priority.index()], place);
    }

    /// The first of `pools` whose queue has a place that is not kept for another client.
    fn first_with_room(
        &mut self,
        now: Timestamp,
        job: &NewJob,
        pools: &[(bool, Duration, usize)],
    ) -> Option<usize> {
        for &(_, _, index) in pools {
            let comes_back = self.pools[index].promises.redeem(now, claim_of(job));
            let kept = match self.rules.policy {
                AdmissionPolicy::Reject if !comes_back => self.kept_places(now, index),
                AdmissionPolicy::Reject | AdmissionPolicy::DropLru => 0,
            };
            if self.pools[index].waiting().saturating_add(kept) < self.rules.capacity {
                return Some(index);
            }
        }
        None
    }

    /// The probability that a job which starts then is done by its deadline; `None` while nothing
    /// was measured, since then nothing is known.
    fn on_time(&mut self, now: Timestamp, index: usize, job: &NewJob, start: Forecast) -> Option<u16> {
        let deadline = job.deadline.filter(|_| self.pools[index].is_measured())?;
        let service = self.own_service(now, index, job);
        Some(start.then(service).within(deadline - now))
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
        self.finish(now, victim, JobEnd::Failed(FailReason::Dropped));
        true
    }

    fn accept(
        &mut self,
        now: Timestamp,
        job: NewJob,
        (pool, price): (usize, u64),
        mut admission: Admission,
    ) -> Place {
        if job.priority == Priority::Interactive {
            self.pools[pool].interactive.count(now);
        }
        // Whoever is in needs no place that was promised before, in whichever pool.
        let claim = claim_of(&job);
        self.pools.iter_mut().for_each(|pool| pool.promises.forget(now, claim));
        let id = job.id;
        let (place, remaining) = self.take_in(job, (pool, price));
        admission.budget = remaining;
        self.effects.push(Effect::Accept(id, admission));
        place
    }

    /// Gives a job its place in the table, its deadline, and its share of its session's budget.
    fn take_in(&mut self, job: NewJob, (pool, price): (usize, u64)) -> (Place, Option<Remaining>) {
        if let Some(deadline) = job.deadline {
            self.due.insert((deadline, Due::Deadline(job.id)));
        }
        let entered = job.session.as_ref().map(|asked| self.sessions.enter(asked, price));
        let place = self.jobs.insert(job, pool);
        self.jobs[place].held = entered.map(|(held, _)| held);
        (place, entered.map(|(_, remaining)| remaining))
    }

    fn reject(&mut self, job: &NewJob, reason: RejectReason, about: Option<(usize, Duration)>) {
        let pool = about.map(|(index, _)| self.pools[index].id.clone());
        let rejection = Rejection { reason, pool, retry_after: about.map(|(_, wait)| wait) };
        self.effects.push(Effect::Reject(job.id, rejection));
    }
}

/// By what a client is known that was promised a place.
pub(super) fn claim_of(job: &NewJob) -> Claim {
    match job.claimant {
        Claimant::Job => Claim::Of(job.id),
        Claimant::Like(likeness) => Claim::Like(likeness),
    }
}

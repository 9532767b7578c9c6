//! What may be answered to a newcomer.

use std::time::Duration;

use super::{Checks, Step, breach, hold};
use crate::{
    Admission, AdmissionPolicy, Effect, Event, FailReason, JobEnd, NewJob, PoolId, RejectReason, Rejection,
    SessionRefusal,
    sim::{book::Claimed, expect::Verdict},
};

/// A client that is turned away is told to come back within this.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_mins(1)];
/// For how long a client that is late is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

impl Step<'_> {
    /// Checks the shape of the answer; what follows from its parts is checked part by part.
    pub(super) fn admission(&mut self, event: &Event, effects: &[Effect]) -> Checks {
        let (Event::Submit(job), Some(verdict)) = (event, self.expected.verdict.take()) else {
            let stray = effects.iter().find(|it| matches!(it, Effect::Accept(..) | Effect::Reject(..)));
            return hold(stray.is_none(), "T5", || format!("nobody asked for {stray:?}"));
        };
        let names_it = effects.iter().all(|effect| match effect {
            Effect::Accept(id, _) | Effect::Reject(id, _) => *id == job.id,
            Effect::Dispatch(assignment) => assignment.job == job.id,
            _ => true,
        });
        hold(names_it, "T5", || format!("the answer to job {} names another one", job.id))?;
        match (&verdict, effects) {
            (Verdict::Refuse(reason), [Effect::Reject(_, it)]) if it.reason == *reason => {
                let waits = matches!(
                    reason,
                    RejectReason::Session(
                        SessionRefusal::Spent(_) | SessionRefusal::Turns(_) | SessionRefusal::TooMany
                    )
                );
                let right = it.pool.is_none() && it.retry_after.is_some() == waits;
                hold(right, "T5", || format!("a refusal promises too much or too little: {it:?}"))
            }
            (Verdict::Start, [Effect::Accept(_, admission), Effect::Dispatch(assignment)]) => {
                hold(admission.pool == assignment.pool, "T1", || "accepted here, started there".to_owned())
            }
            (Verdict::Wait(pools), _) => self.waiting_admission(job, pools, effects),
            _ => breach("Q7", format!("job {} must be answered by {verdict:?}, not {effects:?}", job.id)),
        }?;
        self.expected.verdict = Some(verdict);
        Ok(())
    }

    fn waiting_admission(&mut self, job: &NewJob, pools: &[usize], effects: &[Effect]) -> Checks {
        let capacity = self.book.rules.capacity as usize;
        let with_room: Vec<usize> =
            pools.iter().copied().filter(|pool| self.book.waiting(*pool) < capacity).collect();
        let now = self.now;
        let surely: Vec<usize> = with_room
            .iter()
            .copied()
            .filter(|pool| self.book.waiting(*pool) + self.book.promised(*pool, now) < capacity)
            .collect();
        match (effects, self.book.rules.policy) {
            (
                [Effect::Reject(_, Rejection { reason: RejectReason::Deadline { predicted_start }, .. })],
                _,
            ) => {
                let infeasible = job.deadline.is_some_and(|deadline| self.now + *predicted_start >= deadline);
                hold(infeasible, "Q7", || format!("job {} would start in time", job.id))
            }
            ([Effect::Accept(_, admission)], _) => {
                let named = self.book.find_pool(&admission.pool).filter(|pool| with_room.contains(pool));
                let chosen = named.filter(|pool| self.is_preferred(job, &surely, *pool));
                hold(chosen.is_some(), "Q1", || format!("job {} waits where it may not", job.id))?;
                prediction(admission)
            }
            ([Effect::Finish(victim, end), Effect::Accept(_, admission)], AdmissionPolicy::DropLru) => {
                let chosen = self.chosen_pool(job, pools, &admission.pool).filter(|_| with_room.is_empty());
                let right = chosen.and_then(|pool| self.book.victim(pool, job.priority));
                let dropped = JobEnd::Failed(FailReason::Dropped);
                hold(right == Some(*victim) && *end == dropped, "Q4", || {
                    format!("job {victim} ends ({end:?}) for job {}, not {right:?}", job.id)
                })?;
                self.expected.ends.push((*victim, dropped));
                prediction(admission)
            }
            ([Effect::Reject(_, rejection)], policy) => {
                let full = match policy {
                    AdmissionPolicy::Reject => RejectReason::QueueFull,
                    AdmissionPolicy::DropLru => RejectReason::NothingToDrop,
                };
                let about = rejection.pool.as_ref();
                let pool = about.and_then(|pool| self.chosen_pool(job, pools, pool));
                let nothing_to_drop = pool.is_some_and(|it| self.book.victim(it, job.priority).is_none());
                let right = surely.is_empty() && nothing_to_drop && rejection.reason == full;
                hold(right, "Q1", || format!("job {} is turned away: {rejection:?}", job.id))?;
                let wait = rejection.retry_after;
                let told = wait.is_some_and(|it| (RETRY[0]..=RETRY[1]).contains(&it));
                self.book.promised.retain(|(_, _, until)| now <= *until);
                if let (Some(pool), Some(wait), AdmissionPolicy::Reject) = (pool, wait, policy) {
                    self.book.promised.push((Claimed::by(job), pool, now + wait + PATIENCE));
                }
                hold(told, "Q7", || format!("job {} shall come back after {wait:?}", job.id))
            }
            _ => breach("Q7", format!("job {} is answered by {effects:?}", job.id)),
        }
    }

    /// The pool of this name, if it is one of `pools` and none of them is to be taken first.
    fn chosen_pool(&self, job: &NewJob, pools: &[usize], name: &PoolId) -> Option<usize> {
        let chosen = self.book.find_pool(name).filter(|pool| pools.contains(pool))?;
        self.is_preferred(job, pools, chosen).then_some(chosen)
    }

    /// Whether none of `pools` is to be taken before this one.
    fn is_preferred(&self, job: &NewJob, pools: &[usize], chosen: usize) -> bool {
        let preferred = |pool: &usize| job.requirements.prefer_pools.contains(&self.book.pools[*pool]);
        preferred(&chosen) || !pools.iter().any(preferred)
    }
}

fn prediction(told: &Admission) -> Checks {
    let (start, p90) = (told.predicted_start, told.predicted_start_p90);
    hold(start <= p90, "Q6", || format!("{start:?} is later than its own 90th percentile {p90:?}"))
}

//! Why a job is where it is.

use super::Scheduler;
use crate::{
    breaker::Circuit,
    explain::{Candidate, Rule, Verdict, Why},
    fit,
    ids::JobId,
    pool::{Pool, Presence, Replica},
    queue::{JobRecord, Place},
    time::Timestamp,
    view::Readiness,
};

/// Replicas that an explanation names; the others are counted.
const NAMED_MAX: usize = 16;

impl Scheduler {
    /// Why a live job that waits gets no slot now; `None` when it does not wait.
    pub fn explain(&self, now: Timestamp, job: JobId) -> Option<Why> {
        let place = self.jobs.find(job)?;
        self.queue_position(job).map(|_| self.why(now, place, Rule::NoneOpen))
    }

    /// Every replica's verdict on a job.
    pub(super) fn why(&self, now: Timestamp, place: Place, rule: Rule) -> Why {
        let record = &self.jobs[place];
        let mut why = Why { rule, considered: 0, candidates: Vec::new() };
        for (pool, replica) in self.existing() {
            why.considered += 1;
            if why.candidates.len() < NAMED_MAX {
                why.candidates.push(Candidate {
                    pool: replica.view.pool.clone(),
                    replica: replica.view.replica.clone(),
                    verdict: self.verdict(now, record, (pool, replica)),
                });
            }
        }
        why
    }

    fn verdict(&self, now: Timestamp, record: &JobRecord, (pool, replica): (&Pool, &Replica)) -> Verdict {
        let (view, circuit) = (&replica.view, replica.breaker.circuit());
        if let Err(misfit) = fit::check(&record.job.requirements, &record.tried, view, self.rules.gpu) {
            Verdict::Misfit(misfit)
        } else if pool.closes(replica) {
            Verdict::Closed
        } else if view.readiness != Readiness::Ready {
            Verdict::NotReady(view.readiness)
        } else if replica.presence != Presence::Here {
            Verdict::Suspect
        } else if replica.rests_until > now {
            Verdict::Resting(replica.rests_until)
        } else if circuit != Circuit::Closed && !replica.breaker.allows(now) {
            Verdict::CircuitOpen(circuit)
        } else if replica.used >= view.slots {
            Verdict::Full { slots: view.slots }
        } else {
            let (used, slots) = (replica.used, view.slots);
            Verdict::Open { used, slots, vram_free_bytes: view.vram_free_bytes }
        }
    }
}

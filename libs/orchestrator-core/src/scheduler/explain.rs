//! Why a job is where it is.

use super::Scheduler;
use crate::{
    breaker::Circuit,
    explain::{Candidate, Rule, Verdict, Why},
    fit::Fitting,
    ids::JobId,
    pool::{Pool, Presence, Replica},
    queue::Place,
    time::Timestamp,
    view::{Readiness, ReplicaView},
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
        let considered = self.pools.iter().map(|pool| pool.tally.present).sum();
        let mut fitting = Fitting::new(&record.job.requirements, &record.tried, self.rules.gpu);
        let mut candidates = Vec::with_capacity(NAMED_MAX.min(considered as usize));
        for (index, pool) in self.pools.iter().enumerate() {
            let existing = pool.replicas.iter().filter(|replica| replica.exists());
            candidates.extend(existing.take(NAMED_MAX - candidates.len()).map(|replica| {
                let verdict = match fitting.check(Some(replica.like_key(index)), &replica.view) {
                    Ok(()) => verdict(now, pool, replica),
                    Err(misfit) => Verdict::Misfit(misfit),
                };
                let ReplicaView { pool, replica, .. } = &replica.view;
                Candidate { pool: pool.clone(), replica: replica.clone(), verdict }
            }));
        }
        Why { rule, considered, candidates }
    }
}

/// What keeps a replica from a job that fits it, if anything does.
fn verdict(now: Timestamp, pool: &Pool, replica: &Replica) -> Verdict {
    let (view, circuit) = (&replica.view, replica.breaker.circuit());
    if pool.closes(replica) {
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

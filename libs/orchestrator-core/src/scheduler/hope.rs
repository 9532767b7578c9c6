//! Which jobs wait in vain, and end for that.

use super::Scheduler;
use crate::{
    fit,
    job::{FailReason, JobEnd, JobState},
    operation::OperationKind,
    pool::{Pool, Replica},
    queue::{Place, Prospect},
    time::Timestamp,
    view::Readiness,
};

impl Scheduler {
    /// Ends the waiting jobs that nothing will ever run.
    pub(super) fn end_hopeless(&mut self, now: Timestamp) {
        let waits = |place: &Place| self.jobs[*place].state == JobState::Queued;
        let waiting = self.jobs.all().filter(waits);
        let hopeless: Vec<_> = waiting.filter_map(|place| Some((place, self.is_hopeless(place)?))).collect();
        for (place, reason) in hopeless {
            self.finish(now, place, JobEnd::Failed(reason));
        }
    }

    /// How a job ends that has nothing left to wait for.
    pub(super) fn is_hopeless(&self, place: Place) -> Option<FailReason> {
        if self.is_stranded(place) {
            Some(FailReason::EngineLost)
        } else {
            self.is_shut_out(place).then_some(FailReason::Drained)
        }
    }

    /// Whether a job has lost what it counted on, and no replica that exists may ever run it.
    pub(super) fn is_stranded(&self, place: Place) -> bool {
        let record = &self.jobs[place];
        let never_tried = record.tried.is_empty();
        if never_tried && record.prospect == Prospect::Seen {
            return false;
        }
        // What a reload comes to is not known before it is over: it may yet bring the old model back.
        if self.pools.get(record.pool).and_then(|pool| pool.operation) == Some(OperationKind::Reload) {
            return false;
        }
        // A replica that has never answered may yet turn out to be the one.
        if never_tried && self.existing().any(|(_, it)| it.view.readiness == Readiness::Unseen) {
            return false;
        }
        !self.existing().any(|(_, replica)| self.may_ever_run(place, replica))
    }

    /// Whether a job waits for a pool that was drained until its deadline, and for nothing else.
    //= ORCH-2101
    fn is_shut_out(&self, place: Place) -> bool {
        let home = self.pools.get(self.jobs[place].pool);
        let mut shut = home.is_some_and(Pool::is_withdrawn);
        if !shut && !self.pools.iter().any(Pool::is_withdrawn) {
            return false;
        }
        for (pool, replica) in self.existing() {
            if self.may_ever_run(place, replica) {
                if !pool.is_withdrawn() {
                    return false;
                }
                shut = true;
            }
        }
        shut
    }

    fn may_ever_run(&self, place: Place, replica: &Replica) -> bool {
        let record = &self.jobs[place];
        fit::check(&record.job.requirements, &record.tried, &replica.view, self.rules.gpu).is_ok()
    }

    /// Every replica that exists, with its pool.
    pub(super) fn existing(&self) -> impl Iterator<Item = (&Pool, &Replica)> {
        let all = self.pools.iter().flat_map(|pool| pool.replicas.iter().map(move |it| (pool, it)));
        all.filter(|(_, replica)| replica.exists())
    }
}

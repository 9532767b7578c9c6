//! When a newcomer will start, and when one that is turned away may come back.

use std::time::Duration;

use smallvec::SmallVec;

use super::{Scheduler, admit::claim_of};
use crate::{
    estimate::{Backlog, Forecast, Pace, ServiceTimes, Uncertain},
    job::{NewJob, Priority},
    time::Timestamp,
};

impl Scheduler {
    /// How long a job of this size will hold its slot in a pool.
    pub(super) fn own_service(&mut self, now: Timestamp, index: usize, job: &NewJob) -> Uncertain {
        let guess = self.refreshed(now, index);
        let times = self.pools[index].times_of(job.priority, &guess);
        times.service(1.0, f64::from(job.size))
    }

    /// The work that stands before a newcomer of this class in one pool.
    pub(super) fn backlog(&mut self, now: Timestamp, index: usize, priority: Priority) -> Backlog {
        let guess = self.refreshed(now, index);
        let pool = &self.pools[index];
        let own = pool.times_of(priority, &guess);
        let held = pool.times_of(Priority::Interactive, &guess).held();
        let rate = match priority {
            Priority::Interactive => 0.0,
            Priority::Batch => pool.interactive.rate(now) * pool.starters.share(),
        };
        let mut backlog = Backlog {
            slots: f64::from(pool.tally.slots),
            left_over: own.left_over(),
            overtaking: Uncertain {
                mean: rate * held.mean,
                variance: rate * (held.variance + held.mean * held.mean),
            },
            doubt: own.doubt(),
            work: Uncertain::default(),
        };
        let times = Priority::ALL.map(|class| pool.times_of(class, &guess));
        for run in self.leases.runs_mut(index) {
            let times = times[run.priority.index()];
            backlog.add(times.residual_from(&mut run.near, run.size, now - run.since));
        }
        let share = pool.starters.share();
        for class in Priority::ALL.into_iter().filter(|class| *class <= priority) {
            let line = &pool.lines[class.index()];
            let jobs = f64::from(line.len);
            let work = pool.times_of(class, &guess).service(jobs, line.size_as_float());
            let each = if jobs > 0.0 { work.mean / jobs } else { 0.0 };
            backlog.add(Uncertain {
                mean: work.mean * share,
                variance: share * work.variance + jobs * share * (1.0 - share) * each * each,
            });
        }
        backlog
    }

    /// How fast places in a pool's queue become free.
    fn pace(&mut self, now: Timestamp, index: usize) -> Pace {
        let guess = self.refreshed(now, index);
        let pool = &self.pools[index];
        let slowest = Priority::ALL.map(|class| pool.times_of(class, &guess).held());
        let slowest = slowest.into_iter().max_by(|one, other| one.mean.total_cmp(&other.mean));
        let Uncertain { mean, variance } = slowest.unwrap_or_default();
        let spread = if mean > 0.0 { variance / (mean * mean) } else { 0.0 };
        Pace { gap: mean / f64::from(pool.tally.slots.max(1)), spread }
    }

    pub(super) fn retry_after(&mut self, now: Timestamp, index: usize, job: &NewJob) -> Duration {
        let pace = self.pace(now, index);
        // The jitter comes from the id, so that the same events give the same answers.
        let jitter = f64::from((job.id.as_u128() & 0xFFFF) as u16) / f64::from(u16::MAX);
        self.pools[index].promises.promise(now, claim_of(job), pace, jitter)
    }

    /// Places of a pool's queue that are promised to other clients and due.
    pub(super) fn kept_places(&mut self, now: Timestamp, index: usize) -> u32 {
        let pace = self.pace(now, index);
        self.pools[index].promises.kept(now, pace)
    }

    /// Brings a pool's measurements up to date, and says what to assume where there are none.
    fn refreshed(&mut self, now: Timestamp, index: usize) -> ServiceTimes {
        let pool = &mut self.pools[index];
        pool.times.iter_mut().for_each(ServiceTimes::refresh);
        if pool.is_measured() {
            return ServiceTimes::default();
        }
        let oldest = self.leases.runs(index).next();
        ServiceTimes::guess(oldest.map_or(Duration::ZERO, |run| now - run.since))
    }
}

/// When a newcomer would start in the line of `home`, by the work before it in each pool that may run it. The
/// others take it from there when they are done sooner.
//= ORCH-3060
pub(super) fn joined(home: usize, backlogs: &[(usize, Backlog)]) -> Forecast {
    let own = backlogs.iter().find(|(index, _)| *index == home);
    let mut joined = own.map(|(_, backlog)| *backlog).unwrap_or_default();
    let others = backlogs.iter().filter(|(index, _)| *index != home);
    let mut others: SmallVec<[(Duration, Backlog); 4]> =
        others.map(|(_, other)| (other.start().median(), *other)).collect();
    others.sort_by_key(|(start, _)| *start);
    for (start, other) in others {
        if start < joined.start().median() {
            joined = joined.with(other);
        }
    }
    joined.start()
}

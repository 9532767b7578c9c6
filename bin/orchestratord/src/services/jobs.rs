//! All jobs that the server still knows: live ones, and ended ones for their retention.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use dashmap::DashMap;
use orchestrator_core::{JobId, Timestamp};
use parking_lot::Mutex;

use super::job::JobEntry;

/// How long, how many and how much of ended jobs is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetentionLimits {
    /// For how long an ended job's stream can be read.
    pub(crate) time: Duration,
    /// How many bytes of ended streams are kept.
    pub(crate) bytes: usize,
    /// How many ended jobs are known at all.
    pub(crate) jobs: usize,
}

/// Jobs by id.
#[derive(Debug)]
pub(crate) struct Jobs {
    by_id: DashMap<JobId, Arc<JobEntry>>,
    limits: RetentionLimits,
    ended: Mutex<Ended>,
    accepted: Mutex<Accepted>,
}

/// Jobs in the order in which they were accepted.
#[derive(Debug, Default)]
struct Accepted {
    by_rank: BTreeMap<u64, JobId>,
    ranks: u64,
}

/// What is past its retention: to be given up in the store too.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Swept {
    /// Jobs whose streams are gone.
    pub(crate) expired: Vec<Arc<JobEntry>>,
    /// Jobs that are not known any more.
    pub(crate) removed: Vec<Arc<JobEntry>>,
}

/// A part of the list of jobs, newest first.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) jobs: Vec<Arc<JobEntry>>,
    /// Where the next page begins; `None` after the last one.
    pub(crate) next: Option<u64>,
}

/// So many jobs are looked at for one page, however few of them are wanted.
const LOOKED_AT_MAX: usize = 10_000;

/// Ended jobs in the order of their ends. Those before `expired` have lost their streams.
#[derive(Debug, Default)]
struct Ended {
    jobs: VecDeque<(Timestamp, JobId)>,
    expired: usize,
    bytes: usize,
}

impl Jobs {
    pub(crate) fn new(limits: RetentionLimits) -> Self {
        Self { by_id: DashMap::new(), limits, ended: Mutex::default(), accepted: Mutex::default() }
    }

    pub(crate) fn find(&self, id: JobId) -> Option<Arc<JobEntry>> {
        self.by_id.get(&id).map(|entry| Arc::clone(&entry))
    }

    pub(crate) fn insert(&self, entry: Arc<JobEntry>) {
        {
            let mut accepted = self.accepted.lock();
            accepted.ranks += 1;
            let rank = accepted.ranks;
            entry.set_rank(rank);
            accepted.by_rank.insert(rank, entry.facts.id);
        }
        self.by_id.insert(entry.facts.id, entry);
    }

    /// Up to `limit` jobs that are `wanted`, newest first, accepted before the one of rank `before`.
    pub(crate) fn page(&self, before: Option<u64>, limit: usize, wanted: impl Fn(&JobEntry) -> bool) -> Page {
        let ranks: Vec<_> = {
            let accepted = self.accepted.lock();
            let older = accepted.by_rank.range(..before.unwrap_or(u64::MAX));
            older.rev().take(LOOKED_AT_MAX).map(|(rank, id)| (*rank, *id)).collect()
        };
        let mut page = Page { jobs: Vec::new(), next: None };
        let full = ranks.len() == LOOKED_AT_MAX;
        for (rank, id) in ranks {
            if page.jobs.len() == limit {
                return page;
            }
            page.next = Some(rank);
            page.jobs.extend(self.find(id).filter(|entry| wanted(entry)));
        }
        if !full {
            page.next = None;
        }
        page
    }

    /// Notes the end of a job, from which its retention counts.
    pub(crate) fn ended(&self, entry: &JobEntry, at: Timestamp) -> Swept {
        {
            let mut ended = self.ended.lock();
            ended.bytes += entry.log.len();
            ended.jobs.push_back((at, entry.facts.id));
        }
        self.sweep(at)
    }

    /// Notes the end that a job had before the server started.
    pub(crate) fn ended_before(&self, entry: &JobEntry, at: Timestamp) {
        let mut ended = self.ended.lock();
        ended.bytes += entry.log.len();
        ended.jobs.push_back((at, entry.facts.id));
    }

    /// Gives up a job that did not come in after all.
    pub(crate) fn remove(&self, id: JobId) {
        if let Some((_, entry)) = self.by_id.remove(&id) {
            self.accepted.lock().by_rank.remove(&entry.rank());
        }
    }

    /// Gives up what is past its retention: first the streams, then the jobs.
    pub(crate) fn sweep(&self, now: Timestamp) -> Swept {
        let mut swept = Swept::default();
        let mut ended = self.ended.lock();
        while let Some(&(at, id)) = ended.jobs.get(ended.expired)
            && (now.since(at) >= self.limits.time || ended.bytes > self.limits.bytes)
        {
            ended.expired += 1;
            if let Some(entry) = self.find(id) {
                ended.bytes = ended.bytes.saturating_sub(entry.log.len());
                entry.log.expire();
                swept.expired.push(entry);
            }
        }
        while ended.jobs.len() > self.limits.jobs
            && let Some((_, id)) = ended.jobs.pop_front()
        {
            match ended.expired.checked_sub(1) {
                Some(expired) => ended.expired = expired,
                None => {
                    let bytes = self.find(id).map_or(0, |entry| entry.log.len());
                    ended.bytes = ended.bytes.saturating_sub(bytes);
                }
            }
            if let Some((_, entry)) = self.by_id.remove(&id) {
                self.accepted.lock().by_rank.remove(&entry.rank());
                swept.removed.push(entry);
            }
        }
        swept
    }

    /// How many jobs are known.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.by_id.len()
    }
}

#[cfg(test)]
mod tests {
    use adapter_api::{Generate, Input, Work, WorkOrder};
    use auth_min::Identity;
    use orchestrator_core::{Priority, Requirements};
    use uuid::Uuid;

    use super::*;
    use crate::{
        relay::{Detail, LastEvent, Resume},
        services::{Durability, JobFacts, OnDisconnect, OnEngineLoss, Surface},
    };

    fn ended_job(jobs: &Jobs, number: u128, at: u64) -> Arc<JobEntry> {
        let facts = JobFacts {
            id: JobId::from_u128(number),
            session_id: Uuid::nil(),
            model_ref: "m".into(),
            requirements: Requirements::of("m", 1),
            priority: Priority::Batch,
            prompt_tokens: 1,
            fingerprint: [0; 32],
            surface: Surface::Native,
            correlation_id: "c".into(),
            identity: Identity::Localhost,
            on_disconnect: OnDisconnect::Continue,
            on_engine_loss: OnEngineLoss::Fail,
            durability: Durability::Memory,
            trace: None,
        };
        let order = WorkOrder {
            request_id: "r".into(),
            model: "m".into(),
            work: Work::Generate(Generate::from(Input::text("p"), 1)),
            trace: None,
        };
        let entry = Arc::new(JobEntry::new(facts, order));
        entry.log.seal(&[LastEvent { name: "end", data: vec![b'x'; 100], verbose: None }]);
        jobs.insert(Arc::clone(&entry));
        drop(jobs.ended(&entry, Timestamp::from_micros(at)));
        entry
    }

    fn readable(entry: &JobEntry) -> bool {
        entry.log.open(Resume::FromStart, Detail::Plain).is_ok()
    }

    #[test]
    fn streams_go_first_by_age_and_jobs_go_last_by_number() {
        let limits = RetentionLimits { time: Duration::from_micros(10), bytes: 10_000, jobs: 2 };
        let jobs = Jobs::new(limits);
        let first = ended_job(&jobs, 1, 0);
        let second = ended_job(&jobs, 2, 5);
        assert!(readable(&first));
        let swept = jobs.sweep(Timestamp::from_micros(10));
        assert_eq!((swept.expired.len(), swept.removed.len()), (1, 0));
        assert_eq!((readable(&first), readable(&second), jobs.len()), (false, true, 2));
        ended_job(&jobs, 3, 11);
        assert!(jobs.find(JobId::from_u128(1)).is_none());
        assert_eq!((readable(&second), jobs.len()), (true, 2));
    }

    #[test]
    fn pages_are_newest_first_and_meet_without_a_gap() {
        let limits = RetentionLimits { time: Duration::from_hours(1), bytes: 10_000, jobs: 100 };
        let jobs = Jobs::new(limits);
        for number in 0..7 {
            ended_job(&jobs, number, 1);
        }
        let odd = |entry: &JobEntry| entry.facts.id.as_u128() % 2 == 1;
        let numbers = |page: &Page| -> Vec<_> { page.jobs.iter().map(|it| it.facts.id.as_u128()).collect() };
        let first = jobs.page(None, 2, odd);
        assert_eq!(numbers(&first), [5, 3]);
        let second = jobs.page(first.next, 2, odd);
        assert_eq!((numbers(&second), second.next), (vec![1], None));
        let all = jobs.page(None, 7, |_| true);
        assert_eq!(numbers(&all), [6, 5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn the_oldest_streams_make_room_when_there_are_too_many_bytes() {
        let limits = RetentionLimits { time: Duration::from_hours(1), bytes: 300, jobs: 100 };
        let jobs = Jobs::new(limits);
        let entries: Vec<_> = (0..5).map(|number| ended_job(&jobs, number, 1)).collect();
        let kept: Vec<_> = entries.iter().map(|entry| readable(entry)).collect();
        assert_eq!(kept, [false, false, false, true, true]);
        assert_eq!(jobs.len(), 5);
    }
}

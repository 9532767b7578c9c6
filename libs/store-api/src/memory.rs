//! A store that forgets everything with its process: for tests, and for whoever wants no files.

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{
    Store,
    change::{Applied, Change, NewJob},
    error::StoreError,
    stored::{Body, Fence, JobKey, OwnerId, Rank, RecordKey, Segment, Shelf, StoredJob, StoredRecord},
};

/// Jobs in memory.
#[derive(Default)]
pub struct MemoryStore {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    jobs: BTreeMap<JobKey, Row>,
    records: BTreeMap<RecordKey, Body>,
    ranks: u64,
}

struct Row {
    job: StoredJob,
    owner: OwnerId,
    segments: Vec<Segment>,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryStore({} jobs)", self.kept.lock().jobs.len())
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, changes: &[Change]) -> Result<Vec<Applied>, StoreError> {
        let mut kept = self.kept.lock();
        Ok(changes.iter().map(|change| kept.apply(change)).collect())
    }

    async fn claim(&self, owner: OwnerId, most: usize) -> Result<Vec<StoredJob>, StoreError> {
        let mut kept = self.kept.lock();
        let mut orphans: Vec<_> =
            kept.jobs.values_mut().filter(|row| row.job.ended.is_none() && row.owner != owner).collect();
        orphans.sort_by_key(|row| row.job.rank);
        orphans.truncate(most);
        for row in &mut orphans {
            row.owner = owner;
            row.job.fence.0 += 1;
        }
        Ok(orphans.into_iter().map(|row| row.job.clone()).collect())
    }

    async fn ended(&self, before: Option<Rank>, most: usize) -> Result<Vec<StoredJob>, StoreError> {
        let kept = self.kept.lock();
        let wanted = |job: &&StoredJob| job.ended.is_some() && before.is_none_or(|before| job.rank < before);
        let mut ended: Vec<_> = kept.jobs.values().map(|row| &row.job).filter(wanted).cloned().collect();
        ended.sort_by_key(|job| std::cmp::Reverse(job.rank));
        ended.truncate(most);
        Ok(ended)
    }

    async fn stream(&self, job: JobKey) -> Result<Vec<Segment>, StoreError> {
        Ok(self.kept.lock().jobs.get(&job).map(|row| row.segments.clone()).unwrap_or_default())
    }

    async fn records(&self, on: Shelf) -> Result<Vec<StoredRecord>, StoreError> {
        let kept = self.kept.lock();
        let here = kept.records.iter().filter(|(key, _)| key.shelf == on);
        Ok(here.map(|(key, body)| StoredRecord { name: Arc::clone(&key.name), body: body.clone() }).collect())
    }
}

impl Kept {
    fn apply(&mut self, change: &Change) -> Applied {
        match change {
            Change::Accept(new) => self.accept(new),
            Change::Note { job, fence, note, ids_reserved } => self.live(*job, *fence, |row| {
                row.job.note = Some(note.clone());
                row.job.ids_reserved = row.job.ids_reserved.max(*ids_reserved);
            }),
            Change::Append { job, fence, segment } => self.live(*job, *fence, |row| {
                if row.segments.last().is_none_or(|last| last.first_id < segment.first_id) {
                    row.segments.push(segment.clone());
                }
            }),
            Change::End { job, body, .. } if self.has_ended_so(*job, body) => Applied::Done,
            Change::End { job, fence, at, body } => self.live(*job, *fence, |row| {
                row.job.ended = Some(*at);
                row.job.body = body.clone();
                row.job.note = None;
            }),
            Change::Trim { job, fence } => match self.jobs.get_mut(job) {
                Some(row) if row.job.fence == *fence && row.job.ended.is_some() => {
                    row.segments.clear();
                    Applied::Done
                }
                _ => Applied::Stale,
            },
            Change::Forget { job, fence } => match self.jobs.get(job) {
                Some(row) if row.job.fence != *fence => Applied::Stale,
                _ => {
                    self.jobs.remove(job);
                    Applied::Done
                }
            },
            Change::Put { record, body } => {
                self.records.insert(record.clone(), body.clone());
                Applied::Done
            }
            Change::Remove(record) => {
                self.records.remove(record);
                Applied::Done
            }
        }
    }

    fn accept(&mut self, new: &NewJob) -> Applied {
        if let Some(row) = self.jobs.get(&new.key) {
            let same = row.owner == new.owner && row.job.ended.is_none() && row.job.body == new.body;
            let StoredJob { fence, rank, .. } = row.job;
            return if same { Applied::Accepted { fence, rank } } else { Applied::Known };
        }
        self.ranks += 1;
        let (fence, rank) = (Fence::FIRST, Rank(self.ranks));
        let job = StoredJob {
            key: new.key,
            rank,
            fence,
            ids_reserved: 0,
            ended: None,
            body: new.body.clone(),
            note: None,
        };
        self.jobs.insert(new.key, Row { job, owner: new.owner, segments: Vec::new() });
        Applied::Accepted { fence, rank }
    }

    fn has_ended_so(&self, job: JobKey, body: &Body) -> bool {
        self.jobs.get(&job).is_some_and(|row| row.job.ended.is_some() && row.job.body == *body)
    }

    fn live(&mut self, job: JobKey, fence: Fence, write: impl FnOnce(&mut Row)) -> Applied {
        match self.jobs.get_mut(&job) {
            Some(row) if row.job.fence == fence && row.job.ended.is_none() => {
                write(row);
                Applied::Done
            }
            _ => Applied::Stale,
        }
    }
}

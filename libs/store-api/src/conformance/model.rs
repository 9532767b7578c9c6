//! What a store must hold, kept in the simplest way.

use std::sync::Arc;

use super::{Broken, Random, equal};
use crate::{
    Applied, Body, Change, Fence, JobKey, NewJob, OwnerId, Rank, RecordKey, Segment, Shelf, Store, StoredJob,
    StoredRecord, WallMillis,
};

#[derive(Default)]
pub(super) struct Model {
    jobs: Vec<ModelJob>,
    records: Vec<(RecordKey, Body)>,
    ranks: u64,
}

struct ModelJob {
    job: StoredJob,
    owner: OwnerId,
    segments: Vec<Segment>,
}

const SHELVES: [Shelf; 4] = [Shelf::Sessions, Shelf::Models, Shelf::Pools, Shelf::Nodes];

fn some_record(random: &mut Random) -> RecordKey {
    let shelf = SHELVES[random.index(4)];
    RecordKey { shelf, name: ["", "a", "org/model", "\u{1F999}"][random.index(4)].into() }
}

fn body(random: &mut Random) -> Body {
    let length = [0, 1, 7, 300, 5_000][random.index(5)];
    (0..length).map(|_| random.next().to_le_bytes()[0]).collect()
}

impl Model {
    /// A change that may well be wrong.
    pub(super) fn some_change(&self, random: &mut Random, owner: OwnerId) -> Change {
        let job = JobKey(random.below(12).into());
        let right = self.jobs.iter().find(|it| it.job.key == job).map_or(Fence::FIRST, |it| it.job.fence);
        let fence = if random.below(8) == 0 { Fence(random.below(4)) } else { right };
        match random.below(13) {
            0..3 => Change::Accept(NewJob { key: job, owner, body: body(random) }),
            3..5 => {
                let ids_reserved = u32::try_from(random.below(4_000)).unwrap_or(0);
                Change::Note { job, fence, note: body(random), ids_reserved }
            }
            5..8 => {
                let first_id = u32::try_from(random.below(50)).unwrap_or(0);
                Change::Append { job, fence, segment: Segment { first_id, events: 1, frames: body(random) } }
            }
            8 => Change::End { job, fence, at: WallMillis(random.below(1 << 40)), body: body(random) },
            9 => Change::Forget { job, fence },
            12 => Change::Trim { job, fence },
            10 => Change::Put { record: some_record(random), body: body(random) },
            _ => Change::Remove(some_record(random)),
        }
    }

    pub(super) fn apply(&mut self, change: &Change) -> Applied {
        match change {
            Change::Accept(new) => return self.accept(new),
            Change::Note { job, fence, note, ids_reserved } => {
                let Some(it) = self.live(*job, *fence) else { return Applied::Stale };
                it.job.note = Some(note.clone());
                it.job.ids_reserved = it.job.ids_reserved.max(*ids_reserved);
            }
            Change::Append { job, fence, segment } => {
                let Some(it) = self.live(*job, *fence) else { return Applied::Stale };
                if it.segments.iter().all(|known| known.first_id < segment.first_id) {
                    it.segments.push(segment.clone());
                }
            }
            Change::End { job, fence, at, body } => {
                let known = self.jobs.iter().find(|it| it.job.key == *job);
                if known.is_some_and(|it| it.job.ended.is_some() && it.job.body == *body) {
                    return Applied::Done;
                }
                let Some(it) = self.live(*job, *fence) else { return Applied::Stale };
                (it.job.ended, it.job.body, it.job.note) = (Some(*at), body.clone(), None);
            }
            Change::Trim { job, fence } => {
                let ended = |it: &&mut ModelJob| {
                    it.job.key == *job && it.job.fence == *fence && it.job.ended.is_some()
                };
                let Some(it) = self.jobs.iter_mut().find(ended) else { return Applied::Stale };
                it.segments.clear();
            }
            Change::Forget { job, fence } => {
                let other = |it: &ModelJob| it.job.key == *job && it.job.fence != *fence;
                if self.jobs.iter().any(other) {
                    return Applied::Stale;
                }
                self.jobs.retain(|it| it.job.key != *job);
            }
            Change::Put { record, body } => {
                self.records.retain(|(key, _)| key != record);
                self.records.push((record.clone(), body.clone()));
            }
            Change::Remove(record) => self.records.retain(|(key, _)| key != record),
        }
        Applied::Done
    }

    fn accept(&mut self, new: &NewJob) -> Applied {
        if let Some(it) = self.jobs.iter().find(|it| it.job.key == new.key) {
            let same = it.owner == new.owner && it.job.ended.is_none() && it.job.body == new.body;
            let StoredJob { fence, rank, .. } = it.job;
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
        self.jobs.push(ModelJob { job, owner: new.owner, segments: Vec::new() });
        Applied::Accepted { fence, rank }
    }

    fn live(&mut self, job: JobKey, fence: Fence) -> Option<&mut ModelJob> {
        let mut jobs = self.jobs.iter_mut();
        jobs.find(|it| it.job.key == job && it.job.fence == fence && it.job.ended.is_none())
    }

    pub(super) fn claim(&mut self, owner: OwnerId, most: usize) -> Vec<StoredJob> {
        let mut claimed = Vec::new();
        for it in &mut self.jobs {
            if claimed.len() < most && it.job.ended.is_none() && it.owner != owner {
                it.owner = owner;
                it.job.fence.0 += 1;
                claimed.push(it.job.clone());
            }
        }
        claimed
    }

    /// Holds all that the store tells against this.
    pub(super) async fn compare(&self, store: &dyn Store, random: &mut Random) -> Result<(), Broken> {
        let before = [None, Some(Rank(random.below(self.ranks + 2)))][random.index(2)];
        let most = random.index(20);
        let mut ended: Vec<StoredJob> = Vec::new();
        for it in self.jobs.iter().rev() {
            let wanted = it.job.ended.is_some() && before.is_none_or(|before| it.job.rank < before);
            if wanted && ended.len() < most {
                ended.push(it.job.clone());
            }
        }
        equal("ended", &store.ended(before, most).await, &Ok(ended))?;
        for job in 0..12 {
            let key = JobKey(job);
            let expected = self.jobs.iter().find(|it| it.job.key == key);
            let expected = expected.map(|it| it.segments.clone()).unwrap_or_default();
            equal("stream", &store.stream(key).await, &Ok(expected))?;
        }
        for shelf in SHELVES {
            let here = self.records.iter().filter(|(key, _)| key.shelf == shelf);
            let mut expected: Vec<_> = here
                .map(|(key, body)| StoredRecord { name: Arc::clone(&key.name), body: body.clone() })
                .collect();
            expected.sort_by(|a, b| a.name.cmp(&b.name));
            equal("records", &store.records(shelf).await, &Ok(expected))?;
        }
        Ok(())
    }
}

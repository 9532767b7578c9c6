//! Changes as statements, inside the writer's transaction.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use store_api::{
    Applied, Body, Change, Fence, JobKey, NewJob, OwnerId, Rank, Segment, StoredJob, WallMillis,
};

use crate::{
    read,
    record::{Kind, shelf_number, signed, sum, unsigned},
    streams::Streams,
};

/// What the writer knows of a job by heart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) rank: i64,
    pub(crate) owner: OwnerId,
    pub(crate) fence: Fence,
    pub(crate) ids_reserved: u32,
    pub(crate) ended: Option<WallMillis>,
    /// Whether there is any part of its stream.
    pub(crate) has_stream: bool,
}

impl Known {
    fn rank_of_stream(&self) -> Option<i64> {
        self.has_stream.then_some(self.rank)
    }
}

/// All jobs that the file holds.
#[derive(Debug, Default)]
pub(crate) struct Index {
    jobs: HashMap<JobKey, Known>,
    /// What the transaction has changed, as it was before; for a rollback.
    before: Vec<(JobKey, Option<Known>)>,
    /// The highest rank that was ever given out.
    last_rank: i64,
    /// What readers know of it; only what is committed.
    streams: Streams,
}

impl Index {
    /// The ranks of jobs that were forgotten are not given out again: `last_rank` may be one of them.
    pub(crate) fn of(jobs: Vec<(JobKey, Known)>, last_rank: i64) -> Self {
        let last_rank = jobs.iter().map(|(_, known)| known.rank).fold(last_rank, i64::max);
        let streams = Streams::default();
        streams.set(jobs.iter().map(|(key, known)| (*key, known.rank_of_stream())));
        Self { jobs: jobs.into_iter().collect(), before: Vec::new(), last_rank, streams }
    }

    /// Where the streams are, for who does not write.
    pub(crate) fn streams(&self) -> Streams {
        self.streams.clone()
    }

    /// The transaction is written.
    pub(crate) fn committed(&mut self) {
        let Self { jobs, before, streams, .. } = self;
        let now = |key: &JobKey| jobs.get(key).and_then(Known::rank_of_stream);
        let then = |known: &Option<Known>| known.as_ref().and_then(Known::rank_of_stream);
        let changed = |(key, known): (JobKey, Option<Known>)| {
            let rank = now(&key);
            (rank != then(&known)).then_some((key, rank))
        };
        streams.set(before.drain(..).filter_map(changed));
    }

    /// The transaction is undone.
    pub(crate) fn rolled_back(&mut self) {
        for (key, known) in self.before.drain(..).rev() {
            match known {
                Some(known) => self.jobs.insert(key, known),
                None => self.jobs.remove(&key),
            };
        }
    }

    fn put(&mut self, key: JobKey, known: Option<Known>) {
        let before = match known {
            Some(known) => self.jobs.insert(key, known),
            None => self.jobs.remove(&key),
        };
        self.before.push((key, before));
    }

    fn live(&self, key: JobKey, fence: Fence) -> Option<Known> {
        self.jobs.get(&key).copied().filter(|known| known.fence == fence && known.ended.is_none())
    }
}

/// Applies one change.
pub(crate) fn apply(
    connection: &Connection,
    index: &mut Index,
    change: &Change,
) -> rusqlite::Result<Applied> {
    match change {
        Change::Accept(new) => accept(connection, index, new),
        Change::Note { job, fence, note, ids_reserved } => {
            let Some(mut known) = index.live(*job, *fence) else { return Ok(Applied::Stale) };
            known.ids_reserved = known.ids_reserved.max(*ids_reserved);
            put_job(connection, *job, known, Some(note))?;
            index.put(*job, Some(known));
            Ok(Applied::Done)
        }
        Change::Append { job, fence, segment } => {
            let Some(known) = index.live(*job, *fence) else { return Ok(Applied::Stale) };
            append(connection, known.rank, segment)?;
            if !known.has_stream {
                index.put(*job, Some(Known { has_stream: true, ..known }));
            }
            Ok(Applied::Done)
        }
        Change::End { job, fence, at, body } => end(connection, index, (*job, *fence), (*at, body)),
        Change::Trim { job, fence } => match index.jobs.get(job) {
            Some(known) if known.fence == *fence && known.ended.is_some() => {
                trim(connection, known.rank)?;
                Ok(Applied::Done)
            }
            _ => Ok(Applied::Stale),
        },
        Change::Forget { job, fence } => match index.jobs.get(job) {
            Some(known) if known.fence != *fence => Ok(Applied::Stale),
            Some(known) => {
                forget(connection, known.rank)?;
                index.put(*job, None);
                Ok(Applied::Done)
            }
            None => Ok(Applied::Done),
        },
        Change::Put { record, body } => {
            put_record(connection, (shelf_number(record.shelf), &record.name), body)
        }
        Change::Remove(record) => {
            let mut delete =
                connection.prepare_cached("DELETE FROM records WHERE shelf = ?1 AND name = ?2")?;
            delete.execute(params![shelf_number(record.shelf), &*record.name])?;
            Ok(Applied::Done)
        }
    }
}

fn accept(connection: &Connection, index: &mut Index, new: &NewJob) -> rusqlite::Result<Applied> {
    if let Some(known) = index.jobs.get(&new.key) {
        let same =
            known.owner == new.owner && known.ended.is_none() && body_is(connection, *known, &new.body)?;
        let (fence, rank) = (known.fence, Rank(unsigned(known.rank).unwrap_or_default()));
        return Ok(if same { Applied::Accepted { fence, rank } } else { Applied::Known });
    }
    // A rank of a transaction that is rolled back is not used again: ranks order, they do not count.
    index.last_rank += 1;
    let (fence, rank) = (Fence::FIRST, index.last_rank);
    let known = Known { rank, owner: new.owner, fence, ids_reserved: 0, ended: None, has_stream: false };
    put_job(connection, new.key, known, None)?;
    put_body(connection, rank, &new.body)?;
    index.put(new.key, Some(known));
    Ok(Applied::Accepted { fence, rank: Rank(unsigned(rank).unwrap_or_default()) })
}

fn end(
    connection: &Connection,
    index: &mut Index,
    (job, fence): (JobKey, Fence),
    (at, body): (WallMillis, &Body),
) -> rusqlite::Result<Applied> {
    match index.jobs.get(&job).copied() {
        Some(known) if known.ended.is_some() && body_is(connection, known, body)? => Ok(Applied::Done),
        Some(mut known) if known.ended.is_none() && known.fence == fence => {
            known.ended = Some(at);
            put_job(connection, job, known, None)?;
            put_body(connection, known.rank, body)?;
            index.put(job, Some(known));
            Ok(Applied::Done)
        }
        _ => Ok(Applied::Stale),
    }
}

/// Takes over the jobs of other owners.
pub(crate) fn claim(
    connection: &Connection,
    index: &mut Index,
    owner: OwnerId,
    most: usize,
) -> rusqlite::Result<Vec<StoredJob>> {
    let orphans = read::orphans(connection, owner, most)?;
    let mut claimed = Vec::with_capacity(orphans.len());
    for mut job in orphans {
        let Some(mut known) = index.jobs.get(&job.key).copied() else { continue };
        (known.owner, known.fence) = (owner, Fence(known.fence.0 + 1));
        put_job(connection, job.key, known, job.note.as_ref())?;
        index.put(job.key, Some(known));
        job.known = known;
        claimed.push(job.into());
    }
    Ok(claimed)
}

pub(crate) fn put_job(
    connection: &Connection,
    key: JobKey,
    known: Known,
    note: Option<&Body>,
) -> rusqlite::Result<()> {
    let (key, owner) = (key.0.to_be_bytes(), known.owner.0.to_be_bytes());
    let ended = known.ended.map(|at| signed(at.0));
    let sum = job_sum(&key, &owner, known, note.map(|note| &**note));
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO jobs (rank, key, owner, fence, ids_reserved, ended, note, sum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let note = note.map(|note| &**note);
    put.execute(params![
        known.rank,
        key.as_slice(),
        owner.as_slice(),
        signed(known.fence.0),
        known.ids_reserved,
        ended,
        note,
        sum
    ])?;
    Ok(())
}

pub(crate) fn job_sum(key: &[u8], owner: &[u8], known: Known, note: Option<&[u8]>) -> i64 {
    let ended = known.ended.map_or(-1, |at| signed(at.0));
    let numbers = [known.rank, signed(known.fence.0), known.ids_reserved.into(), ended];
    sum(Kind::Job, &numbers, &[Some(key), Some(owner), note])
}

pub(crate) fn put_body(connection: &Connection, rank: i64, body: &[u8]) -> rusqlite::Result<()> {
    let sum = sum(Kind::Body, &[rank], &[Some(body)]);
    let mut put =
        connection.prepare_cached("INSERT OR REPLACE INTO bodies (rank, body, sum) VALUES (?1, ?2, ?3)")?;
    put.execute(params![rank, body, sum])?;
    Ok(())
}

/// Whether a job's body is this one; asked only when a change may have been applied before.
fn body_is(connection: &Connection, known: Known, body: &[u8]) -> rusqlite::Result<bool> {
    let mut same = connection.prepare_cached("SELECT body = ?2 FROM bodies WHERE rank = ?1")?;
    Ok(same.query_row(params![known.rank, body], |row| row.get(0)).optional()?.unwrap_or(false))
}

/// A part that is not behind the last one was kept already.
pub(crate) fn append(connection: &Connection, rank: i64, segment: &Segment) -> rusqlite::Result<()> {
    let Segment { first_id, events, frames } = segment;
    let sum = sum(Kind::Segment, &[rank, (*first_id).into(), (*events).into()], &[Some(frames)]);
    let mut put = connection.prepare_cached(
        "INSERT INTO segments (rank, first_id, events, frames, sum) SELECT ?1, ?2, ?3, ?4, ?5
         WHERE NOT EXISTS (SELECT 1 FROM segments WHERE rank = ?1 AND first_id >= ?2)",
    )?;
    put.execute(params![rank, first_id, events, &**frames, sum])?;
    Ok(())
}

fn trim(connection: &Connection, rank: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM segments WHERE rank = ?1")?.execute([rank])?;
    Ok(())
}

fn forget(connection: &Connection, rank: i64) -> rusqlite::Result<()> {
    trim(connection, rank)?;
    for table in ["DELETE FROM bodies WHERE rank = ?1", "DELETE FROM jobs WHERE rank = ?1"] {
        connection.prepare_cached(table)?.execute([rank])?;
    }
    Ok(())
}

pub(crate) fn put_record(
    connection: &Connection,
    (shelf, name): (i64, &str),
    body: &[u8],
) -> rusqlite::Result<Applied> {
    let sum = sum(Kind::Record, &[shelf], &[Some(name.as_bytes()), Some(body)]);
    let mut put = connection
        .prepare_cached("INSERT OR REPLACE INTO records (shelf, name, body, sum) VALUES (?1, ?2, ?3, ?4)")?;
    put.execute(params![shelf, name, body, sum])?;
    Ok(Applied::Done)
}

//! Records as they are read: each is held against its checksum before anybody sees it.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row, params};
use store_api::{
    Body, Fence, JobKey, OwnerId, Rank, Segment, Shelf, StoreError, StoredJob, StoredRecord, WallMillis,
};

use crate::{
    apply::{Index, Known, job_sum},
    error,
    record::{Kind, shelf_number, signed, sum, unsigned},
};

const JOB: &str = "jobs.rank, key, owner, fence, ids_reserved, ended, note, jobs.sum";

/// A record that is not what was written.
fn damaged(what: &str, rank: i64) -> rusqlite::Error {
    let told = format!("{what} of rank {rank} does not match its checksum");
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, told.into())
}

/// The small part of a job, checked.
pub(crate) fn known(row: &Row<'_>) -> rusqlite::Result<(JobKey, Known, Option<Body>)> {
    let rank: i64 = row.get(0)?;
    let wrong = || damaged("the job", rank);
    let (key, owner): (Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(2)?);
    let note: Option<Vec<u8>> = row.get(6)?;
    let number = |bytes: &[u8]| bytes.try_into().map(u128::from_be_bytes).map_err(|_length| wrong());
    let known = Known {
        rank,
        owner: OwnerId(number(&owner)?),
        fence: Fence(unsigned(row.get(3)?).ok_or_else(wrong)?),
        ids_reserved: row.get(4)?,
        ended: match row.get::<_, Option<i64>>(5)? {
            Some(at) => Some(WallMillis(unsigned(at).ok_or_else(wrong)?)),
            None => None,
        },
        has_stream: false,
    };
    if job_sum(&key, &owner, known, note.as_deref()) != row.get::<_, i64>(7)? {
        return Err(wrong());
    }
    Ok((JobKey(number(&key)?), known, note.map(Into::into)))
}

/// Every job's small part.
pub(crate) fn index(connection: &Connection) -> rusqlite::Result<Index> {
    let mut all = connection.prepare(&format!("SELECT {JOB} FROM jobs"))?;
    let rows = all.query_map([], known)?;
    let with_streams = ranks_of_streams(connection)?;
    let job = |(key, mut known, _): (JobKey, Known, _)| {
        known.has_stream = with_streams.contains(&known.rank);
        (key, known)
    };
    let jobs = rows.map(|row| row.map(job)).collect::<rusqlite::Result<Vec<_>>>()?;
    let mut last = connection.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'")?;
    let last: Option<i64> = last.query_row([], |row| row.get(0)).optional()?;
    Ok(Index::of(jobs, last.unwrap_or(0)))
}

/// The ranks that have a stream. It leaps from one to the next, for the streams themselves are long.
fn ranks_of_streams(connection: &Connection) -> rusqlite::Result<HashSet<i64>> {
    let mut leaps = connection.prepare(
        "WITH RECURSIVE found (rank) AS (
             SELECT min(rank) FROM segments
             UNION ALL
             SELECT (SELECT min(rank) FROM segments WHERE rank > found.rank) FROM found WHERE found.rank IS NOT NULL
         )
         SELECT rank FROM found WHERE rank IS NOT NULL",
    )?;
    leaps.query_map([], |row| row.get(0))?.collect()
}

/// A job with all that was kept of it but its stream.
pub(crate) struct Whole {
    pub(crate) key: JobKey,
    pub(crate) known: Known,
    pub(crate) note: Option<Body>,
    pub(crate) body: Body,
}

impl From<Whole> for StoredJob {
    fn from(Whole { key, known, note, body }: Whole) -> Self {
        let rank = Rank(unsigned(known.rank).unwrap_or_default());
        let Known { fence, ids_reserved, ended, .. } = known;
        Self { key, rank, fence, ids_reserved, ended, body, note }
    }
}

fn whole(row: &Row<'_>) -> rusqlite::Result<Whole> {
    let (key, known, note) = known(row)?;
    let body: Option<Vec<u8>> = row.get(8)?;
    let body = body.ok_or_else(|| damaged("the body", known.rank))?;
    if sum(Kind::Body, &[known.rank], &[Some(&body)]) != row.get::<_, i64>(9)? {
        return Err(damaged("the body", known.rank));
    }
    Ok(Whole { key, known, note, body: body.into() })
}

/// The job of this rank.
pub(crate) fn job(connection: &Connection, rank: i64) -> rusqlite::Result<Option<Whole>> {
    let mut one = connection.prepare_cached(&format!(
        "SELECT {JOB}, body, bodies.sum FROM jobs LEFT JOIN bodies USING (rank) WHERE jobs.rank = ?1"
    ))?;
    one.query_row([rank], whole).optional()
}

/// The live jobs of other owners, in the order of their ranks.
pub(crate) fn orphans(connection: &Connection, owner: OwnerId, most: usize) -> rusqlite::Result<Vec<Whole>> {
    let mut all = connection.prepare(&format!(
        "SELECT {JOB}, body, bodies.sum FROM jobs LEFT JOIN bodies USING (rank)
         WHERE ended IS NULL AND owner <> ?1 ORDER BY jobs.rank LIMIT ?2"
    ))?;
    let rows = all.query_map(params![owner.0.to_be_bytes().as_slice(), signed(most as u64)], whole)?;
    rows.collect()
}

/// What may be asked of the file.
pub(crate) fn ended(
    connection: &Connection,
    before: Option<Rank>,
    most: usize,
) -> Result<Vec<StoredJob>, StoreError> {
    let read = || -> rusqlite::Result<Vec<StoredJob>> {
        let before = before.map_or(i64::MAX, |rank| signed(rank.0));
        let mut page = connection.prepare_cached(&format!(
            "SELECT {JOB}, body, bodies.sum FROM jobs LEFT JOIN bodies USING (rank)
             WHERE ended IS NOT NULL AND jobs.rank < ?1 ORDER BY jobs.rank DESC LIMIT ?2"
        ))?;
        let rows = page.query_map(params![before, signed(most as u64)], whole)?;
        rows.map(|row| row.map(StoredJob::from)).collect()
    };
    read().map_err(|error| error::of_read(&error))
}

/// A job's stream.
pub(crate) fn stream(connection: &Connection, rank: i64) -> Result<Vec<Segment>, StoreError> {
    let read = || -> rusqlite::Result<Vec<Segment>> {
        let mut parts = connection.prepare_cached(
            "SELECT first_id, events, frames, sum FROM segments WHERE rank = ?1 ORDER BY first_id",
        )?;
        let segment = |row: &Row<'_>| {
            let (first_id, events): (u32, u32) = (row.get(0)?, row.get(1)?);
            let frames: Vec<u8> = row.get(2)?;
            let numbers = [rank, first_id.into(), events.into()];
            if sum(Kind::Segment, &numbers, &[Some(&frames)]) != row.get::<_, i64>(3)? {
                return Err(damaged("a part of the stream", rank));
            }
            Ok(Segment { first_id, events, frames: frames.into() })
        };
        parts.query_map([rank], segment)?.collect()
    };
    read().map_err(|error| error::of_read(&error))
}

/// One record, in the columns shelf, name, body, sum.
pub(crate) fn record(row: &Row<'_>) -> rusqlite::Result<(i64, StoredRecord)> {
    let (shelf, name, body): (i64, String, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
    if sum(Kind::Record, &[shelf], &[Some(name.as_bytes()), Some(&body)]) != row.get::<_, i64>(3)? {
        return Err(damaged("a record on the shelf", shelf));
    }
    Ok((shelf, StoredRecord { name: name.into(), body: body.into() }))
}

/// A shelf's records.
pub(crate) fn records(connection: &Connection, shelf: Shelf) -> Result<Vec<StoredRecord>, StoreError> {
    let read = || -> rusqlite::Result<Vec<StoredRecord>> {
        let mut all = connection
            .prepare_cached("SELECT shelf, name, body, sum FROM records WHERE shelf = ?1 ORDER BY name")?;
        let rows = all.query_map([shelf_number(shelf)], record)?;
        rows.map(|row| row.map(|(_, record)| record)).collect()
    };
    read().map_err(|error| error::of_read(&error))
}

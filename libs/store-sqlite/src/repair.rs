//! Going on with what is intact of a damaged file.
//!
//! The damaged files are moved aside and never written. Each record that still matches its checksum goes into
//! a new file; what cannot be read is named.

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::{
    apply,
    open::{FILE, OpenError, io_error, lock, open_private},
    read, schema, wal,
};

/// So many ranks are asked for one by one where the tree cannot be walked.
const RANKS_MAX: i64 = 4_000_000;

/// What a repair found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairReport {
    /// Jobs that are intact.
    pub jobs: usize,
    /// Parts of streams that are intact.
    pub segments: usize,
    /// Sessions, models and other records that are intact.
    pub records: usize,
    /// What is lost, one line each.
    pub lost: Vec<String>,
    /// Where the damaged files are now.
    pub aside: PathBuf,
}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jobs, segments, records, lost, aside } = self;
        let aside = aside.display();
        write!(f, "kept {jobs} jobs, {segments} parts of streams and {records} other records; ")?;
        match lost.as_slice() {
            [] => write!(f, "nothing was lost")?,
            lost => write!(f, "lost: {}", lost.join("; "))?,
        }
        write!(f, "; the damaged files are in {aside}")
    }
}

/// Builds a new file from what is intact of the one in the folder, and keeps the old one beside it.
///
/// # Errors
/// When the folder is in use or cannot be written.
//= ORCH-3402
pub fn repair(folder: &Path) -> Result<RepairReport, OpenError> {
    let _lock = lock(folder)?;
    let io = |error: io::Error| io_error(folder, &error);
    let found = wal::look(folder).map_err(io)?;
    let aside = set_aside(folder).map_err(io)?;
    let mut report = RepairReport { jobs: 0, segments: 0, records: 0, lost: Vec::new(), aside };
    if let wal::WalState::Damaged(what) = found {
        report.lost.push(format!("what was written behind it: {what}"));
    }
    let sql = |error: rusqlite::Error| io_error(folder, &io::Error::other(error));
    let fresh = folder.join("jobs.db.new");
    remove_with_log(&fresh).map_err(io)?;
    drop(open_private(&fresh).map_err(io)?);
    let new = Connection::open(&fresh).map_err(sql)?;
    schema::tune_writer(&new).map_err(sql)?;
    schema::create(&new).map_err(sql)?;
    // The old file is read from a copy: SQLite writes what it recovers of the log.
    let copy = folder.join("jobs.db.old");
    remove_with_log(&copy).map_err(io)?;
    for (from, to) in [(FILE, "jobs.db.old"), (wal::FILE, "jobs.db.old-wal")] {
        if report.aside.join(from).exists() {
            fs::copy(report.aside.join(from), folder.join(to)).map_err(io)?;
        }
    }
    match readable(&copy, &fresh, &mut report) {
        Ok(old) => {
            salvage(&old, &new, &mut report).map_err(sql)?;
            // A page that stands where another should, or was emptied, names nothing that it has lost.
            if report.lost.is_empty()
                && let Some(what) = schema::unsound(&old).unwrap_or_else(|error| Some(error.to_string()))
            {
                report.lost.push(format!("perhaps something that no table names any more ({what})"));
            }
        }
        Err(error) => report.lost.push(format!("all of it: {error}")),
    }
    new.close().map_err(|(_, error)| sql(error))?;
    remove_with_log(&copy).map_err(io)?;
    fs::rename(&fresh, folder.join(FILE)).map_err(io)?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    Ok(report)
}

/// Moves the files into a folder of their own.
fn set_aside(folder: &Path) -> io::Result<PathBuf> {
    let free =
        (1..=9_999).map(|number: u32| folder.join(format!("damaged-{number}"))).find(|path| !path.exists());
    let aside = free.ok_or_else(|| io::Error::other("no name is free for the damaged files"))?;
    fs::create_dir(&aside)?;
    for file in [FILE, wal::FILE, "jobs.db-shm"] {
        match fs::rename(folder.join(file), aside.join(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}

fn remove_with_log(path: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Opens the copy. When its first page is what is broken, the first page of the new file stands in for it: the
/// tables lie at the same places in each file.
fn readable(copy: &Path, fresh: &Path, report: &mut RepairReport) -> Result<Connection, String> {
    let open = || -> rusqlite::Result<Connection> {
        let old = Connection::open_with_flags(copy, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // Only when all four tables are there can they be read.
        for table in ["jobs", "bodies", "segments", "records"] {
            old.query_row(&format!("SELECT 1 FROM {table} LIMIT 1"), [], |_| Ok(())).optional()?;
        }
        Ok(old)
    };
    open().or_else(|_first| {
        if transplant(copy, fresh).map_err(|error| error.to_string())? == Log::Dropped {
            report.lost.push("what the log held, since the first page is broken".to_owned());
        }
        open().map_err(|error| error.to_string())
    })
}

/// Whether a log had to be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Log {
    Dropped,
    Empty,
}

fn transplant(copy: &Path, fresh: &Path) -> io::Result<Log> {
    let mut log = copy.as_os_str().to_owned();
    log.push("-wal");
    let had = if fs::metadata(&log).is_ok_and(|it| it.len() > 0) { Log::Dropped } else { Log::Empty };
    // The log speaks of a file that this no longer is.
    remove_with_log(Path::new(&log))?;
    let donor = Connection::open_with_flags(fresh, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let settled = donor.and_then(|donor| donor.pragma_update(None, "wal_checkpoint", "TRUNCATE"));
    settled.map_err(io::Error::other)?;
    let donor = fs::read(fresh)?;
    let page = donor.get(16..18).map_or(0, |size| usize::from(size[0]) << 8 | usize::from(size[1]));
    let page = if page == 1 { 65_536 } else { page };
    let mut bytes = fs::read(copy)?;
    let (Some(first), true) = (donor.get(..page), bytes.len() > page && page >= 512) else {
        return Err(io::Error::other("there is nothing behind its first page"));
    };
    bytes[..page].copy_from_slice(first);
    let pages = u32::try_from(bytes.len() / page).unwrap_or(u32::MAX);
    bytes[28..32].copy_from_slice(&pages.to_be_bytes());
    // The list of free pages is not needed to read.
    bytes[32..40].fill(0);
    fs::write(copy, bytes)?;
    Ok(had)
}

/// Copies what is intact.
fn salvage(old: &Connection, new: &Connection, report: &mut RepairReport) -> rusqlite::Result<()> {
    new.execute_batch("BEGIN IMMEDIATE")?;
    let ranks = ranks(old, report);
    for rank in &ranks {
        match read::job(old, *rank) {
            Ok(Some(job)) => {
                apply::put_job(new, job.key, job.known, job.note.as_ref())?;
                apply::put_body(new, *rank, &job.body)?;
                report.jobs += 1;
                match read::stream(old, *rank) {
                    Ok(parts) => {
                        report.segments += parts.len();
                        parts.iter().try_for_each(|part| apply::append(new, *rank, part))?;
                    }
                    Err(error) => report.lost.push(format!("the stream of the job of rank {rank}: {error}")),
                }
            }
            Ok(None) => {}
            Err(error) => report.lost.push(format!("the job of rank {rank}: {error}")),
        }
    }
    records(old, new, report)?;
    let last = ranks.last().copied().unwrap_or(0);
    new.execute("INSERT OR REPLACE INTO sqlite_sequence (name, seq) VALUES ('jobs', ?1)", [last])?;
    new.execute_batch("COMMIT")
}

/// The ranks that jobs may have: walked from both ends, and where the tree is broken each rank between.
fn ranks(old: &Connection, report: &mut RepairReport) -> Vec<i64> {
    let walk = |order: &str, found: &mut Vec<i64>| -> rusqlite::Result<()> {
        let mut all = old.prepare(&format!("SELECT rank FROM jobs ORDER BY rank {order}"))?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            found.push(row.get(0)?);
        }
        Ok(())
    };
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let Err(error) = walk("ASC", &mut up) else { return up };
    if let Err(other) = walk("DESC", &mut down) {
        report.lost.push(format!("some jobs, which the tables no longer name ({error}; {other})"));
    }
    let (first, last) = (up.last().map_or(1, |rank| rank + 1), down.last().map_or(0, |rank| rank - 1));
    let last = last.min(first.saturating_add(RANKS_MAX));
    up.extend(first..=last);
    up.extend(down.into_iter().rev());
    up.dedup();
    up
}

/// Copies sessions and other records, from both ends where the tree is broken.
fn records(old: &Connection, new: &Connection, report: &mut RepairReport) -> rusqlite::Result<()> {
    let mut seen = BTreeSet::new();
    for order in ["ASC", "DESC"] {
        let mut all = match old.prepare(&format!(
            "SELECT shelf, name, body, sum FROM records ORDER BY shelf {order}, name {order}"
        )) {
            Ok(all) => all,
            Err(error) => {
                report.lost.push(format!("sessions, models and nodes: {error}"));
                return Ok(());
            }
        };
        let mut rows = all.query([])?;
        let broken = loop {
            match rows.next() {
                Ok(None) => break None,
                Err(error) => break Some(error),
                Ok(Some(row)) => match read::record(row) {
                    Ok((shelf, record)) => {
                        if seen.insert((shelf, Arc::clone(&record.name))) {
                            apply::put_record(new, (shelf, &record.name), &record.body)?;
                            report.records += 1;
                        }
                    }
                    Err(error) if order == "ASC" => report.lost.push(error.to_string()),
                    Err(_) => {}
                },
            }
        };
        match broken {
            None => break,
            Some(error) if order == "DESC" => report.lost.push(format!("sessions, models or nodes: {error}")),
            Some(_) => {}
        }
    }
    Ok(())
}

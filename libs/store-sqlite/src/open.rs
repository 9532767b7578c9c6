//! Opening the folder: one owner, a whole file, a known version.

use std::{
    fmt,
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags};
use store_api::{
    Applied, Change, JobKey, OwnerId, Rank, Segment, Shelf, Store, StoreError, StoredJob, StoredRecord,
};
use thiserror::Error;
use tracing::warn;

use crate::{
    read, schema,
    streams::Streams,
    wal::{self, WalState},
    writer::{Ask, Worker},
};

/// The file that holds everything.
pub(crate) const FILE: &str = "jobs.db";

/// Why a folder cannot be used.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process uses it.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// It was written by a newer version.
    #[error("{} was written by a newer version (its format is {found}, this one reads {known})", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i32,
        /// The newest one that is known.
        known: i32,
    },
    /// Something in it is not as it was written.
    #[error("{} is damaged: {what}; start with --repair to go on with what is intact", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and how.
        what: String,
    },
    /// The folder or a file in it cannot be used at all.
    #[error("cannot use {}: {reason}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
}

/// Jobs in a folder.
pub struct SqliteStore {
    // The threads close their files before the lock is given up.
    writer: Worker,
    reader: Worker,
    streams: Streams,
    folder: PathBuf,
    _lock: File,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqliteStore({})", self.folder.display())
    }
}

impl SqliteStore {
    /// Opens the folder, or makes it. Every record's small part is checked.
    ///
    /// # Errors
    /// When it is in use, damaged, newer than this code, or not to be written.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let lock = lock(folder)?;
        let path = folder.join(FILE);
        match wal::look(folder).map_err(|error| io_error(folder, &error))? {
            WalState::Whole => {}
            WalState::Unfinished(bytes) => {
                warn!(target: "store_sqlite", bytes, "the log ends in a commit that was never finished; it is dropped");
            }
            WalState::Damaged(what) => {
                return Err(OpenError::Damaged { path: folder.join(wal::FILE), what });
            }
        }
        let damaged =
            |error: rusqlite::Error| OpenError::Damaged { path: path.clone(), what: error.to_string() };
        // What SQLite makes beside it gets the same mode.
        drop(open_private(&path).map_err(|error| io_error(&path, &error))?);
        let writer = Connection::open(&path).map_err(damaged)?;
        prepare(&writer, &path)?;
        if let Some(what) = schema::unsound(&writer).map_err(damaged)? {
            return Err(OpenError::Damaged { path, what });
        }
        let index = read::index(&writer).map_err(damaged)?;
        let streams = index.streams();
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = Connection::open_with_flags(&path, flags).map_err(damaged)?;
        schema::plan_once(&reader).map_err(damaged)?;
        let writer = Worker::writer(writer, index, folder.join(wal::FILE))
            .map_err(|error| io_error(folder, &error))?;
        let reader = Worker::reader(reader).map_err(|error| io_error(folder, &error))?;
        Ok(Self { writer, reader, streams, folder: folder.to_owned(), _lock: lock })
    }
}

pub(crate) fn io_error(path: &Path, error: &io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), reason: error.to_string() }
}

/// Opens a file that only its owner may read, and makes it if need be.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Keeps every other process out until the file is dropped.
//= ORCH-3404
pub(crate) fn lock(folder: &Path) -> Result<File, OpenError> {
    // Requests are in it: they are nobody else's business on this machine.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| io_error(folder, &error))?;
    let path = folder.join("lock");
    let lock = open_private(&path).map_err(|error| io_error(&path, &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(io_error(&path, &error)),
    }
}

/// Tunes the connection, and makes the tables in a new file.
fn prepare(writer: &Connection, path: &Path) -> Result<(), OpenError> {
    let damaged =
        |error: rusqlite::Error| OpenError::Damaged { path: path.to_owned(), what: error.to_string() };
    let version = schema::version(writer).map_err(damaged)?;
    schema::tune_writer(writer).map_err(damaged)?;
    match version {
        schema::VERSION => Ok(()),
        0 if is_empty(writer).map_err(damaged)? => schema::create(writer).map_err(damaged),
        0 => Err(OpenError::Damaged { path: path.to_owned(), what: "it has lost its version".to_owned() }),
        //= ORCH-3403
        found => Err(OpenError::Newer { path: path.to_owned(), found, known: schema::VERSION }),
    }
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_master", [], |row| row.get(0))
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, changes: &[Change]) -> Result<Vec<Applied>, StoreError> {
        self.writer.ask(|reply| Ask::Commit(changes.to_vec(), reply)).await
    }

    async fn claim(&self, owner: OwnerId, most: usize) -> Result<Vec<StoredJob>, StoreError> {
        self.writer.ask(|reply| Ask::Claim(owner, most, reply)).await
    }

    async fn ended(&self, before: Option<Rank>, most: usize) -> Result<Vec<StoredJob>, StoreError> {
        self.reader.ask(|reply| Ask::Ended(before, most, reply)).await
    }

    async fn stream(&self, job: JobKey) -> Result<Vec<Segment>, StoreError> {
        match self.streams.rank_of(job) {
            Some(rank) => self.reader.ask(|reply| Ask::Stream(rank, reply)).await,
            None => Ok(Vec::new()),
        }
    }

    async fn records(&self, on: Shelf) -> Result<Vec<StoredRecord>, StoreError> {
        self.reader.ask(|reply| Ask::Records(on, reply)).await
    }
}

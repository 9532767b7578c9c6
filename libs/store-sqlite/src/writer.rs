//! The threads that own the connections: one that writes, one that reads.

use std::{
    fs,
    path::PathBuf,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rusqlite::Connection;
use store_api::{Applied, Change, OwnerId, Rank, Segment, Shelf, StoreError, StoredJob, StoredRecord};
use tokio::sync::oneshot;
use tracing::error;

use crate::{
    apply::{self, Index},
    error::of_write,
    read,
};

/// A log that is longer is moved into the database.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// After how many commits the log is looked at.
const LOOK_AT_LOG_EVERY: u32 = 32;
/// The log holds what was changed and removed until it is emptied: when nothing was asked for so long,
const IDLE: Duration = Duration::from_secs(2);
/// and after so long where there was always something.
const LOG_AGE_MAX: Duration = Duration::from_mins(1);
/// So many changes are committed together at most.
const CHANGES_MAX: usize = 4_096;

/// What a thread is asked.
pub(crate) enum Ask {
    Commit(Vec<Change>, Reply<Vec<Applied>>),
    Claim(OwnerId, usize, Reply<Vec<StoredJob>>),
    Ended(Option<Rank>, usize, Reply<Vec<StoredJob>>),
    Stream(i64, Reply<Vec<Segment>>),
    Records(Shelf, Reply<Vec<StoredRecord>>),
}

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A thread that answers until nobody can ask any more.
pub(crate) struct Worker {
    asks: Option<Sender<Ask>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(crate) fn writer(connection: Connection, index: Index, log: PathBuf) -> std::io::Result<Self> {
        Self::start("store-writer", move |asks| {
            Writer { connection, index, room: Room::Enough, log, commits: 0, since: None, broken: None }
                .run(&asks);
        })
    }

    pub(crate) fn reader(connection: Connection) -> std::io::Result<Self> {
        Self::start("store-reader", move |asks| {
            while let Ok(ask) = asks.recv() {
                answer(&connection, ask);
            }
        })
    }

    fn start(name: &str, run: impl FnOnce(Receiver<Ask>) + Send + 'static) -> std::io::Result<Self> {
        let (asks, asked) = channel();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || run(asked))?;
        Ok(Self { asks: Some(asks), thread: Some(thread) })
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask<T>(&self, ask: impl FnOnce(Reply<T>) -> Ask) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let gone = || StoreError::Fatal { reason: "the store's thread is gone".to_owned() };
        self.asks.as_ref().ok_or_else(gone)?.send(ask(reply)).map_err(|_gone| gone())?;
        answer.await.map_err(|_gone| gone())?
    }
}

impl Drop for Worker {
    /// Waits for the thread, which closes its connection.
    fn drop(&mut self) {
        drop(self.asks.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!(target: "store_sqlite", "a thread of the store had panicked");
        }
    }
}

/// Reads are answered by either thread.
fn answer(connection: &Connection, ask: Ask) {
    // Who asked may have gone.
    match ask {
        Ask::Ended(before, most, reply) => drop(reply.send(read::ended(connection, before, most))),
        Ask::Stream(rank, reply) => drop(reply.send(read::stream(connection, rank))),
        Ask::Records(shelf, reply) => drop(reply.send(read::records(connection, shelf))),
        Ask::Commit(..) | Ask::Claim(..) => {}
    }
}

struct Writer {
    connection: Connection,
    index: Index,
    room: Room,
    /// The log's file.
    log: PathBuf,
    commits: u32,
    /// Since when the log holds something.
    since: Option<Instant>,
    /// Why nothing is written any more.
    broken: Option<StoreError>,
}

/// Whether the disk had room the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Enough,
    Lacking,
}

/// Batches that are committed together, and who waits for each.
type Group = Vec<(Vec<Change>, Reply<Vec<Applied>>)>;

impl Writer {
    fn run(mut self, asks: &Receiver<Ask>) {
        let mut next = self.next(asks);
        while let Some(ask) = next.take() {
            match ask {
                Ask::Commit(changes, reply) => next = self.commit(vec![(changes, reply)], asks),
                Ask::Claim(owner, most, reply) => {
                    let claimed = self.transaction(|writer| {
                        apply::claim(&writer.connection, &mut writer.index, owner, most)
                    });
                    drop(reply.send(claimed));
                }
                read => answer(&self.connection, read),
            }
            if next.is_none() {
                next = self.next(asks);
            }
        }
        self.empty_log();
    }

    /// Waits for what is asked next; `None` when nobody can ask any more.
    fn next(&mut self, asks: &Receiver<Ask>) -> Option<Ask> {
        while self.since.is_some() {
            match asks.recv_timeout(IDLE) {
                Ok(ask) => return Some(ask),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.empty_log(),
            }
        }
        asks.recv().ok()
    }

    /// Leaves nothing in the log, so that what was removed is in no file: a request is taken out of the database
    /// when its job ends, and stands in the log until then.
    //= ORCH-3411
    fn empty_log(&mut self) {
        if self.since.is_some() && self.broken.is_none() {
            let done = self.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)");
            self.since = (!done).then(now);
        }
    }

    /// Commits a batch together with all that waits behind it. Returns what came then.
    //= ORCH-3400
    fn commit(&mut self, mut group: Group, asks: &Receiver<Ask>) -> Option<Ask> {
        let mut changes = group[0].0.len();
        let mut other = None;
        while changes < CHANGES_MAX
            && let Ok(ask) = asks.try_recv()
        {
            match ask {
                Ask::Commit(batch, reply) => {
                    changes += batch.len();
                    group.push((batch, reply));
                }
                ask => {
                    other = Some(ask);
                    break;
                }
            }
        }
        let result = self.transaction(|writer| {
            let batch = |(batch, _): &(Vec<Change>, _)| -> rusqlite::Result<Vec<Applied>> {
                batch.iter().map(|it| apply::apply(&writer.connection, &mut writer.index, it)).collect()
            };
            group.iter().map(batch).collect::<rusqlite::Result<Vec<_>>>()
        });
        match result {
            Ok(answers) => {
                for ((_, reply), applied) in group.into_iter().zip(answers) {
                    drop(reply.send(Ok(applied)));
                }
            }
            Err(error) => {
                for (_, reply) in group {
                    drop(reply.send(Err(error.clone())));
                }
            }
        }
        other
    }

    /// Moves the log into the database. On a disk without room the log is what can give room back, and it must
    /// not grow until the disk is full again.
    //= ORCH-3401
    fn shorten_log(&mut self) {
        let done = self.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)");
        self.room = if done { Room::Enough } else { Room::Lacking };
    }

    /// Moves a long log into the database. SQLite would do it by itself, and say nothing of a flush that fails.
    fn checkpoint_when_due(&mut self) {
        self.commits = self.commits.wrapping_add(1);
        let is_long = || fs::metadata(&self.log).is_ok_and(|log| log.len() > LOG_BYTES_MAX);
        if self.commits.is_multiple_of(LOOK_AT_LOG_EVERY) && is_long() {
            self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)");
        }
    }

    /// False when it could not be done now.
    fn checkpoint(&mut self, how: &str) -> bool {
        let busy: rusqlite::Result<i64> = self.connection.query_row(how, [], |row| row.get(0));
        match busy.map_err(|error| of_write(&error)) {
            Ok(busy) => busy == 0,
            Err(error @ StoreError::Fatal { .. }) => {
                error!(target: "store_sqlite", %error, "the log could not be moved into the database");
                self.broken = Some(error);
                false
            }
            Err(_) => false,
        }
    }

    fn transaction<T>(
        &mut self,
        write: impl FnOnce(&mut Self) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let done = self.connection.execute_batch("BEGIN IMMEDIATE").and_then(|()| write(self));
        let done = done.and_then(|done| self.connection.execute_batch("COMMIT").map(|()| done));
        match done {
            Ok(done) => {
                self.index.committed();
                let since = *self.since.get_or_insert_with(now);
                match self.room {
                    Room::Enough if since.elapsed() >= LOG_AGE_MAX => self.empty_log(),
                    Room::Enough => self.checkpoint_when_due(),
                    Room::Lacking => self.shorten_log(),
                }
                Ok(done)
            }
            Err(error) => {
                self.index.rolled_back();
                let told = of_write(&error);
                let full = told == StoreError::Full;
                // SQLite may have undone it by itself.
                if !self.connection.is_autocommit()
                    && let Err(error) = self.connection.execute_batch("ROLLBACK")
                {
                    return Err(StoreError::Fatal { reason: format!("a rollback failed: {error}") });
                }
                if full {
                    self.shorten_log();
                }
                Err(told)
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a thread of its own, whose clock decides nothing but when it tidies up"
)]
fn now() -> Instant {
    Instant::now()
}

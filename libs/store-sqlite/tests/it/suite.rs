//! The suite of the seam, and what only a folder can break.

use std::{fs, path::Path, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use store_api::{
    Body, Change, Fence, JobKey, NewJob, OwnerId, RecordKey, Segment, Shelf, Store, WallMillis,
    conformance::{StoreHarness, run},
};
use store_sqlite::{OpenError, SqliteStore};
use tempfile::TempDir;

/// Opens folders, and copies them away under a store that still runs: what is in the files then is what a
/// killed process leaves.
#[derive(Default)]
struct Folders {
    now: Mutex<Vec<TempDir>>,
}

impl Folders {
    fn open_copy_of(&self, from: Option<&Path>) -> Arc<dyn Store> {
        let folder = TempDir::new().unwrap();
        if let Some(from) = from {
            copy(from, folder.path());
        }
        let store = SqliteStore::open(folder.path()).unwrap();
        self.now.lock().push(folder);
        Arc::new(store)
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        if file.file_name() != "lock" && file.file_type().unwrap().is_file() {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

#[async_trait]
impl StoreHarness for Folders {
    async fn fresh(&self) -> Arc<dyn Store> {
        self.open_copy_of(None)
    }

    async fn after_a_crash(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        let from = self.now.lock().pop().unwrap();
        let again = self.open_copy_of(Some(from.path()));
        drop(store);
        again
    }
}

//= ORCH-3400 type=test
#[tokio::test]
async fn the_store_in_a_folder_keeps_the_promises_of_a_store() {
    run(&Folders::default(), 12, 150).await.unwrap();
}

//= ORCH-3404 type=test
#[tokio::test]
async fn a_folder_has_one_owner_at_a_time() {
    // S11
    let folder = TempDir::new().unwrap();
    let first = SqliteStore::open(folder.path()).unwrap();
    let second = SqliteStore::open(folder.path()).unwrap_err();
    assert!(matches!(second, OpenError::InUse(_)), "{second}");
    drop(first);
    SqliteStore::open(folder.path()).unwrap();
}

//= ORCH-3403 type=test
#[tokio::test]
async fn a_folder_of_a_newer_version_is_refused_and_left_alone() {
    // S10
    let folder = TempDir::new().unwrap();
    drop(SqliteStore::open(folder.path()).unwrap());
    let file = folder.path().join("jobs.db");
    let newer = rusqlite::Connection::open(&file).unwrap();
    newer.execute_batch("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
    drop(newer);
    let before = fs::read(&file).unwrap();
    let error = SqliteStore::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("its format is 99, this one reads 1"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn ranks_are_not_given_out_again_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let rank = |applied: &[store_api::Applied]| match applied {
        [store_api::Applied::Accepted { rank, fence }] => (*rank, *fence),
        other => panic!("{other:?}"),
    };
    let accept =
        |key| Change::Accept(NewJob { key: JobKey(key), owner: OwnerId(1), body: Body::from_static(b"a") });
    let store = SqliteStore::open(folder.path()).unwrap();
    let (first, fence) = rank(&store.commit(&[accept(1)]).await.unwrap());
    store.commit(&[Change::Forget { job: JobKey(1), fence }]).await.unwrap();
    drop(store);
    let store = SqliteStore::open(folder.path()).unwrap();
    let (second, _) = rank(&store.commit(&[accept(2)]).await.unwrap());
    assert!(second > first, "{second:?} after {first:?}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("jobs.db"), "not a database, but long enough to be read as one".repeat(20))
        .unwrap();
    let error = SqliteStore::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("jobs.db is damaged") && error.contains("--repair"), "{error}");
}

#[tokio::test]
async fn writers_that_wait_together_are_committed_together() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(SqliteStore::open(folder.path()).unwrap());
    let size = || fs::metadata(folder.path().join("jobs.db-wal")).map_or(0, |file| file.len());
    let put = |name: String| Change::Put {
        record: RecordKey { shelf: Shelf::Sessions, name: name.into() },
        body: Body::from_static(b"x"),
    };
    store.commit(&[put("first".to_owned())]).await.unwrap();
    let before = size();
    let batches: Vec<_> = (0..64).map(|number| [put(format!("s{number}"))]).collect();
    let writes = batches.iter().map(|batch| store.commit(batch));
    for written in futures_join(writes).await {
        written.unwrap();
    }
    // One by one, each commit would write at least a page.
    assert!(size() - before < 40 * 4_096, "{} bytes of log", size() - before);
}

/// Polls all of them before it waits for any.
async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.map(Box::pin).collect();
    for future in &mut pending {
        let first =
            std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_ready()));
        assert!(!first.await);
    }
    let mut done = Vec::new();
    for future in pending {
        done.push(future.await);
    }
    done
}

//= ORCH-3400 type=test
#[tokio::test]
async fn a_long_log_is_moved_into_the_database_and_a_crash_meanwhile_loses_nothing() {
    // S08, S09
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let (log, database) = (folder.path().join("jobs.db-wal"), folder.path().join("jobs.db"));
    let length = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    let (mut longest, mut written) = (0, 0_u32);
    while length(&database) < 20 * 1_024 * 1_024 {
        let name = format!("s{}", written % 300);
        let record = RecordKey { shelf: Shelf::Sessions, name: name.into() };
        let body = Body::from(vec![b'x'; 100_000]);
        let put = Change::Put { record, body: [&written.to_le_bytes()[..], &body].concat().into() };
        store.commit(&[put]).await.unwrap();
        written += 1;
        longest = longest.max(length(&log));
        assert!(written < 3_000, "the log is never moved");
    }
    assert!(longest < 32 * 1_024 * 1_024, "{longest} bytes of log");
    let copied = TempDir::new().unwrap();
    copy(folder.path(), copied.path());
    let found = SqliteStore::open(copied.path()).unwrap().records(Shelf::Sessions).await.unwrap();
    assert_eq!(found.len(), 300.min(written as usize));
    for record in found {
        let name: u32 = record.name[1..].parse().unwrap();
        let newest = u32::from_le_bytes(record.body[..4].try_into().unwrap());
        assert!(newest % 300 == name && newest + 300 >= written, "{name}: {newest} of {written}");
    }
}

#[tokio::test]
async fn nobody_else_on_the_machine_can_read_the_requests() {
    use std::os::unix::fs::PermissionsExt;
    let above = TempDir::new().unwrap();
    let folder = above.path().join("state");
    let store = SqliteStore::open(&folder).unwrap();
    let accept =
        Change::Accept(NewJob { key: JobKey(1), owner: OwnerId(1), body: Body::from_static(b"secret") });
    store.commit(&[accept]).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

/// Whether any file of the folder holds these bytes.
fn is_anywhere(folder: &Path, wanted: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes())
    })
}

/// Requests of all sizes, of which each was asked, has answered and ended.
async fn ended_jobs(store: &SqliteStore) {
    for (number, size) in [10, 1_000, 5_000, 40_000, 300_000].into_iter().enumerate() {
        let (job, fence) = (JobKey(number as u128 + 1), Fence(1));
        let body = format!("{}the secret request", "x".repeat(size));
        store
            .commit(&[Change::Accept(NewJob { key: job, owner: OwnerId(1), body: body.into() })])
            .await
            .unwrap();
        let segment = Segment { first_id: 0, events: 1, frames: Body::from_static(b"the answer") };
        store.commit(&[Change::Append { job, fence, segment }]).await.unwrap();
        let end = Change::End { job, fence, at: WallMillis(1), body: Body::from_static(b"over") };
        store.commit(&[end]).await.unwrap();
    }
}

//= ORCH-3411 type=test
#[tokio::test]
async fn what_an_ended_job_was_asked_is_in_no_file_soon_after_and_after_the_store_is_closed() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    ended_jobs(&store).await;
    assert!(is_anywhere(folder.path(), "the secret request"), "it is looked for in the right way");
    let gone = async {
        while is_anywhere(folder.path(), "the secret request") {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), gone).await.expect("the log is emptied");
    assert!(is_anywhere(folder.path(), "the answer"));
    store.commit(&[Change::Forget { job: JobKey(1), fence: Fence(1) }]).await.unwrap();
    ended_jobs(&store).await;
    drop(store);
    assert!(!is_anywhere(folder.path(), "the secret request"));
    assert!(SqliteStore::open(folder.path()).unwrap().ended(None, 10).await.unwrap().len() >= 4);
}

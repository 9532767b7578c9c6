//! A file as version 1 wrote it. It must be read for ever; a new version gets a file of its own beside it.

use std::{fs, path::PathBuf};

use store_api::{Body, Change, Fence, JobKey, NewJob, OwnerId, RecordKey, Segment, Shelf, Store, WallMillis};
use store_sqlite::SqliteStore;
use tempfile::TempDir;

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/version-1.db")
}

fn written() -> Vec<Change> {
    let accept = |key| {
        Change::Accept(NewJob { key: JobKey(key), owner: OwnerId(7), body: Body::from_static(b"asked") })
    };
    let (job, fence) = (JobKey(2), Fence::FIRST);
    let segment = Segment { first_id: 0, events: 2, frames: Body::from_static(b"frames") };
    let record = RecordKey { shelf: Shelf::Models, name: "org/model".into() };
    vec![
        accept(1),
        accept(2),
        Change::Note { job: JobKey(1), fence, note: Body::from_static(b"note"), ids_reserved: 9 },
        Change::Append { job, fence, segment },
        Change::End { job, fence, at: WallMillis(1_700_000_000_000), body: Body::from_static(b"ended") },
        Change::Put { record, body: Body::from_static(b"model") },
    ]
}

//= ORCH-3403 type=test
#[tokio::test]
async fn a_file_of_version_1_is_read() {
    // S10
    let folder = TempDir::new().unwrap();
    fs::copy(golden(), folder.path().join("jobs.db")).unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let live = store.claim(OwnerId(8), 9).await.unwrap();
    let seen: Vec<_> =
        live.iter().map(|job| (job.key, job.body.as_ref(), job.note.as_deref(), job.ids_reserved)).collect();
    assert_eq!(seen, [(JobKey(1), b"asked".as_slice(), Some(b"note".as_slice()), 9)]);
    let ended = store.ended(None, 9).await.unwrap();
    let seen: Vec<_> = ended.iter().map(|job| (job.key, job.body.as_ref(), job.ended)).collect();
    assert_eq!(seen, [(JobKey(2), b"ended".as_slice(), Some(WallMillis(1_700_000_000_000)))]);
    assert_eq!(store.stream(JobKey(2)).await.unwrap()[0].frames.as_ref(), b"frames");
    let models = store.records(Shelf::Models).await.unwrap();
    assert_eq!((&*models[0].name, models[0].body.as_ref()), ("org/model", b"model".as_slice()));
}

/// Writes the file. Run it once for a new version: `cargo test -p store-sqlite -- --ignored golden`.
#[tokio::test]
#[ignore = "it writes the file that the other test reads"]
async fn write_the_golden_file() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    store.commit(&written()).await.unwrap();
    drop(store);
    fs::create_dir_all(golden().parent().unwrap()).unwrap();
    fs::copy(folder.path().join("jobs.db"), golden()).unwrap();
}

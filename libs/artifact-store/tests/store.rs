//! The store, as its callers see it.

#![expect(clippy::unwrap_used, reason = "this file is tests and their helpers")]

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use artifact_store::{
    ArtifactError, ArtifactId, ArtifactStore, Collected, Damage, Filter, Flush, Kind, Labels, LimitName,
    Limits, MediaType, Name, NewArtifact, WallMillis,
};
use orchestrator_core::JobId;
use proptest::prelude::*;
use tempfile::TempDir;

const LIMITS: Limits =
    Limits { quota_bytes: 10_000, artifact_bytes_max: 5000, age_max: Duration::from_secs(1), count_max: 50 };

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(folder: &TempDir) -> ArtifactStore {
    ArtifactStore::open(folder.path(), LIMITS).unwrap()
}

fn job(number: u128) -> JobId {
    JobId::from_u128(number)
}

fn artifact(content: &[u8], created: u64) -> NewArtifact<'_> {
    NewArtifact {
        kind: Kind::Other,
        content,
        created: WallMillis(created),
        labels: Labels::default(),
        flush: Flush::Now,
    }
}

fn put(store: &ArtifactStore, content: &[u8], created: u64) -> ArtifactId {
    store.put(&artifact(content, created)).unwrap().id
}

fn path_of(folder: &Path, id: ArtifactId) -> PathBuf {
    let hex = id.to_string().replace("sha256:", "");
    folder.join(&hex[..2]).join(&hex[2..])
}

fn bytes_on_disk(folder: &Path) -> u64 {
    let count = |path: PathBuf| match fs::metadata(&path) {
        Ok(info) if info.is_dir() => bytes_on_disk(&path),
        info => info.unwrap().len(),
    };
    fs::read_dir(folder).unwrap().map(|entry| count(entry.unwrap().path())).sum()
}

//= ORCH-3416 type=test
#[test]
fn what_was_stored_is_read_back_with_all_that_was_said_about_it() {
    let folder = folder();
    let store = open(&folder);
    let labels = Labels {
        media_type: Some(MediaType::try_from("text/x-diff".to_owned()).unwrap()),
        name: Some(Name::try_from("../../etc/passwd".to_owned()).unwrap()),
        job: Some(job(7)),
    };
    let new = NewArtifact {
        kind: Kind::Diff,
        content: b"-a\n+b\n",
        created: WallMillis(5),
        labels,
        flush: Flush::Now,
    };
    let stored = store.put(&new).unwrap();
    assert!(stored.new);
    assert_eq!(stored.id, ArtifactId::of(b"-a\n+b\n"));
    let check = |store: &ArtifactStore| {
        let found = store.get(&stored.id).unwrap().unwrap();
        assert_eq!(found.content, b"-a\n+b\n");
        assert_eq!((found.meta.kind, found.meta.bytes), (Kind::Diff, 6));
        assert_eq!(found.meta.media_type, new.labels.media_type);
        assert_eq!(found.meta.name, new.labels.name);
        assert_eq!(found.meta.jobs, [job(7)]);
        assert_eq!(store.meta(&stored.id), Some(found.meta));
    };
    check(&store);
    drop(store);
    check(&open(&folder));
    assert!(path_of(folder.path(), stored.id).is_file());
}

//= ORCH-3416 type=test
#[test]
fn the_same_content_is_stored_once() {
    let folder = folder();
    let store = open(&folder);
    let id = put(&store, b"same", 1);
    let used = store.used_bytes();
    let again = store.put(&artifact(b"same", 1)).unwrap();
    assert_eq!((again.id, again.new), (id, false));
    assert_eq!(store.used_bytes(), used);
    assert_eq!(store.used_bytes(), bytes_on_disk(folder.path()));
    assert_eq!(store.list(Filter::default(), 9).len(), 1);
}

#[test]
fn an_unknown_id_is_no_error() {
    let folder = folder();
    let store = open(&folder);
    let id = ArtifactId::of(b"never stored");
    assert_eq!(store.get(&id).unwrap(), None);
    assert_eq!(store.meta(&id), None);
    assert!(!store.remove(&id).unwrap());
    assert!(matches!(store.pin(job(1), &id), Err(ArtifactError::Unknown { id: named }) if named == id));
}

#[test]
fn a_list_is_filtered_and_bounded_and_begins_with_the_latest() {
    let folder = folder();
    let store = open(&folder);
    for (kind, number, created) in [(Kind::Plan, 1, 10), (Kind::Logs, 1, 30), (Kind::Logs, 2, 20)] {
        let content = format!("{kind} {number}");
        let labels = Labels { job: Some(job(number)), ..Labels::default() };
        let created = WallMillis(created);
        store
            .put(&NewArtifact { kind, content: content.as_bytes(), created, labels, flush: Flush::Now })
            .unwrap();
    }
    let times = |kind, job, most| {
        let listed = store.list(Filter { kind, job }, most);
        listed.iter().map(|meta| meta.created.0).collect::<Vec<_>>()
    };
    assert_eq!(times(None, None, 9), [30, 20, 10]);
    assert_eq!(times(None, None, 2), [30, 20]);
    assert_eq!(times(Some(Kind::Logs), None, 9), [30, 20]);
    assert_eq!(times(None, Some(job(1)), 9), [30, 10]);
    assert_eq!(times(Some(Kind::Plan), Some(job(2)), 9), [] as [u64; 0]);
}

//= ORCH-3416 type=test
#[test]
fn an_artifact_larger_than_a_bound_is_refused_with_the_bound() {
    let folder = folder();
    let store = open(&folder);
    put(&store, &[1; 5000], 1);
    let refusal = store.put(&artifact(&[1; 5001], 1)).unwrap_err();
    assert_eq!(refusal.to_string(), "the artifact has 5001 bytes and artifact_bytes_max is 5000");
    drop(store);
    let store = ArtifactStore::open(folder.path(), Limits { artifact_bytes_max: 20_000, ..LIMITS }).unwrap();
    match store.put(&artifact(&[1; 10_000], 1)).unwrap_err() {
        ArtifactError::TooLarge { bytes, limit: LimitName::Quota, most: 10_000 } => assert!(bytes > 10_000),
        other => panic!("{other}"),
    }
    assert_eq!(store.list(Filter::default(), 9).len(), 1, "nothing had to go for what was refused");
}

//= ORCH-3416 type=test
#[test]
fn collecting_removes_what_is_too_old_and_nothing_else() {
    let folder = folder();
    let store = open(&folder);
    let old = put(&store, b"old", 100);
    let edge = put(&store, b"edge", 101);
    let ahead = put(&store, b"from a clock that ran ahead", u64::MAX);
    let before = store.used_bytes();
    let collected = store.collect(WallMillis(1101));
    assert_eq!((collected.removed, collected.failed), (1, 0));
    assert_eq!(collected.bytes, before - store.used_bytes());
    assert_eq!(store.used_bytes(), bytes_on_disk(folder.path()));
    assert_eq!(store.get(&old).unwrap(), None);
    assert!(store.get(&edge).unwrap().is_some());
    assert!(store.get(&ahead).unwrap().is_some());
    assert_eq!(store.collect(WallMillis(1101)), Collected::default());
}

#[test]
fn storing_again_starts_the_age_again() {
    let folder = folder();
    let store = open(&folder);
    let id = put(&store, b"wanted", 1);
    put(&store, b"wanted", 900);
    assert_eq!(store.collect(WallMillis(1500)).removed, 0);
    assert!(store.get(&id).unwrap().is_some());
}

//= ORCH-3416 type=test
#[test]
fn room_is_made_among_the_oldest() {
    let folder = folder();
    let store = open(&folder);
    let ids: Vec<_> = (0_u8..3).map(|n| put(&store, &[n; 3000], u64::from(3 - n))).collect();
    let stored = store.put(&artifact(&[9; 3000], 9)).unwrap();
    assert_eq!(stored.collected.removed, 1);
    assert!(store.meta(&ids[2]).is_none(), "the one of the earliest time goes");
    assert!(store.meta(&ids[0]).is_some() && store.meta(&ids[1]).is_some());
    assert!(store.used_bytes() <= LIMITS.quota_bytes);
    assert_eq!(store.used_bytes(), bytes_on_disk(folder.path()));
}

#[test]
fn the_number_of_artifacts_is_bounded() {
    let folder = folder();
    let store = open(&folder);
    for n in 0_u8..60 {
        put(&store, &[n], u64::from(n));
    }
    let listed = store.list(Filter::default(), 100);
    assert_eq!(listed.len(), LIMITS.count_max);
    assert_eq!(listed.last().unwrap().created, WallMillis(10));
}

#[test]
fn lower_bounds_hold_after_the_next_collection() {
    let folder = folder();
    let newest = {
        let store = open(&folder);
        put(&store, &[1; 3000], 1);
        put(&store, &[2; 3000], 2);
        put(&store, &[3; 3000], 3)
    };
    let lower = Limits { quota_bytes: 4000, artifact_bytes_max: 100, ..LIMITS };
    let store = ArtifactStore::open(folder.path(), lower).unwrap();
    assert_eq!(store.collect(WallMillis(3)).removed, 2);
    assert_eq!(store.get(&newest).unwrap().unwrap().content, [3; 3000], "what was let in stays readable");
}

//= ORCH-3416 type=test
#[test]
fn what_live_jobs_pin_is_neither_collected_nor_removed() {
    let folder = folder();
    let store = open(&folder);
    let pinned = put(&store, &[1; 4000], 1);
    let other = put(&store, &[2; 4000], 2);
    store.pin(job(1), &pinned).unwrap();
    store.pin(job(1), &pinned).unwrap();
    store.pin(job(2), &pinned).unwrap();
    put(&store, &[3; 4000], 3);
    assert!(store.meta(&other).is_none(), "the oldest is pinned, so the next one goes");
    assert_eq!(store.collect(WallMillis(9000)).removed, 1);
    assert!(matches!(store.remove(&pinned), Err(ArtifactError::Pinned { .. })));
    store.release(job(1));
    assert_eq!(store.collect(WallMillis(9000)).removed, 0, "the second job still needs it");
    store.release(job(2));
    assert_eq!(store.collect(WallMillis(9000)).removed, 1);
    assert_eq!((store.used_bytes(), bytes_on_disk(folder.path())), (0, 0));
}

#[test]
fn pins_that_fill_the_store_refuse_what_is_new_and_lose_nothing() {
    let folder = folder();
    let store = open(&folder);
    let pinned = [put(&store, &[1; 4500], 1), put(&store, &[2; 4500], 2)];
    for id in &pinned {
        store.pin(job(1), id).unwrap();
    }
    let refusal = store.put(&artifact(&[3; 4500], 3)).unwrap_err();
    assert!(matches!(refusal, ArtifactError::OverQuota { quota: 10_000, .. }), "{refusal}");
    assert!(pinned.iter().all(|id| store.get(id).unwrap().is_some()));
    let again = store.put(&artifact(&[1; 4500], 4)).unwrap();
    assert!(!again.new, "what is there already needs no room");
}

#[test]
fn one_job_pins_a_bounded_number() {
    let folder = folder();
    let limits = Limits { quota_bytes: 1 << 30, count_max: 2000, ..LIMITS };
    let store = ArtifactStore::open(folder.path(), limits).unwrap();
    let ids: Vec<_> = (0_u32..1025).map(|n| put(&store, &n.to_le_bytes(), 1)).collect();
    for id in &ids[..1024] {
        store.pin(job(1), id).unwrap();
    }
    store.pin(job(1), &ids[0]).unwrap();
    assert!(matches!(store.pin(job(1), &ids[1024]), Err(ArtifactError::TooManyPins { most: 1024 })));
    store.pin(job(2), &ids[1024]).unwrap();
}

#[test]
fn what_was_removed_is_gone_after_opening_again() {
    let folder = folder();
    let id = {
        let store = open(&folder);
        let id = put(&store, b"x", 1);
        assert!(store.remove(&id).unwrap());
        assert!(!store.remove(&id).unwrap());
        id
    };
    assert_eq!(open(&folder).get(&id).unwrap(), None);
}

#[test]
fn a_folder_has_one_store_at_a_time() {
    let folder = folder();
    let first = open(&folder);
    assert!(matches!(ArtifactStore::open(folder.path(), LIMITS), Err(ArtifactError::InUse { .. })));
    drop(first);
    open(&folder);
}

#[test]
fn content_under_another_digest_is_damaged() {
    let folder = folder();
    let store = open(&folder);
    let (one, other) = (put(&store, b"one", 1), put(&store, b"two", 1));
    fs::copy(path_of(folder.path(), one), path_of(folder.path(), other)).unwrap();
    let refusal = store.get(&other).unwrap_err();
    assert!(matches!(refusal, ArtifactError::Damaged { why: Damage::Digest, .. }), "{refusal}");
    assert_eq!(store.get(&one).unwrap().unwrap().content, b"one");
}

#[test]
fn a_damaged_file_is_set_aside_when_it_is_read_and_healed_when_it_is_stored_again() {
    let folder = folder();
    let store = open(&folder);
    let id = put(&store, b"content", 1);
    let path = path_of(folder.path(), id);
    let flip = || {
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
    };
    flip();
    assert_eq!(put(&store, b"content", 1), id);
    assert_eq!(store.get(&id).unwrap().unwrap().content, b"content");

    flip();
    store.get(&id).unwrap_err();
    assert!(!path.exists());
    assert_eq!(fs::read_dir(folder.path().join("damaged")).unwrap().count(), 1);
    assert_eq!(store.used_bytes(), 0);
}

#[test]
fn a_link_is_never_followed() {
    let (folder, outside) = (folder(), folder());
    let store = open(&folder);
    let id = put(&store, b"content", 1);
    let path = path_of(folder.path(), id);
    let target = outside.path().join("target");
    fs::rename(&path, &target).unwrap();
    symlink(&target, &path).unwrap();
    let refusal = store.get(&id).unwrap_err();
    assert!(matches!(refusal, ArtifactError::Damaged { why: Damage::NotAFile, .. }), "{refusal}");
    // Nor is a link in the place of a whole folder.
    let shard = path.parent().unwrap();
    fs::remove_dir_all(shard).unwrap();
    symlink(outside.path(), shard).unwrap();
    assert!(store.put(&artifact(b"content", 1)).is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "nothing was written outside");
    drop(store);
    assert_eq!(open(&folder).report().artifacts, 0);
}

#[test]
fn what_is_not_the_stores_is_left_alone() {
    let folder = folder();
    let id = put(&open(&folder), b"content", 1);
    let shard = path_of(folder.path(), id).parent().unwrap().to_owned();
    for stranger in [folder.path().join("notes.txt"), folder.path().join("zz"), shard.join("notes.txt")] {
        File::create(&stranger).unwrap();
    }
    let pipe = path_of(folder.path(), ArtifactId::of(b"pipe"));
    fs::create_dir_all(&pipe).unwrap();
    let store = open(&folder);
    assert_eq!((store.report().artifacts, store.report().ignored, store.report().damaged), (1, 3, 1));
    assert!(shard.join("notes.txt").is_file());
    assert!(!pipe.exists(), "a folder in the place of a file is set aside");
}

#[test]
fn a_file_of_a_newer_program_is_left_where_it_is() {
    let folder = folder();
    let id = put(&open(&folder), b"content", 1);
    let path = path_of(folder.path(), id);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    fs::write(&path, &bytes).unwrap();
    let store = open(&folder);
    assert_eq!(store.report().examples[0].why, Damage::Version(2));
    assert_eq!(store.get(&id).unwrap(), None);
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn many_damaged_files_are_reported_and_a_bounded_number_is_moved() {
    let folder = folder();
    for n in 0_u32..100 {
        let path = path_of(folder.path(), ArtifactId::of(&n.to_le_bytes()));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"rubbish").unwrap();
    }
    let store = open(&folder);
    assert_eq!((store.report().damaged, store.report().examples.len()), (100, 64));
    assert_eq!(fs::read_dir(folder.path().join("damaged")).unwrap().count(), 64);
    // What could not be moved is healed all the same.
    for n in 0_u32..50 {
        let id = put(&store, &n.to_le_bytes(), 1);
        assert_eq!(store.get(&id).unwrap().unwrap().content, n.to_le_bytes());
    }
}

#[test]
fn readers_and_writers_at_once_see_whole_artifacts() {
    let folder = folder();
    let store = open(&folder);
    let contents: Vec<Vec<u8>> = (0_u8..8).map(|n| vec![n; 2000]).collect();
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let (store, contents) = (&store, &contents);
            scope.spawn(move || {
                for round in 0..25_usize {
                    let content = &contents[(round * 3 + thread) % contents.len()];
                    let id = store.put(&artifact(content, round as u64)).unwrap().id;
                    if let Some(found) = store.get(&id).unwrap() {
                        assert_eq!(&found.content, content);
                    }
                    store.collect(WallMillis(0));
                }
            });
        }
    });
    assert!(store.used_bytes() <= LIMITS.quota_bytes);
    assert_eq!(store.used_bytes(), bytes_on_disk(folder.path()));
}

/// One call, in a random order with others.
#[derive(Debug, Clone)]
enum Call {
    Put(u8, u16, u64),
    Remove(u8, u16),
    Pin(u8, u16),
    Release,
    Collect(u64),
    Reopen,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => (0_u8..6, 0_u16..4, 0_u64..3000).prop_map(|(n, size, at)| Call::Put(n, size * 1500, at)),
        1 => (0_u8..6, 0_u16..4).prop_map(|(n, size)| Call::Remove(n, size * 1500)),
        1 => (0_u8..6, 0_u16..4).prop_map(|(n, size)| Call::Pin(n, size * 1500)),
        1 => Just(Call::Release),
        1 => (0_u64..5000).prop_map(Call::Collect),
        1 => Just(Call::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    //= ORCH-3416 type=test
    #[test]
    fn in_any_order_of_calls_the_bounds_hold_and_the_books_match_the_disk(
        calls in prop::collection::vec(call(), 1..40),
    ) {
        let folder = folder();
        let mut store = open(&folder);
        for call in calls {
            let of = |n: u8, size: u16| vec![n; usize::from(size)];
            match call {
                Call::Put(n, size, at) => match store.put(&artifact(&of(n, size), at)) {
                    Ok(stored) => {
                        let found = store.get(&stored.id).unwrap().unwrap();
                        prop_assert_eq!(found.content, of(n, size));
                    }
                    Err(error) => prop_assert!(matches!(error, ArtifactError::OverQuota { .. }), "{}", error),
                },
                Call::Remove(n, size) => {
                    let removed = store.remove(&ArtifactId::of(&of(n, size)));
                    prop_assert!(matches!(removed, Ok(_) | Err(ArtifactError::Pinned { .. })), "removed");
                }
                Call::Pin(n, size) => {
                    let pinned = store.pin(job(1), &ArtifactId::of(&of(n, size)));
                    prop_assert!(matches!(pinned, Ok(()) | Err(ArtifactError::Unknown { .. })), "pinned");
                }
                Call::Release => store.release(job(1)),
                Call::Collect(now) => prop_assert_eq!(store.collect(WallMillis(now)).failed, 0),
                Call::Reopen => {
                    let before = store.list(Filter::default(), 100);
                    drop(store);
                    store = open(&folder);
                    prop_assert_eq!(store.list(Filter::default(), 100), before);
                }
            }
            let used = store.used_bytes();
            prop_assert!(used <= LIMITS.quota_bytes);
            prop_assert_eq!(used, bytes_on_disk(folder.path()));
        }
    }
}

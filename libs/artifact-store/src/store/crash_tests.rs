//! A crash at any point of a put leaves the old state or the new one.

use std::{fs, path::Path, time::Duration};

use super::*;
use crate::{ArtifactError, meta::Labels};

const LIMITS: Limits = Limits {
    quota_bytes: 1 << 20,
    artifact_bytes_max: 1 << 16,
    age_max: Duration::from_secs(1000),
    count_max: 100,
};

fn artifact(content: &[u8], created: u64) -> NewArtifact<'_> {
    NewArtifact {
        kind: Kind::Logs,
        content,
        created: WallMillis(created),
        labels: Labels::default(),
        flush: Flush::Now,
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The states of the folder after each step of storing `new`.
fn states(store: &ArtifactStore, folder: &Path, new: &NewArtifact<'_>) -> Vec<(Step, tempfile::TempDir)> {
    let mut states = Vec::new();
    let keep = &mut |step| {
        let state = tempfile::tempdir().unwrap();
        copy(folder, state.path());
        states.push((step, state));
    };
    store.put_watched(new, keep).unwrap();
    states
}

fn unfinished_files(folder: &Path) -> usize {
    let folders = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = folders.filter(|path| path.is_dir()).flat_map(|path| fs::read_dir(path).unwrap());
    files.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().starts_with(".new-")).count()
}

//= ORCH-3416 type=test
#[test]
fn a_crash_while_new_content_is_stored_leaves_all_of_it_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(folder.path(), LIMITS).unwrap();
    let old = store.put(&artifact(b"old", 1)).unwrap().id;
    let content = vec![7; 5000];
    let id = ArtifactId::of(&content);
    let states = states(&store, folder.path(), &artifact(&content, 2));
    assert_eq!(states.len(), 5);
    for (step, state) in states {
        let store = ArtifactStore::open(state.path(), LIMITS).unwrap();
        let is_there = step == Step::Renamed;
        assert_eq!(store.report().unfinished, usize::from(!is_there), "{step:?}");
        assert_eq!(store.report().damaged, 0, "{step:?}");
        assert_eq!(unfinished_files(state.path()), 0, "{step:?}");
        assert_eq!(store.get(&old).unwrap().unwrap().content, b"old", "{step:?}");
        assert_eq!(store.get(&id).unwrap().map(|found| found.content), is_there.then(|| content.clone()));
        assert_eq!(store.put(&artifact(&content, 3)).unwrap().new, !is_there, "{step:?}");
        assert_eq!(store.get(&id).unwrap().unwrap().content, content, "{step:?}");
    }
}

//= ORCH-3416 type=test
#[test]
fn a_crash_while_content_is_stored_again_leaves_the_old_or_the_new_description() {
    let folder = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(folder.path(), LIMITS).unwrap();
    let id = store.put(&artifact(b"same", 1)).unwrap().id;
    for (step, state) in states(&store, folder.path(), &artifact(b"same", 2)) {
        let store = ArtifactStore::open(state.path(), LIMITS).unwrap();
        let found = store.get(&id).unwrap().unwrap();
        let expected = if step == Step::Renamed { 2 } else { 1 };
        assert_eq!(found.meta.created, WallMillis(expected), "{step:?}");
        assert_eq!(found.content, b"same", "{step:?}");
    }
}

#[test]
fn a_file_that_lost_its_end_is_set_aside_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let id = {
        let store = ArtifactStore::open(folder.path(), LIMITS).unwrap();
        store.put(&artifact(b"intact", 1)).unwrap();
        store.put(&artifact(b"content", 1)).unwrap().id
    };
    let (shard, name) = id.place();
    let whole = fs::read(folder.path().join(&shard).join(&name)).unwrap();
    for end in 0..whole.len() {
        let state = tempfile::tempdir().unwrap();
        copy(folder.path(), state.path());
        fs::write(state.path().join(&shard).join(&name), &whole[..end]).unwrap();
        let store = ArtifactStore::open(state.path(), LIMITS).unwrap();
        assert_eq!((store.report().artifacts, store.report().damaged), (1, 1), "{end}");
        assert_eq!(store.get(&id).unwrap(), None, "{end}");
        assert!(state.path().join("damaged").join(format!("{shard}{name}")).is_file(), "{end}");
        assert!(store.put(&artifact(b"content", 2)).unwrap().new, "{end}");
        assert_eq!(store.get(&id).unwrap().unwrap().content, b"content", "{end}");
    }
}

#[test]
fn no_flipped_bit_is_ever_answered() {
    let folder = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(folder.path(), LIMITS).unwrap();
    let id = store.put(&artifact(b"content", 1)).unwrap().id;
    let (shard, name) = id.place();
    let path = folder.path().join(shard).join(name);
    let whole = fs::read(&path).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut bad = whole.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bad).unwrap();
        let refusal = store.get(&id).unwrap_err();
        assert!(matches!(refusal, ArtifactError::Damaged { .. }), "bit {bit}: {refusal}");
        assert_eq!(store.get(&id).unwrap(), None, "bit {bit}");
        // Storing the content again heals it.
        store.put(&artifact(b"content", 1)).unwrap();
        assert_eq!(store.get(&id).unwrap().unwrap().content, b"content", "bit {bit}");
        if bit >= 60 * 8 {
            fs::remove_dir_all(folder.path().join("damaged")).ok();
        }
    }
}

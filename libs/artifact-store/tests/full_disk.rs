//! A disk without room: a file system of one MiB, in a mount namespace of its own.

use std::{env, fs, path::Path, process::Command, time::Duration};

use artifact_store::{
    ArtifactError, ArtifactId, ArtifactStore, Filter, Flush, Kind, Labels, Limits, NewArtifact, WallMillis,
};

/// Set in the child that sees the small file system.
const FOLDER: &str = "ARTIFACT_STORE_SMALL_DISK";
const SCRIPT: &str = "mount -t tmpfs -o size=1m none \"$1\" || exit 77; shift; exec \"$@\"";
const CANNOT_MOUNT: i32 = 77;

fn unshared(folder: &Path, command: &[&str]) -> Command {
    let mut shell = Command::new("unshare");
    shell.args(["-rm", "sh", "-c", SCRIPT, "sh"]).arg(folder).args(command).env(FOLDER, folder);
    shell
}

//= ORCH-3416 type=test
#[test]
fn a_full_disk_loses_nothing_and_stores_again_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let probe = unshared(folder.path(), &["true"]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        println!("skipped: no small file system can be mounted here");
        return;
    }
    let this = env::current_exe().unwrap();
    let name = "the_child_that_fills_its_disk";
    let child = unshared(folder.path(), &[this.to_str().unwrap(), name, "--exact", "--ignored"]);
    let output = { child }.output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_ne!(output.status.code(), Some(CANNOT_MOUNT), "{shown}");
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("1 passed"), "{shown}");
}

fn new(content: &[u8]) -> NewArtifact<'_> {
    NewArtifact {
        kind: Kind::Logs,
        content,
        created: WallMillis(1),
        labels: Labels::default(),
        flush: Flush::Now,
    }
}

#[test]
#[ignore = "the test above runs it where the disk is small"]
fn the_child_that_fills_its_disk() {
    let folder = env::var_os(FOLDER).expect("the test above names the folder");
    let limits = Limits {
        quota_bytes: 1 << 30,
        artifact_bytes_max: 1 << 29,
        age_max: Duration::from_secs(1),
        count_max: 1000,
    };
    let content = |n: u8| vec![n; 200_000];
    let store = ArtifactStore::open(Path::new(&folder), limits).unwrap();
    let mut stored: Vec<(u8, ArtifactId)> = Vec::new();
    let refused = (0_u8..10).find(|n| match store.put(&new(&content(*n))) {
        Ok(it) => {
            stored.push((*n, it.id));
            false
        }
        Err(error) => {
            assert!(matches!(error, ArtifactError::Full), "{error}");
            true
        }
    });
    let refused = refused.expect("ten times 200 kB do not fit into one MiB");
    assert!(stored.len() >= 3, "{}", stored.len());

    // A second failure, and still nothing is lost, nothing half-written stays.
    assert!(matches!(store.put(&new(&content(refused))), Err(ArtifactError::Full)));
    assert_eq!(store.list(Filter::default(), 100).len(), stored.len());
    for (n, id) in &stored {
        assert_eq!(store.get(id).unwrap().unwrap().content, content(*n));
    }
    let files: usize = fs::read_dir(&folder)
        .unwrap()
        .map(|shard| fs::read_dir(shard.unwrap().path()).unwrap().count())
        .sum();
    assert_eq!(files, stored.len());

    // With room again, it works again.
    assert!(store.remove(&stored[0].1).unwrap());
    let id = store.put(&new(&content(refused))).unwrap().id;
    assert_eq!(store.get(&id).unwrap().unwrap().content, content(refused));
}

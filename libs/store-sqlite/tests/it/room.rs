//! A disk without room.

use std::process::Command;

use store_api::{Applied, Body, Change, JobKey, NewJob, OwnerId, Store, StoreError};
use store_sqlite::SqliteStore;
use tempfile::TempDir;

/// A small disk of its own, where this process may mount one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

//= ORCH-3401 type=test
#[tokio::test]
async fn a_full_disk_refuses_keeps_what_it_has_and_works_again_when_there_is_room() {
    // S05
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: this process may not mount a small disk");
        return;
    };
    let folder = disk.0.path();
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![0; 640 * 1_024]).unwrap();
    let store = SqliteStore::open(folder).unwrap();
    let accept = |key| {
        Change::Accept(NewJob { key: JobKey(key), owner: OwnerId(1), body: Body::from(vec![b'x'; 20_000]) })
    };
    let mut kept = 0;
    let refused = loop {
        match store.commit(&[accept(kept)]).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, StoreError::Full);
    assert!(kept > 3, "{kept}");
    assert_eq!(store.commit(&[accept(kept)]).await, Err(StoreError::Full));
    std::fs::remove_file(ballast).unwrap();
    let again = store.commit(&[accept(kept)]).await.unwrap();
    assert!(matches!(again[..], [Applied::Accepted { .. }]));
    drop(store);
    let store = SqliteStore::open(folder).unwrap();
    let jobs = store.claim(OwnerId(2), usize::MAX).await.unwrap();
    let keys: Vec<_> = jobs.iter().map(|job| job.key.0).collect();
    assert_eq!(keys, (0..=kept).collect::<Vec<_>>());
}

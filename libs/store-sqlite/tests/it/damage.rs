//! Files that are not as they were written.

use std::{collections::BTreeMap, fs, path::Path};

use store_api::{
    Applied, Body, Change, Fence, JobKey, NewJob, OwnerId, RecordKey, Segment, Shelf, Store, StoredJob,
    WallMillis,
};
use store_sqlite::{OpenError, SqliteStore, repair};
use tempfile::TempDir;

use crate::suite::copy;

const ME: OwnerId = OwnerId(1);
const LATER: OwnerId = OwnerId(2);

/// What a store tells of everything it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Told {
    jobs: BTreeMap<JobKey, (StoredJob, Vec<Segment>)>,
    records: BTreeMap<String, Body>,
}

impl Told {
    async fn by(store: &dyn Store) -> Result<Self, store_api::StoreError> {
        let mut told = Self::default();
        let mut jobs = store.claim(LATER, usize::MAX).await?;
        for job in &mut jobs {
            job.fence = Fence(1);
        }
        jobs.extend(store.ended(None, 9_999).await?);
        for job in jobs {
            let stream = store.stream(job.key).await?;
            told.jobs.insert(job.key, (job, stream));
        }
        for record in store.records(Shelf::Sessions).await? {
            told.records.insert(record.name.to_string(), record.body);
        }
        Ok(told)
    }

    /// Whether all of it stands like this in one of the states, be it not in the same one.
    fn was_true(&self, history: &[Self]) -> bool {
        self.jobs.iter().all(|(key, (job, stream))| {
            history.iter().any(|state| {
                state.jobs.get(key).is_some_and(|(known, parts)| known == job && parts.starts_with(stream))
            })
        }) && self.records.iter().all(|it| history.iter().any(|state| state.records.get(it.0) == Some(it.1)))
    }
}

/// Leaves old frames behind the end of the log.
const FULL: &str = "FULL";
/// Lets the log end where the file ends.
const TRUNCATE: &str = "TRUNCATE";

/// A folder with a life behind it, part of it in the database and part in the log, and its states.
async fn lived(checkpoint: &str) -> (TempDir, Vec<Told>) {
    let running = TempDir::new().unwrap();
    let left = TempDir::new().unwrap();
    let mut history = vec![Told::default()];
    let store = SqliteStore::open(running.path()).unwrap();
    let body = |text: String| Body::from(text.repeat(30));
    for number in 0..8_u32 {
        let (job, fence) = (JobKey(u128::from(number) + 1), Fence(1));
        let mut state = history.last().unwrap().clone();
        let accept = Change::Accept(NewJob { key: job, owner: ME, body: body(format!("asked {number} ")) });
        let Applied::Accepted { rank, .. } = store.commit(&[accept]).await.unwrap()[0] else { panic!() };
        let mut kept = StoredJob {
            key: job,
            rank,
            fence,
            ids_reserved: 0,
            ended: None,
            body: body(format!("asked {number} ")),
            note: None,
        };
        state.jobs.insert(job, (kept.clone(), Vec::new()));
        history.push(state.clone());
        let segment = Segment { first_id: 0, events: 3, frames: body(format!("frames {number} ")) };
        let record = RecordKey { shelf: Shelf::Sessions, name: format!("s{number}").into() };
        let rest = [
            Change::Note { job, fence, note: body("note".to_owned()), ids_reserved: 64 },
            Change::Append { job, fence, segment: segment.clone() },
            Change::Put { record, body: body(format!("left {number} ")) },
        ];
        store.commit(&rest).await.unwrap();
        (kept.note, kept.ids_reserved) = (Some(body("note".to_owned())), 64);
        state.records.insert(format!("s{number}"), body(format!("left {number} ")));
        state.jobs.insert(job, (kept.clone(), vec![segment.clone()]));
        history.push(state.clone());
        if number % 3 == 0 {
            let end = Change::End { job, fence, at: WallMillis(7), body: body(format!("ended {number} ")) };
            store.commit(&[end]).await.unwrap();
            (kept.ended, kept.note, kept.body) =
                (Some(WallMillis(7)), None, body(format!("ended {number} ")));
            state.jobs.insert(job, (kept, vec![segment]));
            history.push(state);
        }
        if number == 4 {
            let file = running.path().join("jobs.db");
            let other = rusqlite::Connection::open(file).unwrap();
            other.query_row(&format!("PRAGMA wal_checkpoint({checkpoint})"), [], |_| Ok(())).unwrap();
        }
    }
    copy(running.path(), left.path());
    (left, history)
}

enum Seen {
    Refused,
    Served(Told),
}

async fn open(folder: &Path) -> Seen {
    match SqliteStore::open(folder) {
        Ok(store) => match Told::by(&store).await {
            Ok(told) => Seen::Served(told),
            Err(_) => Seen::Refused,
        },
        Err(OpenError::Damaged { .. } | OpenError::Newer { .. }) => Seen::Refused,
        Err(other) => panic!("{other}"),
    }
}

/// Damages a copy, opens it, repairs it, and holds what is told against the history.
async fn check(from: &Path, history: &[Told], what: &str, damage: impl FnOnce(&Path)) -> Seen {
    let folder = TempDir::new().unwrap();
    copy(from, folder.path());
    damage(folder.path());
    let seen = open(folder.path()).await;
    match &seen {
        Seen::Served(told) => assert!(history.contains(told), "{what}: a state that never was: {told:#?}"),
        Seen::Refused => {
            let report = repair(folder.path()).unwrap();
            let Seen::Served(told) = open(folder.path()).await else {
                panic!("{what}: repaired and refused")
            };
            assert!(told.was_true(history), "{what}: {report}: {told:#?}");
            let full = history.last().unwrap();
            assert!(told == *full || !report.lost.is_empty(), "{what}: lost in silence: {report}");
        }
    }
    seen
}

/// Every so many bytes of a file.
fn each(folder: &Path, file: &str, step: usize) -> Vec<usize> {
    let length = usize::try_from(fs::metadata(folder.join(file)).unwrap().len()).unwrap();
    (0..length).step_by(step).collect()
}

fn cut(folder: &Path, file: &str, at: usize) {
    let file = fs::OpenOptions::new().write(true).open(folder.join(file)).unwrap();
    file.set_len(at as u64).unwrap();
}

fn flip(folder: &Path, file: &str, at: usize) {
    let mut bytes = fs::read(folder.join(file)).unwrap();
    bytes[at] ^= 1 << (at % 8);
    fs::write(folder.join(file), bytes).unwrap();
}

//= ORCH-3402 type=test
#[tokio::test]
async fn a_database_or_log_that_was_cut_serves_a_state_that_was_or_nothing() {
    // S03
    let (folder, history) = lived(FULL).await;
    let (mut served, mut refused) = (0, 0);
    for file in ["jobs.db", "jobs.db-wal"] {
        for at in each(folder.path(), file, 512) {
            match check(folder.path(), &history, &format!("{file} cut at {at}"), |at_| cut(at_, file, at))
                .await
            {
                Seen::Served(_) => served += 1,
                Seen::Refused => refused += 1,
            }
        }
    }
    println!("cuts: {served} served, {refused} refused");
    assert!(served > 0 && refused > 0);
}

//= ORCH-3402 type=test
#[tokio::test]
async fn a_log_cut_at_any_byte_of_its_last_commit_loses_that_commit_and_no_other() {
    // S03
    let (folder, history) = lived(TRUNCATE).await;
    let length = each(folder.path(), "jobs.db-wal", 1).len();
    let (last, before) = (history.last().unwrap(), &history[history.len() - 2]);
    let frame = 4_096 + 24;
    for at in length - frame..length {
        let what = format!("cut at {at}");
        let Seen::Served(told) = check(folder.path(), &history, &what, |it| cut(it, "jobs.db-wal", at)).await
        else {
            panic!("{what}: refused")
        };
        assert!(told == *before && told != *last, "{what}");
    }
}

//= ORCH-3402 type=test
#[tokio::test]
async fn a_flipped_bit_is_found_wherever_it_is() {
    // S04
    let (folder, history) = lived(FULL).await;
    let (mut served, mut refused) = (0, 0);
    for file in ["jobs.db", "jobs.db-wal"] {
        for stretch in each(folder.path(), file, 64) {
            let at = stretch + stretch / 64 % 64;
            if at >= each(folder.path(), file, 1).len() {
                continue;
            }
            match check(folder.path(), &history, &format!("{file} flipped at {at}"), |it| flip(it, file, at))
                .await
            {
                Seen::Served(_) => served += 1,
                Seen::Refused => refused += 1,
            }
        }
    }
    println!("flips: {served} served, {refused} refused");
    assert!(served > 0 && refused > 0);
}

#[tokio::test]
async fn a_repair_keeps_the_damaged_files_and_says_where() {
    let (folder, history) = lived(FULL).await;
    cut(folder.path(), "jobs.db", 8_192);
    let before = fs::read(folder.path().join("jobs.db")).unwrap();
    let report = repair(folder.path()).unwrap();
    assert_eq!(fs::read(report.aside.join("jobs.db")).unwrap(), before);
    assert!(report.to_string().contains("damaged-1"), "{report}");
    let Seen::Served(told) = open(folder.path()).await else { panic!("refused") };
    assert!(told.was_true(&history));
}

//= ORCH-3400 type=test
#[tokio::test]
async fn a_move_of_the_log_that_was_cut_anywhere_loses_nothing() {
    // S09
    let (folder, history) = lived(TRUNCATE).await;
    let log = fs::read(folder.path().join("jobs.db-wal")).unwrap();
    // What a move writes: the newest image of each page, in the order of the pages.
    let mut pages = BTreeMap::new();
    for frame in log[32..].chunks_exact(24 + 4_096) {
        let page = u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize;
        pages.insert(page, frame[24..].to_vec());
    }
    assert!(pages.len() > 4, "{}", pages.len());
    for moved in 0..=pages.len() {
        for torn in [0, 512, 2_048] {
            let what = format!("{moved} pages and {torn} bytes moved");
            let seen = check(folder.path(), &history, &what, |copy| {
                let mut database = fs::read(copy.join("jobs.db")).unwrap();
                for (index, (page, image)) in pages.iter().take(moved + 1).enumerate() {
                    let length = if index < moved { image.len() } else { torn };
                    let at = (page - 1) * 4_096;
                    database.resize(database.len().max(at + length), 0);
                    database[at..at + length].copy_from_slice(&image[..length]);
                }
                fs::write(copy.join("jobs.db"), database).unwrap();
            });
            let Seen::Served(told) = seen.await else { panic!("{what}: refused") };
            assert!(told == *history.last().unwrap(), "{what}");
        }
    }
}

//= ORCH-3402 type=test
#[tokio::test]
async fn what_stands_in_the_wrong_place_hides_nothing_in_silence() {
    const STRETCHES: usize = 500;
    const STRETCH: usize = 841;
    let (left, history) = lived(TRUNCATE).await;
    // Without the log the database is a state of its own.
    fs::remove_file(left.path().join("jobs.db-wal")).unwrap();
    let whole = fs::read(left.path().join("jobs.db")).unwrap();
    let page = usize::from(whole[16]) << 8 | usize::from(whole[17]);
    let pages = whole.len() / page;
    let whole_pages = (0..pages * pages).map(|it| (it / pages * page, it % pages * page, page));
    // Anywhere, as if chance had chosen.
    let parts = (0..STRETCHES)
        .map(|it| (it * 7_919 % (whole.len() - STRETCH), it * 104_729 % (whole.len() - STRETCH), STRETCH));
    let mut refused = 0;
    for (from, to, length) in whole_pages.chain(parts) {
        let folder = TempDir::new().unwrap();
        let mut bytes = whole.clone();
        bytes.copy_within(from..from + length, to);
        fs::write(folder.path().join("jobs.db"), bytes).unwrap();
        let what = format!("{length} bytes from {from} at {to}");
        if let Seen::Served(told) = open(folder.path()).await {
            assert!(history.contains(&told), "{what}: {told:#?}");
            continue;
        }
        refused += 1;
        let report = repair(folder.path()).unwrap();
        let Seen::Served(told) = open(folder.path()).await else { panic!("{what}: {report}") };
        assert!(told.was_true(&history), "{what}: {told:#?}");
        assert!(history.contains(&told) || !report.lost.is_empty(), "{what}: lost in silence: {report}");
    }
    assert!(refused > pages, "{refused} were refused");
}

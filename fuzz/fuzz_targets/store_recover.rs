//! A store whose files are damaged serves a state that it was in, or nothing until it is repaired; and a repair finds
//! only what was written, and finds the same a second time.
#![no_main]

use std::{collections::BTreeMap, fs, path::Path, sync::OnceLock};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use store_api::{
    Applied, Body, Change, Fence, JobKey, NewJob, OwnerId, RecordKey, Segment, Shelf, Store, StoreError,
    StoredJob, WallMillis,
};
use store_sqlite::{OpenError, SqliteStore, repair};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

const DATABASE: &str = "jobs.db";
const LOG: &str = "jobs.db-wal";
const DAMAGES_MAX: usize = 6;

fuzz_target!(|damages: Vec<Damage>| {
    let life = life();
    let folder = folder();
    let mut files = life.files.clone();
    for damage in damages.iter().take(DAMAGES_MAX) {
        damage.strike(&mut files);
    }
    for (name, bytes) in [DATABASE, LOG].into_iter().zip(&files) {
        fs::write(folder.path().join(name), bytes).expect("a file can be written");
    }
    let seen = open(folder.path(), OwnerId(2));
    if let Some(told) = &seen {
        assert!(life.history.contains(told), "a state that never was: {told:#?}");
        assert_eq!(
            open(folder.path(), OwnerId(3)).as_ref(),
            Some(told),
            "it tells something else the second time"
        );
        return;
    }
    let report = repair(folder.path()).expect("a repair ends");
    let told = open(folder.path(), OwnerId(3)).expect("what was repaired is served");
    assert!(told.was_true(&life.history), "{report}: {told:#?}");
    // A log that ends early cannot be told from one that was never longer: then an earlier state is whole.
    let whole =
        if damages.len() == 1 { life.history.last() == Some(&told) } else { life.history.contains(&told) };
    assert!(whole || !report.lost.is_empty(), "lost in silence: {report}");
    let again = repair(folder.path()).expect("a repair ends");
    assert!(again.lost.is_empty(), "a repaired store is not whole: {again}");
    assert_eq!(open(folder.path(), OwnerId(4)).as_ref(), Some(&told), "a second repair changed something");
});

#[derive(Debug, Arbitrary)]
struct Damage {
    of_log: bool,
    at: u32,
    how: How,
}

#[derive(Debug, Arbitrary)]
enum How {
    Flip(u8),
    Set(u8),
    Zero(u16),
    Cut,
    Grow(Vec<u8>),
    /// A stretch of the file stands where another should.
    Move {
        from: u32,
        length: u16,
    },
}

impl Damage {
    fn strike(&self, files: &mut [Vec<u8>; 2]) {
        let bytes = &mut files[usize::from(self.of_log)];
        let Some(at) = (self.at as usize).checked_rem(bytes.len()) else { return };
        match &self.how {
            How::Flip(bit) => bytes[at] ^= 1 << (bit % 8),
            How::Set(value) => bytes[at] = *value,
            How::Zero(length) => {
                let end = bytes.len().min(at + usize::from(*length));
                bytes[at..end].fill(0);
            }
            How::Cut => bytes.truncate(at),
            How::Grow(more) => bytes.extend_from_slice(more),
            How::Move { from, length } => {
                let from = *from as usize % bytes.len();
                let end = bytes.len().min(from + usize::from(*length)).min(from + bytes.len() - at);
                bytes.copy_within(from..end, at);
            }
        }
    }
}

/// The files of a store with a life behind it, part of it in the database and part in the log, and its states.
struct Life {
    files: [Vec<u8>; 2],
    history: Vec<Told>,
}

fn life() -> &'static Life {
    static LIFE: OnceLock<Life> = OnceLock::new();
    LIFE.get_or_init(|| runtime().block_on(lived()))
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Builder::new_current_thread().build().expect("a runtime can be built"))
}

/// A fresh folder, in memory where there is such a place.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    made.expect("a folder can be made")
}

/// What a store tells of everything it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Told {
    jobs: BTreeMap<JobKey, (StoredJob, Vec<Segment>)>,
    records: BTreeMap<String, Body>,
}

impl Told {
    async fn by(store: &dyn Store, me: OwnerId) -> Result<Self, StoreError> {
        let mut told = Self::default();
        let mut jobs = store.claim(me, usize::MAX).await?;
        jobs.extend(store.ended(None, 9_999).await?);
        for mut job in jobs {
            // It rises with each owner.
            job.fence = Fence::FIRST;
            let stream = store.stream(job.key).await?;
            told.jobs.insert(job.key, (job, stream));
        }
        for record in store.records(Shelf::Sessions).await? {
            told.records.insert(record.name.to_string(), record.body);
        }
        Ok(told)
    }

    /// Whether each thing in it was so once, be it not all at the same time.
    fn was_true(&self, history: &[Self]) -> bool {
        let job_was = |job: &StoredJob, stream: &[Segment]| {
            let known = |state: &Self| {
                let kept = state.jobs.get(&job.key);
                kept.is_some_and(|(known, parts)| {
                    known == job && parts.iter().filter(|it| stream.contains(it)).eq(stream)
                })
            };
            history.iter().any(known)
        };
        self.jobs.values().all(|(job, stream)| job_was(job, stream))
            && self
                .records
                .iter()
                .all(|(name, body)| history.iter().any(|state| state.records.get(name) == Some(body)))
    }
}

/// What is served; `None` when it is refused as damaged.
fn open(folder: &Path, me: OwnerId) -> Option<Told> {
    match SqliteStore::open(folder) {
        Ok(store) => match runtime().block_on(Told::by(&store, me)) {
            Ok(told) => Some(told),
            Err(StoreError::Damaged { .. } | StoreError::Fatal { .. }) => None,
            Err(other) => panic!("{other}"),
        },
        Err(OpenError::Damaged { .. } | OpenError::Newer { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

fn body(text: &str, times: usize) -> Body {
    Body::from(text.repeat(times))
}

async fn lived() -> Life {
    let folder = folder();
    let mut history = vec![Told::default()];
    let mut store = SqliteStore::open(folder.path()).expect("a new store opens");
    for number in 0..10 {
        if number == 6 {
            // Closing moves the log into the database.
            drop(store);
            store = SqliteStore::open(folder.path()).expect("it opens again");
        }
        live(&store, number, &mut history).await;
    }
    let read = |name| fs::read(folder.path().join(name)).expect("its files can be read");
    let files = [read(DATABASE), read(LOG)];
    assert!(files.iter().all(|bytes| bytes.len() > 8_192));
    Life { files, history }
}

/// One job comes in, says something, and ends or goes on.
async fn live(store: &SqliteStore, number: u32, history: &mut Vec<Told>) {
    let (job, fence) = (JobKey(u128::from(number) + 1), Fence::FIRST);
    let mut state = history.last().cloned().unwrap_or_default();
    // Some are longer than a page.
    let asked = body(&format!("asked {number} "), if number % 4 == 1 { 900 } else { 30 });
    let accept = Change::Accept(NewJob { key: job, owner: OwnerId(1), body: asked.clone() });
    let applied = store.commit(&[accept]).await.expect("it is written");
    let Applied::Accepted { rank, .. } = applied[0] else { panic!("{applied:?}") };
    let mut kept = StoredJob { key: job, rank, fence, ids_reserved: 0, ended: None, body: asked, note: None };
    state.jobs.insert(job, (kept.clone(), Vec::new()));
    history.push(state.clone());
    let name = format!("s{}", number % 3);
    let (note, left) = (body("note ", 9), body(&format!("left {number} "), 20));
    let segment = Segment { first_id: 0, events: 3, frames: body(&format!("frames {number} "), 40) };
    let changes = [
        Change::Note { job, fence, note: note.clone(), ids_reserved: 64 },
        Change::Append { job, fence, segment: segment.clone() },
        Change::Put {
            record: RecordKey { shelf: Shelf::Sessions, name: name.as_str().into() },
            body: left.clone(),
        },
    ];
    store.commit(&changes).await.expect("it is written");
    (kept.note, kept.ids_reserved) = (Some(note), 64);
    state.records.insert(name, left);
    state.jobs.insert(job, (kept.clone(), vec![segment.clone()]));
    history.push(state.clone());
    if number.is_multiple_of(3) {
        let ended = body(&format!("ended {number} "), 25);
        let end = Change::End { job, fence, at: WallMillis(7), body: ended.clone() };
        store.commit(&[end]).await.expect("it is written");
        (kept.ended, kept.note, kept.body) = (Some(WallMillis(7)), None, ended);
        state.jobs.insert(job, (kept, vec![segment]));
        history.push(state.clone());
    }
    if number == 4 {
        store.commit(&[Change::Forget { job: JobKey(1), fence }]).await.expect("it is written");
        state.jobs.remove(&JobKey(1));
        history.push(state);
    }
}

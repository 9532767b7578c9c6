//! The way to the store: whoever has something to keep leaves it here and goes on.
//!
//! One task takes all that waits into one commit, and then tells those who wait for it, in the order in which
//! they came. So what was left first is on the disk first, and a slow disk makes commits larger and not the
//! scheduler slower.
//!
//! Invariant: what depends on a change being kept happens in its `then`, and nowhere else.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::Mutex;
use store_api::{Applied, Change, Store, StoreError, commit_surely};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tracing::{error, info, warn};

use crate::metrics::Metrics;

/// A commit takes no more than this, so that a long line does not wait for one giant write.
const CHANGES_MAX: usize = 4_096;
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// When so much waits, nothing new comes in.
const WAITING_MAX: usize = 65_536;
/// How long the store is left alone that had no room.
const PAUSE: Duration = Duration::from_millis(200);

/// What happens when it is known whether a change was kept.
pub(crate) type Then = Box<dyn FnOnce(Result<Applied, StoreError>) + Send>;

/// What waits to be kept.
#[derive(Default)]
pub(crate) struct Journal {
    waiting: Mutex<VecDeque<Item>>,
    arrived: Notify,
    drained: Notify,
}

struct Item {
    change: Change,
    then: Option<Then>,
    /// The next one is kept in the same commit.
    with_next: bool,
}

impl Journal {
    /// Leaves a change of which nobody has to hear.
    pub(crate) fn push(&self, change: Change) {
        self.leave(Item { change, then: None, with_next: false });
    }

    /// Leaves a change, and what is to be done when it is kept. `then` must not wait.
    pub(crate) fn push_then(
        &self,
        change: Change,
        then: impl FnOnce(Result<Applied, StoreError>) + Send + 'static,
    ) {
        self.leave(Item { change, then: Some(Box::new(then)), with_next: false });
    }

    /// Leaves two changes of which none may be kept without the other, and what is to be done when they are.
    pub(crate) fn push_both_then(
        &self,
        (first, second): (Change, Change),
        then: impl FnOnce(Result<Applied, StoreError>) + Send + 'static,
    ) {
        let first = Item { change: first, then: None, with_next: true };
        let second = Item { change: second, then: Some(Box::new(then)), with_next: false };
        self.waiting.lock().extend([first, second]);
        self.arrived.notify_one();
    }

    fn leave(&self, item: Item) {
        self.waiting.lock().push_back(item);
        self.arrived.notify_one();
    }

    /// Whether the store keeps up, so that something new may come in.
    pub(crate) fn keeps_up(&self) -> bool {
        self.waiting.lock().len() < WAITING_MAX
    }

    /// Waits until all that was left is kept.
    pub(crate) async fn flushed(&self) {
        loop {
            let drained = self.drained.notified();
            if self.waiting.lock().is_empty() {
                return;
            }
            drained.await;
        }
    }

    /// Keeps what is left here. Ends only when the store can no longer be trusted.
    pub(crate) async fn run(self: Arc<Self>, store: Arc<dyn Store>, metrics: Arc<Metrics>) -> StoreError {
        let mut trouble = false;
        loop {
            let count = self.next_batch();
            if count == 0 {
                self.drained.notify_waiters();
                self.arrived.notified().await;
                continue;
            }
            // The items stay where they are until they are kept: `flushed` looks at them.
            let changes: Vec<Change> =
                self.waiting.lock().iter().take(count).map(|item| item.change.clone()).collect();
            let began = Instant::now();
            match commit_surely(&*store, &changes).await {
                Ok(applied) => {
                    metrics.committed(count, began.elapsed());
                    if std::mem::take(&mut trouble) {
                        info!(target: "orchestratord::journal", "the store keeps again what it is given");
                    }
                    self.told(applied.into_iter().map(Ok));
                }
                Err(error @ (StoreError::Full | StoreError::Unavailable { .. } | StoreError::Unknown)) => {
                    if !std::mem::replace(&mut trouble, true) {
                        warn!(target: "orchestratord::journal", %error, "the store cannot keep anything now");
                    }
                    metrics.commit_failed();
                    self.refuse_newcomers(&error);
                    sleep(PAUSE).await;
                }
                Err(error @ (StoreError::Damaged { .. } | StoreError::Fatal { .. })) => {
                    error!(target: "orchestratord::journal", %error, "the store failed for good");
                    return error;
                }
            }
        }
    }

    /// How many items the next commit takes.
    fn next_batch(&self) -> usize {
        let waiting = self.waiting.lock();
        let mut bytes = 0;
        let fits = |item: &&Item| {
            let before = bytes;
            bytes += size(&item.change);
            before < BYTES_MAX
        };
        let fitting = waiting.iter().take(CHANGES_MAX).take_while(fits).count();
        // One more, where the last one does not come without it.
        let last = fitting.checked_sub(1).and_then(|last| waiting.get(last));
        let torn = last.is_some_and(|last| last.with_next);
        fitting + usize::from(torn)
    }

    /// The first items are kept.
    fn told(&self, applied: impl ExactSizeIterator<Item = Result<Applied, StoreError>>) {
        let done: Vec<Item> = self.waiting.lock().drain(..applied.len()).collect();
        for (item, result) in done.into_iter().zip(applied) {
            if let Some(then) = item.then {
                then(result);
            }
        }
    }

    /// Jobs that want to come in do not wait for room. Everything else is tried again.
    fn refuse_newcomers(&self, error: &StoreError) {
        let mut refused = Vec::new();
        self.waiting.lock().retain_mut(|item| match item.change {
            Change::Accept(_) => {
                refused.extend(item.then.take());
                false
            }
            _ => true,
        });
        for then in refused {
            then(Err(error.clone()));
        }
    }
}

fn size(change: &Change) -> usize {
    match change {
        Change::Accept(new) => new.body.len(),
        Change::Note { note, .. } => note.len(),
        Change::Append { segment, .. } => segment.frames.len(),
        Change::End { body, .. } | Change::Put { body, .. } => body.len(),
        Change::Trim { .. } | Change::Forget { .. } | Change::Remove(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use store_api::{
        Body, Fence, JobKey, MemoryStore, NewJob, OwnerId, Rank, Segment, Shelf, StoredJob, StoredRecord,
    };
    use tokio::time::timeout;

    use super::*;

    /// A store in memory whose commits go wrong as told, and then work.
    #[derive(Debug, Default)]
    struct Sick {
        store: MemoryStore,
        errors: Mutex<Vec<StoreError>>,
        commits: AtomicUsize,
    }

    #[async_trait]
    impl Store for Sick {
        async fn commit(&self, changes: &[Change]) -> Result<Vec<Applied>, StoreError> {
            self.commits.fetch_add(1, Ordering::SeqCst);
            let error = self.errors.lock().pop();
            match error {
                Some(error) => Err(error),
                None => self.store.commit(changes).await,
            }
        }
        async fn claim(&self, owner: OwnerId, most: usize) -> Result<Vec<StoredJob>, StoreError> {
            self.store.claim(owner, most).await
        }
        async fn ended(&self, before: Option<Rank>, most: usize) -> Result<Vec<StoredJob>, StoreError> {
            self.store.ended(before, most).await
        }
        async fn stream(&self, job: JobKey) -> Result<Vec<Segment>, StoreError> {
            self.store.stream(job).await
        }
        async fn records(&self, on: Shelf) -> Result<Vec<StoredRecord>, StoreError> {
            self.store.records(on).await
        }
    }

    fn accept(key: u128) -> Change {
        Change::Accept(NewJob { key: JobKey(key), owner: OwnerId(1), body: Body::from_static(b"{}") })
    }

    fn note(key: u128) -> Change {
        let note = Body::from_static(b"n");
        Change::Note { job: JobKey(key), fence: Fence::FIRST, note, ids_reserved: 1 }
    }

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new())
    }

    type Told = Arc<Mutex<Vec<(u128, bool)>>>;

    fn tell(told: &Told, key: u128) -> impl FnOnce(Result<Applied, StoreError>) + Send + 'static {
        let told = Arc::clone(told);
        move |result| told.lock().push((key, result.is_ok()))
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_waits_is_one_commit_and_is_told_in_its_order() {
        let (journal, store, told) =
            (Arc::new(Journal::default()), Arc::new(Sick::default()), Told::default());
        for key in 0..100 {
            journal.push_then(accept(key), tell(&told, key));
        }
        let running = Arc::clone(&journal).run(Arc::clone(&store) as Arc<dyn Store>, metrics());
        tokio::select! {
            _ = running => panic!("it ended"),
            () = journal.flushed() => {}
        }
        assert_eq!(store.commits.load(Ordering::SeqCst), 1);
        assert_eq!(*told.lock(), (0..100).map(|key| (key, true)).collect::<Vec<_>>());
    }

    //= ORCH-3405 type=test
    #[test]
    fn what_belongs_together_is_never_cut_by_a_full_commit() {
        for before in [0, 1, CHANGES_MAX - 2, CHANGES_MAX - 1, CHANGES_MAX] {
            let (journal, told) = (Journal::default(), Told::default());
            for _ in 0..before {
                journal.push(note(1));
            }
            journal.push_both_then((note(2), note(3)), tell(&told, 3));
            journal.push(note(4));
            let expected = match before {
                0 | 1 => before + 3,
                before if before + 2 <= CHANGES_MAX => CHANGES_MAX,
                before if before < CHANGES_MAX => CHANGES_MAX + 1,
                _ => CHANGES_MAX,
            };
            assert_eq!(journal.next_batch(), expected, "behind {before}");
        }
    }

    //= ORCH-3401 type=test
    #[tokio::test(start_paused = true)]
    async fn without_room_newcomers_are_told_and_all_else_waits() {
        // S05
        let (journal, store, told) =
            (Arc::new(Journal::default()), Arc::new(Sick::default()), Told::default());
        store.store.commit(&[accept(1)]).await.unwrap();
        *store.errors.lock() = vec![StoreError::Full; 3];
        journal.push_then(note(1), tell(&told, 1));
        journal.push_then(accept(2), tell(&told, 2));
        let running = Arc::clone(&journal).run(Arc::clone(&store) as Arc<dyn Store>, metrics());
        tokio::select! {
            _ = running => panic!("it ended"),
            () = journal.flushed() => {}
        }
        assert_eq!(*told.lock(), [(2, false), (1, true)]);
        assert_eq!(store.claim(OwnerId(2), 9).await.unwrap().len(), 1);
    }

    //= ORCH-3407 type=test
    #[tokio::test(start_paused = true)]
    async fn a_store_that_failed_for_good_ends_the_journal_and_nobody_is_told_that_it_kept() {
        // S06
        let (journal, store, told) =
            (Arc::new(Journal::default()), Arc::new(Sick::default()), Told::default());
        let fatal = StoreError::Fatal { reason: "fsync".to_owned() };
        store.errors.lock().push(fatal.clone());
        journal.push_then(accept(1), tell(&told, 1));
        let ended = timeout(Duration::from_secs(5), Arc::clone(&journal).run(store, metrics())).await;
        assert_eq!(ended.unwrap(), fatal);
        assert!(told.lock().is_empty());
    }
}

//! What becomes of a job when its last reader leaves.
//!
//! A reader that leaves may be a network that hiccups, so a job that is to end with its readers waits a
//! moment for one to come back. A job that nobody has begun to read is not abandoned: its reader may
//! still be on the way.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::{
    handle::SchedulerHandle,
    job::{JobEntry, OnDisconnect},
};

/// How long a job waits for a reader to come back.
const GRACE: Duration = Duration::from_secs(1);

/// Makes the guards that stand by each reader.
#[derive(Clone)]
pub(crate) struct Readers {
    pub(crate) scheduler: SchedulerHandle,
    pub(crate) tracker: TaskTracker,
}

impl Readers {
    /// A guard for one reader of a job.
    pub(crate) fn enter(&self, entry: &Arc<JobEntry>) -> ReaderGuard {
        entry.reader_came();
        ReaderGuard { readers: self.clone(), entry: Arc::clone(entry) }
    }

    /// Cancels the job if nobody reads it when the grace is over.
    async fn cancel_if_abandoned(self, entry: Arc<JobEntry>) {
        sleep(GRACE).await;
        if entry.readers() == 0 {
            // If the scheduler cannot be asked now, the job goes on: that loses nothing.
            self.scheduler.cancel(entry).await.ok();
        }
    }
}

/// Stands by one reader, for as long as it reads.
pub(crate) struct ReaderGuard {
    readers: Readers,
    entry: Arc<JobEntry>,
}

impl Drop for ReaderGuard {
    fn drop(&mut self) {
        let left = self.entry.reader_left();
        let ends_with_readers = self.entry.facts.on_disconnect == OnDisconnect::Cancel;
        if left == 0 && ends_with_readers && self.entry.status().ended.is_none() {
            let (readers, entry) = (self.readers.clone(), Arc::clone(&self.entry));
            self.readers.tracker.spawn(readers.cancel_if_abandoned(entry));
        }
    }
}

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
use crate::metrics::CanceledBy;

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
        ReaderGuard { readers: self.clone(), entry: Some(Arc::clone(entry)) }
    }

    /// Cancels the job if nobody reads it when the grace is over.
    async fn cancel_if_abandoned(self, entry: Arc<JobEntry>, grace: Duration) {
        if !grace.is_zero() {
            sleep(grace).await;
        }
        if entry.readers() == 0 {
            // If the scheduler cannot be asked now, the job goes on: that loses nothing.
            self.scheduler.cancel(entry, CanceledBy::Disconnect).await.ok();
        }
    }
}

/// Stands by one reader, for as long as it reads.
pub(crate) struct ReaderGuard {
    readers: Readers,
    /// `None` when there is nothing to be read.
    entry: Option<Arc<JobEntry>>,
}

impl ReaderGuard {
    /// The job did not come in; nothing is to be canceled.
    pub(crate) fn refused(mut self) {
        self.entry = None;
    }
}

//= ORCH-3204
impl Drop for ReaderGuard {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        let grace = match entry.facts.on_disconnect {
            OnDisconnect::Continue => None,
            OnDisconnect::Cancel => Some(GRACE),
            OnDisconnect::CancelAtOnce => Some(Duration::ZERO),
        };
        let left = entry.reader_left();
        if let Some(grace) = grace.filter(|_| left == 0 && !entry.is_over()) {
            let readers = self.readers.clone();
            self.readers.tracker.spawn(readers.cancel_if_abandoned(entry, grace));
        }
    }
}

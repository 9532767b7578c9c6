//! What jobs leave behind, kept in the state folder.
//!
//! The store of artifacts waits for the disk, so every call of it is made on a thread for that. A server that
//! keeps nothing has no folder for artifacts, and says so.

mod transcripts;

use std::{sync::Arc, time::Duration};

use artifact_store::{
    Artifact, ArtifactError, ArtifactId, ArtifactStore, Filter, Flush, Kind, Labels, Meta, NewArtifact,
    WallMillis,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::spawn_blocking,
    time::sleep,
};
use tracing::{error, info, warn};

use crate::clock::Clock;

pub(crate) use self::transcripts::{Prompts, Transcripts};

/// So many artifacts are held in memory at once, on their way in or out.
const HELD_MAX: usize = 8;
/// How often what is too old is removed.
const COLLECT_INTERVAL: Duration = Duration::from_mins(1);

/// The artifacts.
pub(crate) struct Artifacts {
    store: Option<Arc<ArtifactStore>>,
    bytes_max: u64,
    clock: Clock,
    coming: Semaphore,
    going: Semaphore,
    transcripts: Option<Transcripts>,
}

/// An artifact that a client brings.
#[derive(Debug)]
pub(crate) struct Brought {
    pub(crate) kind: Kind,
    pub(crate) content: Vec<u8>,
    pub(crate) labels: Labels,
    pub(crate) flush: Flush,
}

/// Why nothing was done about an artifact.
#[derive(Debug)]
pub(crate) enum CannotStore {
    /// The server keeps nothing.
    NoFolder,
    /// There is none.
    Unknown,
    /// Too many come in at once.
    Busy,
    Store(ArtifactError),
}

impl From<ArtifactError> for CannotStore {
    fn from(error: ArtifactError) -> Self {
        Self::Store(error)
    }
}

impl Artifacts {
    /// Artifacts in `store`, of which one has `bytes_max` at most.
    pub(crate) fn new(
        store: Option<ArtifactStore>,
        bytes_max: u64,
        clock: Clock,
        transcripts: Option<Transcripts>,
    ) -> Self {
        if let Some(report) = store.as_ref().map(ArtifactStore::report) {
            if report.damaged > 0 {
                warn!(target: "orchestratord::artifacts", damaged = report.damaged, examples = ?report.examples,
                    "damaged artifacts were set aside");
            }
            info!(target: "orchestratord::artifacts", artifacts = report.artifacts, "artifacts are open");
        }
        let (coming, going) = (Semaphore::new(HELD_MAX), Semaphore::new(HELD_MAX));
        // Without a folder there is nowhere to keep them.
        let transcripts = transcripts.filter(|_| store.is_some());
        Self { store: store.map(Arc::new), bytes_max, clock, coming, going, transcripts }
    }

    /// The most bytes that one may have.
    pub(crate) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// A place for an artifact that is about to come in, before a byte of it is read.
    pub(crate) fn place(&self) -> Result<SemaphorePermit<'_>, CannotStore> {
        self.store()?;
        self.coming.try_acquire().map_err(|_taken| CannotStore::Busy)
    }

    fn store(&self) -> Result<&Arc<ArtifactStore>, CannotStore> {
        self.store.as_ref().ok_or(CannotStore::NoFolder)
    }

    /// Stores an artifact. When this returns `Ok`, it survives what it asked to survive.
    //= ORCH-3416
    pub(crate) async fn put(&self, brought: Brought) -> Result<Meta, CannotStore> {
        let (store, created) = (Arc::clone(self.store()?), self.now());
        let put = move || {
            let Brought { kind, content, labels, flush } = brought;
            let stored = store.put(&NewArtifact { kind, content: &content, created, labels, flush })?;
            store.meta(&stored.id).ok_or(CannotStore::Unknown)
        };
        on_disk(put).await
    }

    /// An artifact, whose content was held against its id just now.
    //= ORCH-3416
    pub(crate) async fn get(&self, id: ArtifactId) -> Result<Artifact, CannotStore> {
        let store = Arc::clone(self.store()?);
        let _place = self.going.acquire().await.map_err(|_closed| CannotStore::Busy)?;
        let found = on_disk(move || store.get(&id).map_err(CannotStore::from)).await?;
        found.ok_or(CannotStore::Unknown)
    }

    /// The latest artifacts that fit.
    pub(crate) fn list(&self, filter: Filter, most: usize) -> Result<Vec<Meta>, CannotStore> {
        Ok(self.store()?.list(filter, most))
    }

    fn now(&self) -> WallMillis {
        WallMillis(self.clock.unix_ms(self.clock.now()))
    }

    /// Makes transcripts, and removes what is too old.
    pub(crate) async fn work(self: Arc<Self>) {
        if let Some(store) = &self.store {
            tokio::join!(self.write_transcripts(), self.collect_regularly(store));
        }
    }

    #[expect(clippy::infinite_loop, reason = "it ends with the process")]
    async fn collect_regularly(&self, store: &Arc<ArtifactStore>) {
        loop {
            sleep(COLLECT_INTERVAL).await;
            let (store, now) = (Arc::clone(store), self.now());
            let collected = spawn_blocking(move || store.collect(now)).await.unwrap_or_default();
            if collected.failed > 0 {
                warn!(target: "orchestratord::artifacts", ?collected, "artifacts that are too old could not be removed");
            }
        }
    }
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CannotStore> + Send + 'static,
) -> Result<T, CannotStore> {
    spawn_blocking(work).await.unwrap_or_else(|lost| {
        error!(target: "orchestratord::artifacts", %lost, "work on an artifact was lost");
        Err(CannotStore::Unknown)
    })
}

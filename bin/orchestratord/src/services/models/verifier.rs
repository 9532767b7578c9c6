//! Reading model files in the background, one after the other.
//!
//! A file has many gigabytes, and reading two at once makes both slower. One that has to be fetched first keeps
//! those that are here from nothing, so there are two lines. Whoever asks for a file that is being read already
//! waits for the same reading.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use catalog_core::{
    CannotRecord, Declared, Digest, FailReason, Model, ModelId, ModelSource, Outcome, Verification, Verified,
    WarnReason, verify,
};
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{ModelError, Models, Shown, put};

/// So many models may wait.
const WAITING_MAX: usize = 256;
/// How long a client waits for the outcome.
const PATIENCE: Duration = Duration::from_secs(2);

/// How far a verification is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Waiting,
    Fetching { done: u64, total: u64 },
    Running { done: u64, total: u64 },
}

/// Too many wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Busy;

/// A verification that waits or runs. Its channel closes at its end.
struct Run {
    declared: Declared,
    step: watch::Sender<Step>,
}

/// The lines of models.
#[derive(Default)]
pub(super) struct Verifier {
    runs: Mutex<HashMap<ModelId, Arc<Run>>>,
    near: Queue,
    far: Queue,
}

/// Which files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// Those that are on this machine.
    Near,
    /// Those that may have to be fetched.
    Far,
}

struct Queue {
    enter: mpsc::Sender<Arc<Run>>,
    /// Taken by the one who works.
    line: Mutex<Option<mpsc::Receiver<Arc<Run>>>>,
}

impl Default for Queue {
    fn default() -> Self {
        let (enter, line) = mpsc::channel(WAITING_MAX);
        Self { enter, line: Mutex::new(Some(line)) }
    }
}

impl Verifier {
    pub(super) fn step(&self, id: &ModelId) -> Option<Step> {
        self.runs.lock().get(id).map(|run| *run.step.borrow())
    }

    fn queue(&self, line: Line) -> &Queue {
        match line {
            Line::Near => &self.near,
            Line::Far => &self.far,
        }
    }

    /// Puts a model in its line, unless it stands there already.
    fn join(&self, declared: Declared) -> Result<watch::Receiver<Step>, Busy> {
        let mut runs = self.runs.lock();
        if let Some(run) = runs.get(&declared.id) {
            // The model of before was removed, and another has its id; its turn is soon over.
            return if run.declared == declared { Ok(run.step.subscribe()) } else { Err(Busy) };
        }
        let (step, watched) = watch::channel(Step::Waiting);
        let run = Arc::new(Run { declared, step });
        let queue = self.queue(line_of(&run.declared));
        queue.enter.try_send(Arc::clone(&run)).map_err(|_full| Busy)?;
        runs.insert(run.declared.id.clone(), run);
        Ok(watched)
    }
}

impl Models {
    /// Puts a model in the line of those whose files are read.
    pub(crate) fn verify(&self, id: &ModelId) -> Result<watch::Receiver<Step>, ModelError> {
        let declared = self.catalog.lock().get(id).map(|model| model.declared.clone());
        self.verifier.join(declared.ok_or(ModelError::Unknown)?).map_err(|Busy| ModelError::Busy)
    }

    /// As [`Self::verify`]; a file that is read soon is waited for.
    pub(crate) async fn verify_now(&self, id: &ModelId) -> Result<Shown, ModelError> {
        let mut watched = self.verify(id)?;
        let over = async { while watched.changed().await.is_ok() {} };
        // In time or not, what is known then is the answer.
        timeout(PATIENCE, over).await.ok();
        self.get(id)
    }

    /// Reads the files of those in a line.
    pub(super) async fn verify_in_turn(self: &Arc<Self>, line: Line) {
        let Some(mut line) = self.verifier.queue(line).line.lock().take() else { return };
        while let Some(run) = line.recv().await {
            let found = self.look_at(&run).await;
            if let Some(found) = found {
                self.record(&run.declared, found).await;
            }
            self.verifier.runs.lock().remove(&run.declared.id);
        }
    }

    /// What is found; `None` when nothing can be told.
    async fn look_at(self: &Arc<Self>, run: &Arc<Run>) -> Option<Verified> {
        let expected = self.catalog.lock().get(&run.declared.id).and_then(Model::digest);
        match run.declared.source.source() {
            ModelSource::File => self.read(run, expected, expected).await,
            ModelSource::Named => {
                let outcome = Outcome::Warn(WarnReason::NoFile);
                Some(Verified { outcome, digest: None, facts: None, meta: None })
            }
            ModelSource::HuggingFace | ModelSource::Https | ModelSource::S3 | ModelSource::Oci => {
                let show = |done, total| {
                    run.step.send_replace(Step::Fetching { done, total });
                };
                match self.places.fetch(&run.declared, expected, &show).await {
                    Ok(digest) => self.read(run, expected, Some(digest)).await,
                    Err(found) => Some(found),
                }
            }
        }
    }

    /// Reads a whole file on a thread of its own.
    async fn read(
        self: &Arc<Self>,
        run: &Arc<Run>,
        expected: Option<Digest>,
        at: Option<Digest>,
    ) -> Option<Verified> {
        let stop = CancellationToken::new();
        // Whoever gives this up, as a shutdown does, ends the thread, too.
        let _guard = stop.clone().drop_guard();
        let (models, run) = (Arc::clone(self), Arc::clone(run));
        let read = spawn_blocking(move || {
            let file = match models.places.open(&run.declared, at) {
                Ok(file) => file.file,
                Err(refused) => return Some(Verified::from(refused)),
            };
            let (cancel, mut before) = (AtomicBool::new(false), 0);
            let mut show = |progress: catalog_core::Progress| {
                let (done, total) = (progress.done_bytes, progress.total_bytes);
                run.step.send_replace(Step::Running { done, total });
                models.metrics.model_bytes_read(done.saturating_sub(before));
                before = done;
                if stop.is_cancelled() {
                    cancel.store(true, Ordering::Relaxed);
                }
            };
            verify(&file, expected, &mut show, &cancel).ok()
        });
        read.await.ok().flatten()
    }

    /// Remembers what was found, and keeps it.
    //= ORCH-3413
    async fn record(&self, declared: &Declared, found: Verified) {
        let (id, now) = (&declared.id, self.now_ms());
        let kept = {
            let mut catalog = self.catalog.lock();
            let failed = |model: &Model| model.verification.as_ref().is_some_and(Verification::is_fail);
            if found.facts.is_none()
                && matches!(found.outcome, Outcome::Warn(_))
                && catalog.get(id).is_some_and(failed)
            {
                // That nothing could be read this time makes nothing better.
                return;
            }
            match catalog.record(declared, found, now) {
                Ok(model) => {
                    let outcome = model.verification.as_ref().map(|made| &made.outcome);
                    self.metrics.model_verified(outcome);
                    tell(id, outcome);
                    self.keeper.keep(put(model))
                }
                Err(CannotRecord::Unknown(_) | CannotRecord::Superseded(_)) => return,
            }
        };
        if !kept.await {
            warn!(target: "orchestratord::models", model = %id, "what was found of a model is not kept yet");
        }
    }
}

fn line_of(declared: &Declared) -> Line {
    match declared.source.source() {
        ModelSource::File | ModelSource::Named => Line::Near,
        ModelSource::HuggingFace | ModelSource::Https | ModelSource::S3 | ModelSource::Oci => Line::Far,
    }
}

fn tell(id: &ModelId, outcome: Option<&Outcome>) {
    match outcome {
        Some(Outcome::Fail(reason @ FailReason::Mismatch { .. })) => {
            warn!(target: "orchestratord::models", model = %id, %reason, "a model's file is not the one that was registered");
        }
        Some(Outcome::Fail(reason)) => {
            warn!(target: "orchestratord::models", model = %id, %reason, "a model failed its verification");
        }
        Some(Outcome::Warn(reason)) => {
            info!(target: "orchestratord::models", model = %id, %reason, "a model was verified, with a reservation");
        }
        Some(Outcome::Pass) => info!(target: "orchestratord::models", model = %id, "a model was verified"),
        None => {}
    }
}

//! Transcripts: what a task was asked and what it answered, kept as an artifact when it has ended.
//!
//! They are made behind the end of the task, one after the other. When they do not keep up, some are left out
//! and counted: no stream ever waits for its transcript. They are not flushed one by one: how a task ended is in
//! the store anyway.

use std::sync::Arc;

use adapter_api::{Input, Prompt, Relay, Work, WorkOrder};
use api_types::TaskView;
use artifact_store::{Flush, Kind, Labels, MediaType, Name};
use orchestrator_core::Workload;
use parking_lot::Mutex;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::spawn_blocking,
};
use tracing::warn;

use super::{Artifacts, Brought};
use crate::{
    metrics::Metrics,
    services::{
        job::{Durability, JobEntry, Surface},
        keeper::Keeper,
        saved::hex,
        view,
    },
};

/// So many tasks may wait for their transcripts, and the prompts of all may have so many bytes.
const WAITING_MAX: usize = 1_024;
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
const VERSION: u32 = 1;

/// Whether prompts are part of transcripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prompts {
    Kept,
    /// Only their lengths and digests are.
    Redacted,
}

/// A task that ended.
struct Ended {
    entry: Arc<JobEntry>,
    order: Arc<WorkOrder>,
    _bytes: OwnedSemaphorePermit,
}

/// The line of tasks that have ended.
pub(crate) struct Transcripts {
    prompts: Prompts,
    enter: mpsc::Sender<Ended>,
    /// Taken by the one who works.
    line: Mutex<Option<mpsc::Receiver<Ended>>>,
    bytes: Arc<Semaphore>,
    waiting: watch::Sender<usize>,
    keeper: Arc<Keeper>,
    metrics: Arc<Metrics>,
}

impl Transcripts {
    pub(crate) fn new(prompts: Prompts, keeper: Arc<Keeper>, metrics: Arc<Metrics>) -> Self {
        let (enter, line) = mpsc::channel(WAITING_MAX);
        let bytes = Arc::new(Semaphore::new(WAITING_BYTES_MAX));
        let (line, waiting) = (Mutex::new(Some(line)), watch::Sender::new(0));
        Self { prompts, enter, line, bytes, waiting, keeper, metrics }
    }

    /// Leaves a task that has ended, with what it was asked. Does not wait.
    //= ORCH-3418
    fn leave(&self, entry: &Arc<JobEntry>, order: Arc<WorkOrder>) {
        // What asked for speed and for nothing to be kept leaves nothing.
        if entry.facts.surface != Surface::Native || entry.facts.durability == Durability::Memory {
            return;
        }
        let bytes: usize = turns(&order.work).iter().map(|(_, prompt)| prompt.len()).sum();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let place = Arc::clone(&self.bytes).try_acquire_many_owned(bytes);
        let left = place.is_ok_and(|held| {
            self.waiting.send_modify(|waiting| *waiting += 1);
            let left = self.enter.try_send(Ended { entry: Arc::clone(entry), order, _bytes: held }).is_ok();
            if !left {
                self.done();
            }
            left
        });
        if !left {
            self.metrics.transcript("dropped");
        }
    }

    fn done(&self) {
        self.waiting.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
    }

    /// The transcript as JSON, once the end of the task is kept.
    async fn write(&self, ended: Ended) -> Option<Vec<u8>> {
        // An end that is not kept has not happened.
        self.keeper.is_over(&ended.entry).await;
        ended.entry.shown_status().ended?;
        let (prompts, clock) = (self.prompts, self.keeper.clock());
        let write = move || {
            let mut task = view::summary_of(&ended.entry, &ended.entry.status(), clock);
            if ended.entry.facts.workload() == Workload::Completion {
                task.text = ended.entry.log.said().map(|said| said.text);
            }
            let turns = turns(&ended.order.work);
            let input = turns.into_iter().map(|(role, prompt)| Turn { role, text: shown(prompt, prompts) });
            let redacted = prompts == Prompts::Redacted;
            serde_json::to_vec(&Transcript { version: VERSION, redacted, input: input.collect(), task }).ok()
        };
        spawn_blocking(write).await.ok().flatten()
    }
}

impl Artifacts {
    /// A task has ended that was asked this.
    pub(crate) fn task_ended(&self, entry: &Arc<JobEntry>, order: Option<Arc<WorkOrder>>) {
        if let (Some(transcripts), Some(order)) = (&self.transcripts, order) {
            transcripts.leave(entry, order);
        }
    }

    /// Waits until every task that was left has its transcript.
    pub(crate) async fn drained(&self) {
        let Some(transcripts) = &self.transcripts else { return };
        // The sender is ours, so it is there as long as this is.
        transcripts.waiting.subscribe().wait_for(|waiting| *waiting == 0).await.ok();
    }

    /// Makes transcripts, one after the other.
    pub(super) async fn write_transcripts(&self) {
        let Some(transcripts) = &self.transcripts else { return };
        let Some(mut line) = transcripts.line.lock().take() else { return };
        while let Some(ended) = line.recv().await {
            let job = ended.entry.facts.id;
            let outcome = match transcripts.write(ended).await {
                None => "dropped",
                Some(content) => {
                    let labels = Labels {
                        media_type: MediaType::try_from("application/json".to_owned()).ok(),
                        name: Name::try_from(format!("transcript-{job}.json")).ok(),
                        job: Some(job),
                    };
                    match self
                        .put(Brought { kind: Kind::Transcript, content, labels, flush: Flush::Later })
                        .await
                    {
                        Ok(_) => "stored",
                        Err(error) => {
                            warn!(target: "orchestratord::artifacts", job_id = %job, ?error, "a transcript is not kept");
                            "failed"
                        }
                    }
                }
            };
            transcripts.metrics.transcript(outcome);
            transcripts.done();
        }
    }
}

/// A transcript as it is written.
#[derive(Serialize)]
struct Transcript<'a> {
    version: u32,
    redacted: bool,
    input: Vec<Turn<'a>>,
    /// The task as its client sees it, with its text.
    task: TaskView,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'static str,
    #[serde(flatten)]
    text: Text<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Text<'a> {
    Kept { content: &'a str },
    Redacted { bytes: usize, sha256: String },
}

fn shown(prompt: &Prompt, prompts: Prompts) -> Text<'_> {
    let content = prompt.expose();
    match prompts {
        Prompts::Kept => Text::Kept { content },
        Prompts::Redacted => Text::Redacted { bytes: content.len(), sha256: hex(&Sha256::digest(content)) },
    }
}

/// All texts of a client, and what each is.
fn turns(work: &Work) -> Vec<(&'static str, &Prompt)> {
    match work {
        Work::Generate(generate) => match &generate.input {
            Input::Text(prompt) => vec![("prompt", prompt)],
            Input::Chat(messages) => messages.iter().map(|it| (it.role.as_str(), &it.content)).collect(),
        },
        Work::Embed(texts) => texts.iter().map(|text| ("text", text)).collect(),
        Work::Rerank { query, documents } => {
            let documents = documents.iter().map(|document| ("document", document));
            [("query", query)].into_iter().chain(documents).collect()
        }
        Work::Relay(Relay { members, .. }) => vec![("call", members)],
    }
}

//! The mock as an adapter.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use adapter_api::{
    AdapterError, Capabilities, EngineReport, Generate, GoesOnWith, Prompt, Route, TokenStream, Work,
    WorkOrder, WorkerAdapter, Workload,
};
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    once::OnceStream,
    relay::{Answer, Call, RelayStream, Speaking},
    script::Script,
    stream::MockStream,
    vectors,
};

const CAPABILITIES: Capabilities = Capabilities {
    engine: "mock",
    workloads: &Workload::ALL,
    deterministic: true,
    goes_on_with: GoesOnWith::TextAndChat,
};

/// What the mock pretends to be.
#[derive(Debug, Clone)]
pub struct MockConfig {
    /// Names of its model.
    pub models: Vec<String>,
    /// Streams at once.
    pub slots: u32,
    /// Tokens of context.
    pub ctx_max: u32,
    /// How long it takes to the first token.
    pub first_token_delay: Duration,
    /// How long each further token takes.
    pub token_delay: Duration,
}

impl Default for MockConfig {
    fn default() -> Self {
        Self {
            models: vec!["mock".to_owned()],
            slots: 4,
            ctx_max: 8_192,
            first_token_delay: Duration::ZERO,
            token_delay: Duration::ZERO,
        }
    }
}

/// What the mock has seen.
#[derive(Debug, Default)]
pub struct MockCounts {
    submits: AtomicU32,
    open: AtomicU32,
    canceled: AtomicU32,
    /// Until when the streams that ignored their cancel go on.
    held: Mutex<Vec<Instant>>,
}

impl MockCounts {
    /// How many orders came.
    pub fn submits(&self) -> u32 {
        self.submits.load(Ordering::SeqCst)
    }

    /// How many slots are taken now: streams that are open, and those that ignore their cancel.
    pub fn running(&self) -> u32 {
        let now = Instant::now();
        let mut held = lock(&self.held);
        held.retain(|until| *until > now);
        self.open.load(Ordering::SeqCst).saturating_add(u32::try_from(held.len()).unwrap_or(u32::MAX))
    }

    /// How many streams were dropped before their end.
    pub fn canceled(&self) -> u32 {
        self.canceled.load(Ordering::SeqCst)
    }

    pub(crate) fn opened(&self) {
        self.open.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn closed(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    /// A stream was dropped before its end, and its slot stays taken for `hold`.
    pub(crate) fn canceled_early(&self, hold: Duration) {
        self.canceled.fetch_add(1, Ordering::SeqCst);
        if !hold.is_zero() {
            lock(&self.held).push(Instant::now() + hold);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An engine in this process.
#[derive(Debug)]
pub struct MockAdapter {
    config: MockConfig,
    scripts: Mutex<VecDeque<Script>>,
    counts: Arc<MockCounts>,
}

impl MockAdapter {
    /// A mock whose answers are all good.
    pub fn new(config: MockConfig) -> Self {
        Self::with_scripts(config, [])
    }

    /// A mock whose first answers follow these scripts, one each.
    pub fn with_scripts(config: MockConfig, scripts: impl IntoIterator<Item = Script>) -> Self {
        Self { config, scripts: Mutex::new(scripts.into_iter().collect()), counts: Arc::default() }
    }

    /// What it has seen so far.
    pub fn counts(&self) -> Arc<MockCounts> {
        Arc::clone(&self.counts)
    }

    fn next_script(&self) -> Script {
        lock(&self.scripts).pop_front().unwrap_or(Script::Good)
    }
}

#[async_trait]
impl WorkerAdapter for MockAdapter {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn probe(&self) -> Result<EngineReport, AdapterError> {
        Ok(EngineReport {
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            models: self.config.models.clone(),
            workloads: None,
            slots_total: Some(self.config.slots),
            slots_busy: Some(self.counts.running()),
            ctx_max: Some(self.config.ctx_max),
            vram_free_bytes: None,
            kv_cache_per_mille: None,
        })
    }

    async fn submit(&self, order: Arc<WorkOrder>) -> Result<Box<dyn TokenStream>, AdapterError> {
        self.counts.submits.fetch_add(1, Ordering::SeqCst);
        let script = self.next_script();
        match script {
            Script::Refuse => Err(AdapterError::Refused { message: "the script refuses".to_owned() }),
            Script::Busy => Err(AdapterError::Busy { retry_after: None }),
            Script::Unreachable => Err(AdapterError::Unreachable { reason: "the script hides".to_owned() }),
            script => self.answer(&order, script),
        }
    }
}

impl MockAdapter {
    fn answer(&self, order: &WorkOrder, script: Script) -> Result<Box<dyn TokenStream>, AdapterError> {
        let once =
            |piece, tokens| Ok(Box::new(OnceStream::new(&piece, tokens, &self.config, self.counts())) as _);
        match &order.work {
            Work::Generate(generate) => Ok(Box::new(self.words(generate, script))),
            Work::Embed(texts) => {
                let texts = || texts.iter().map(Prompt::expose);
                once(vectors::vectors(texts()), vectors::tokens(texts()))
            }
            Work::Rerank { query, documents } => {
                let (query, texts) = (query.expose(), || documents.iter().map(Prompt::expose));
                once(vectors::ranking(query, texts()), vectors::tokens(texts().chain([query])))
            }
            Work::Relay(relay) => {
                let call = Call::of(relay)?;
                let tokens = call.prompt_tokens();
                if relay.route == Route::Embeddings {
                    return once(embeddings(&call, &order.model), tokens);
                }
                let speaking = |answer| match answer {
                    Answer::Words(generate) => Speaking::Words(self.words(&generate, script)),
                    Answer::Known(deltas, reason) => Speaking::Known(deltas, reason),
                };
                let answers = call.answers().into_iter().map(speaking).collect();
                let mut stream = RelayStream::new(relay, &order.request_id, &order.model, answers);
                stream.count_prompt(tokens);
                Ok(Box::new(stream))
            }
        }
    }

    fn words(&self, generate: &Generate, script: Script) -> MockStream {
        MockStream::new(generate, script, &self.config, self.counts())
    }
}

/// The whole answer of `/v1/embeddings`.
fn embeddings(call: &Call, model: &str) -> Value {
    let texts = call.inputs();
    let data: Value = texts
        .iter()
        .enumerate()
        .map(|(index, text)| json!({"object": "embedding", "index": index, "embedding": call.vector(text)}))
        .collect();
    let tokens = call.prompt_tokens();
    json!({"object": "list", "model": model, "data": data,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
}

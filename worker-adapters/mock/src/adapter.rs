//! The mock as an adapter.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use adapter_api::{
    AdapterError, Capabilities, EngineReport, Finish, FinishReason, LazyTimer, Progress, TokenBatch, TokenStream,
    Usage, WorkOrder, WorkerAdapter,
};
use async_trait::async_trait;
use tokio::time::Instant;

use crate::{script::Script, words::Words};

const CAPABILITIES: Capabilities =
    Capabilities { engine: "mock", workloads: &["completion"], deterministic: true };
/// How many tokens one turn of the runtime may take, so that thousands of streams share it fairly.
const TOKENS_PER_TURN: u32 = 64;

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
    running: AtomicU32,
    canceled: AtomicU32,
}

impl MockCounts {
    /// How many orders came.
    pub fn submits(&self) -> u32 {
        self.submits.load(Ordering::SeqCst)
    }

    /// How many streams are open now.
    pub fn running(&self) -> u32 {
        self.running.load(Ordering::SeqCst)
    }

    /// How many streams were dropped before their end.
    pub fn canceled(&self) -> u32 {
        self.canceled.load(Ordering::SeqCst)
    }
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
        let mut scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        scripts.pop_front().unwrap_or(Script::Good)
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
            slots_total: Some(self.config.slots),
            slots_busy: Some(self.counts.running()),
            ctx_max: Some(self.config.ctx_max),
            vram_free_bytes: None,
        })
    }

    async fn submit(&self, order: Arc<WorkOrder>) -> Result<Box<dyn TokenStream>, AdapterError> {
        self.counts.submits.fetch_add(1, Ordering::SeqCst);
        let script = self.next_script();
        match script {
            Script::Refuse => Err(AdapterError::Refused { message: "the script refuses".to_owned() }),
            Script::Busy => Err(AdapterError::Busy { retry_after: None }),
            Script::Unreachable => Err(AdapterError::Unreachable { reason: "the script hides".to_owned() }),
            script => Ok(Box::new(MockStream::new(&order, script, &self.config, self.counts()))),
        }
    }
}

/// One answer of the mock.
struct MockStream {
    words: Words,
    script: Script,
    stop: Vec<String>,
    /// The end of the text so far, long enough to find a stop text in it.
    recent: String,
    usage: Usage,
    max_tokens: u32,
    token_delay: Duration,
    next_at: Instant,
    timer: LazyTimer,
    counts: Arc<MockCounts>,
    ended: bool,
}

impl MockStream {
    fn new(order: &WorkOrder, script: Script, config: &MockConfig, counts: Arc<MockCounts>) -> Self {
        counts.running.fetch_add(1, Ordering::SeqCst);
        let prompt = order.prompt.expose();
        let prompt_tokens = u32::try_from(prompt.len().div_ceil(4)).unwrap_or(u32::MAX);
        let token_delay = match script {
            Script::Trickle(delay) => delay,
            _ => config.token_delay,
        };
        Self {
            words: Words::of(prompt, order.sampling.seed.unwrap_or(0)),
            script,
            stop: order.sampling.stop.clone(),
            recent: String::new(),
            usage: Usage { prompt: prompt_tokens, generated: 0, cached: None },
            max_tokens: order.max_tokens,
            token_delay,
            next_at: Instant::now() + config.first_token_delay,
            timer: LazyTimer::new(config.first_token_delay),
            counts,
            ended: false,
        }
    }

    /// What the script does instead of the next token, if it is time.
    fn scripted(&self) -> Option<Poll<AdapterError>> {
        let sent = self.usage.generated;
        match self.script {
            Script::DieAfter(count) if sent >= count => Some(Poll::Ready(AdapterError::Lost)),
            Script::GarbageAfter(count) if sent >= count => {
                Some(Poll::Ready(AdapterError::Protocol { what: "the script speaks garbage".to_owned() }))
            }
            Script::StallAfter(count) if sent >= count => Some(Poll::Pending),
            _ => None,
        }
    }

    fn is_done(&self) -> bool {
        self.usage.generated >= self.max_tokens && self.script != Script::TooMany
    }

    fn end(&mut self, reason: FinishReason) -> Progress {
        self.ended = true;
        Progress::Ended(Finish { reason, usage: self.usage, ..Finish::default() })
    }

    /// Adds one word. True when it completes a stop text, which is then not part of the answer.
    fn add_word(&mut self, batch: &mut TokenBatch) -> bool {
        let Some((word, full_stop)) = self.words.next() else { return true };
        let text = if full_stop { format!("{word}.") } else { word.to_owned() };
        self.usage.generated += 1;
        self.recent.push_str(&text);
        if self.stop.iter().any(|stop| self.recent.contains(stop)) {
            return true;
        }
        let keep = self.stop.iter().map(String::len).max().unwrap_or(0);
        let mut cut = self.recent.len().saturating_sub(keep);
        while !self.recent.is_char_boundary(cut) {
            cut -= 1;
        }
        self.recent.drain(..cut);
        batch.push(&text);
        false
    }
}

impl TokenStream for MockStream {
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut TokenBatch,
    ) -> Poll<Result<Progress, AdapterError>> {
        // One turn sees at most so many tokens; then others have theirs.
        for _ in 0..TOKENS_PER_TURN {
            if self.is_done() {
                return Poll::Ready(Ok(self.end(FinishReason::Length)));
            }
            let now = Instant::now();
            if self.next_at > now {
                if !batch.is_empty() {
                    return Poll::Ready(Ok(Progress::More));
                }
                self.timer.set(self.next_at);
                ready!(self.timer.poll_passed(cx));
                continue;
            }
            if let Some(scripted) = self.scripted() {
                if !batch.is_empty() {
                    return Poll::Ready(Ok(Progress::More));
                }
                self.ended = scripted.is_ready();
                return scripted.map(Err);
            }
            if self.add_word(batch) {
                return Poll::Ready(Ok(self.end(FinishReason::Stop)));
            }
            self.next_at = now + self.token_delay;
        }
        if batch.is_empty() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(Progress::More))
    }
}

impl Drop for MockStream {
    fn drop(&mut self) {
        self.counts.running.fetch_sub(1, Ordering::SeqCst);
        if !self.ended {
            self.counts.canceled.fetch_add(1, Ordering::SeqCst);
        }
    }
}

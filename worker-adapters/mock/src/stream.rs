//! One answer of the mock, token by token.
//!
//! It must be as fair as a stream that waits for a network: one that is always ready would never let
//! its task go back to the runtime, so that a few long answers would hold up all others.

use std::{
    borrow::Cow,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use adapter_api::{
    AdapterError, Finish, FinishReason, Generate, Input, LazyTimer, Progress, TokenBatch, TokenStream, Usage,
};
use tokio::time::Instant;

use crate::{
    adapter::{MockConfig, MockCounts},
    script::Script,
    words::Words,
};

/// How many tokens one turn of the runtime may take.
const TOKENS_PER_TURN: u32 = 64;

/// Where a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// A whole turn was taken, so the task goes to the back of the runtime's queue first.
    TurnOver,
    Ended,
}

/// One answer of the mock.
pub(crate) struct MockStream {
    words: Words,
    script: Script,
    stop: Vec<String>,
    usage: Usage,
    max_tokens: u32,
    token_delay: Duration,
    next_at: Instant,
    timer: LazyTimer,
    counts: Arc<MockCounts>,
    phase: Phase,
}

impl MockStream {
    /// The answer to `order`, which follows from its prompt and its seed.
    pub(crate) fn new(
        order: &Generate,
        script: Script,
        config: &MockConfig,
        counts: Arc<MockCounts>,
    ) -> Self {
        counts.opened();
        let prompt = prompt(&order.input);
        let prompt_tokens = u32::try_from(prompt.len().div_ceil(4)).unwrap_or(u32::MAX);
        let mut words = Words::of(&prompt, order.sampling.seed.unwrap_or(0));
        if let Some(said) = &order.so_far {
            words.skip_said(said.expose());
        }
        let token_delay = match script {
            Script::Trickle(delay) => delay,
            _ => config.token_delay,
        };
        Self {
            words,
            script,
            // An empty stop text stands everywhere, so it says nothing.
            stop: order.sampling.stop.iter().filter(|stop| !stop.is_empty()).cloned().collect(),
            usage: Usage { prompt: prompt_tokens, generated: 0, cached: None },
            max_tokens: order.max_tokens,
            token_delay,
            next_at: Instant::now() + config.first_token_delay,
            timer: LazyTimer::new(config.first_token_delay),
            counts,
            phase: Phase::Open,
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
        self.phase = Phase::Ended;
        Progress::Ended(Finish { reason, usage: self.usage, ..Finish::default() })
    }

    /// Adds one word. True when a stop text begins in it: then only what stands before that is added.
    fn add_word(&mut self, batch: &mut TokenBatch) -> bool {
        let cut = self.find_stop();
        let Some(word) = self.words.next() else { return true };
        match cut {
            None => {
                self.usage.generated += 1;
                batch.push(&word);
                false
            }
            Some((at, words)) => {
                self.usage.generated += words;
                batch.push(&word[..at]);
                true
            }
        }
    }

    /// Where in the next word a stop text begins, and how many words it takes to the stop text's end.
    fn find_stop(&self) -> Option<(usize, u32)> {
        let longest = self.stop.iter().map(String::len).max()?;
        let mut ahead = self.words.clone();
        let first = ahead.next()?.into_owned();
        let begins_before = first.len();
        // A stop text that would only be whole beyond the limit is never seen by an engine either.
        let words_left = if self.script == Script::TooMany {
            u32::MAX
        } else {
            self.max_tokens.saturating_sub(self.usage.generated)
        };
        let mut text = first;
        for words in 1..=words_left {
            let found = self.stop.iter().filter_map(|stop| text.find(stop.as_str())).min();
            if let Some(at) = found.filter(|at| *at < begins_before) {
                return Some((at, words));
            }
            if text.len() + 1 >= begins_before + longest {
                break;
            }
            text.push_str(&ahead.next().unwrap_or(Cow::Borrowed("")));
        }
        None
    }
}

impl TokenStream for MockStream {
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut TokenBatch,
    ) -> Poll<Result<Progress, AdapterError>> {
        if self.phase == Phase::TurnOver {
            self.phase = Phase::Open;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
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
                if scripted.is_ready() {
                    self.phase = Phase::Ended;
                }
                return scripted.map(Err);
            }
            if self.add_word(batch) {
                return Poll::Ready(Ok(self.end(FinishReason::Stop)));
            }
            self.next_at = now + self.token_delay;
        }
        self.phase = Phase::TurnOver;
        Poll::Ready(Ok(Progress::More))
    }
}

impl Drop for MockStream {
    fn drop(&mut self) {
        self.counts.closed();
        if self.phase != Phase::Ended {
            let hold = match self.script {
                Script::IgnoreCancel(hold) => hold,
                _ => Duration::ZERO,
            };
            self.counts.canceled_early(hold);
        }
    }
}

/// The text that the words follow from: a conversation counts as all that was said in it.
fn prompt(input: &Input) -> Cow<'_, str> {
    match input {
        Input::Text(text) => Cow::Borrowed(text.expose()),
        Input::Chat(messages) => {
            let said: Vec<&str> = messages.iter().map(|message| message.content.expose()).collect();
            Cow::Owned(said.join("\n"))
        }
    }
}

#[cfg(test)]
mod tests;

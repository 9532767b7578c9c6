//! The mock in `OpenAI`'s dialect: the same words, in that dialect's events.
//!
//! It reads of a call what an application can see the effect of: conversations and prompts, limits, stop
//! texts, seeds, several answers, tools that must be called, and schemas that the answer must fit.

mod call;
mod instance;

use std::{
    collections::VecDeque,
    task::{Context, Poll, ready},
};

use adapter_api::{
    AdapterError, Finish, FinishReason, Progress, Relay, Route, TokenBatch, TokenStream, UsageEvent,
};
use serde_json::{Value, json};

pub(crate) use call::{Answer, Call};

use crate::stream::MockStream;

/// The events of one call, answer after answer.
pub(crate) struct RelayStream {
    model: String,
    id: String,
    route: Route,
    usage: UsageEvent,
    /// Answers that are still to be given, with their indices.
    answers: VecDeque<(u32, Speaking)>,
    finish: Finish,
    texts: TokenBatch,
    phase: Phase,
}

/// One answer.
pub(crate) enum Speaking {
    /// Words as they come.
    Words(MockStream),
    /// Something that is known beforehand.
    Known(Vec<Value>, &'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The next answer has yet to name its speaker.
    Opening,
    Speaking,
}

impl RelayStream {
    pub(crate) fn new(relay: &Relay, id: &str, model: &str, answers: Vec<Speaking>) -> Self {
        let prefix = if relay.route == Route::ChatCompletions { "chatcmpl" } else { "cmpl" };
        Self {
            model: model.to_owned(),
            id: format!("{prefix}-{id}"),
            route: relay.route,
            usage: relay.usage,
            answers: (0..).zip(answers).collect(),
            finish: Finish::default(),
            texts: TokenBatch::new(),
            phase: Phase::Opening,
        }
    }

    fn event(&self, choices: &Value) -> Value {
        let object =
            if self.route == Route::ChatCompletions { "chat.completion.chunk" } else { "text_completion" };
        json!({"id": self.id, "object": object, "created": 0, "model": self.model, "choices": choices})
    }

    fn choice(&self, index: u32, delta: &Value, reason: Option<&str>) -> Value {
        let choice = match self.route {
            Route::ChatCompletions => json!({"index": index, "delta": delta, "finish_reason": reason}),
            Route::Completions | Route::Embeddings => {
                let text = delta.get("content").and_then(Value::as_str).unwrap_or_default();
                json!({"index": index, "text": text, "logprobs": null, "finish_reason": reason})
            }
        };
        self.event(&json!([choice]))
    }

    fn push(&self, batch: &mut TokenBatch, index: u32, delta: &Value, reason: Option<&str>) {
        batch.push_document(&self.choice(index, delta, reason).to_string());
    }

    /// Announces an answer's speaker, once, together with the first thing that it says.
    fn name_speaker(&mut self, index: u32, batch: &mut TokenBatch) {
        if self.phase == Phase::Opening && self.route == Route::ChatCompletions {
            self.push(batch, index, &json!({"role": "assistant", "content": ""}), None);
        }
        self.phase = Phase::Speaking;
    }

    /// Goes on with the answer at the front. `Ready` when it is over.
    fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut TokenBatch,
    ) -> Poll<Result<(), AdapterError>> {
        let Some((index, mut speaking)) = self.answers.pop_front() else { return Poll::Ready(Ok(())) };
        match &mut speaking {
            Speaking::Known(deltas, reason) => {
                self.name_speaker(index, batch);
                for delta in &*deltas {
                    self.push(batch, index, delta, None);
                }
                self.push(batch, index, &json!({}), Some(reason));
                self.finish.usage.generated += u32::try_from(deltas.len()).unwrap_or(u32::MAX);
                self.finish.reason = FinishReason::Stop;
            }
            Speaking::Words(words) => {
                self.texts.clear();
                let progress = words.poll_next(cx, &mut self.texts);
                if !self.texts.is_empty() {
                    self.name_speaker(index, batch);
                }
                for piece in self.texts.pieces() {
                    self.push(batch, index, &json!({"content": piece.text}), None);
                }
                match progress {
                    Poll::Ready(Ok(Progress::Ended(finish))) => {
                        self.finish.usage.generated += finish.usage.generated;
                        self.finish.reason = finish.reason;
                        let reason = match finish.reason {
                            FinishReason::Stop => "stop",
                            FinishReason::Length => "length",
                        };
                        self.push(batch, index, &json!({}), Some(reason));
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(Progress::More)) | Poll::Pending => {
                        self.answers.push_front((index, speaking));
                        return Poll::Pending;
                    }
                }
            }
        }
        self.phase = Phase::Opening;
        Poll::Ready(Ok(()))
    }

    pub(crate) fn count_prompt(&mut self, tokens: u32) {
        self.finish.usage.prompt = tokens;
    }
}

impl TokenStream for RelayStream {
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut TokenBatch,
    ) -> Poll<Result<Progress, AdapterError>> {
        if !self.answers.is_empty() {
            let answered = self.poll_answer(cx, batch);
            if !batch.is_empty() && !matches!(answered, Poll::Ready(Err(_))) {
                return Poll::Ready(Ok(Progress::More));
            }
            ready!(answered)?;
            return Poll::Ready(Ok(Progress::More));
        }
        if self.usage == UsageEvent::Wanted {
            let usage = self.finish.usage;
            let mut event = self.event(&json!([]));
            event["usage"] = json!({"prompt_tokens": usage.prompt, "completion_tokens": usage.generated,
                "total_tokens": usage.prompt.saturating_add(usage.generated)});
            batch.push_document(&event.to_string());
        }
        Poll::Ready(Ok(Progress::Ended(self.finish)))
    }
}

//! What is asked of the engine: exactly the typed fields of an order.

use adapter_api::{Input, Message, WorkOrder};
use serde::Serialize;

/// Fields beyond `OpenAI`'s that an engine takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extras {
    /// None: `top_k` is left out, since the dialect does not know it.
    None,
    /// `top_k`.
    TopK,
}

/// The body of one call. It shows nothing of what the client said.
#[derive(Serialize)]
pub struct CompletionCall<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Turn<'a>>>,
    max_tokens: u32,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'static str,
    content: &'a str,
}

impl<'a> CompletionCall<'a> {
    /// The call for an order, of the model that the engine knows as `model`.
    pub fn of(order: &'a WorkOrder, model: &'a str, extras: Extras) -> Self {
        let (prompt, messages) = match &order.input {
            Input::Text(text) => (Some(text.expose()), None),
            Input::Chat(messages) => (None, Some(messages.iter().map(Turn::of).collect())),
        };
        Self {
            model,
            prompt,
            messages,
            max_tokens: order.max_tokens,
            stream: true,
            stream_options: StreamOptions { include_usage: true },
            seed: order.sampling.seed,
            temperature: order.sampling.temperature,
            top_p: order.sampling.top_p,
            // Zero means "all of them", which every engine does by itself.
            top_k: order.sampling.top_k.filter(|top_k| extras == Extras::TopK && *top_k > 0),
            stop: &order.sampling.stop,
        }
    }

    /// The call without `top_p`, for an engine that takes no 1 there.
    #[must_use]
    pub fn without_whole_top_p(mut self) -> Self {
        self.top_p = self.top_p.filter(|top_p| *top_p < 1.0);
        self
    }

    /// The route that takes it.
    pub fn path(&self) -> &'static str {
        if self.messages.is_some() { "/v1/chat/completions" } else { "/v1/completions" }
    }

    /// It as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // Plain fields with string keys; JSON can say all of it.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl<'a> Turn<'a> {
    fn of(message: &'a Message) -> Self {
        Self { role: message.role.as_str(), content: message.content.expose() }
    }
}

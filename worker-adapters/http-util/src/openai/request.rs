//! What is asked of the engine: exactly the typed fields of an order.

use std::borrow::Cow;

use adapter_api::{CacheUse, Generate, Input, Message, OutputShape, Prompt, Role};
use serde::Serialize;

/// Fields beyond `OpenAI`'s that an engine takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extras {
    /// None: what the dialect does not know is left out.
    None,
    /// vLLM's.
    Vllm,
}

/// The body of one call. It shows nothing of what the client said.
#[derive(Serialize)]
pub struct CompletionCall<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<Cow<'a, str>>,
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
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat>,
    #[serde(flatten)]
    vllm: Option<VllmFields<'a>>,
}

/// What vLLM takes beside.
#[derive(Serialize)]
struct VllmFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition_penalty: Option<f64>,
    /// Prompts with another salt share no cache, so one that nobody else has makes a cold start.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_salt: Option<&'a str>,
    /// Both together make it go on with the last message instead of beginning another.
    #[serde(skip_serializing_if = "Option::is_none")]
    continue_final_message: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    add_generation_prompt: Option<bool>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct ResponseFormat {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'static str,
    content: &'a str,
}

impl<'a> CompletionCall<'a> {
    /// The call for an order, of the model that the engine knows as `model`.
    pub fn of(order: &'a Generate, model: &'a str, extras: Extras, request_id: &'a str) -> Self {
        let so_far = order.so_far.as_ref().map(Prompt::expose);
        let (prompt, messages) = match &order.input {
            Input::Text(text) => (Some(behind(text.expose(), so_far)), None),
            Input::Chat(messages) => (None, Some(turns(messages, so_far))),
        };
        let sampling = &order.sampling;
        let goes_on = (messages.is_some() && so_far.is_some()).then_some(true);
        let vllm = VllmFields {
            // Zero means "all of them", which every engine does by itself.
            top_k: sampling.top_k.filter(|top_k| *top_k > 0),
            min_p: sampling.min_p,
            repetition_penalty: sampling.repeat_penalty,
            cache_salt: (order.cache == CacheUse::Cold).then_some(request_id),
            continue_final_message: goes_on,
            add_generation_prompt: goes_on.map(|goes_on| !goes_on),
        };
        Self {
            model,
            prompt,
            messages,
            max_tokens: order.max_tokens,
            stream: true,
            stream_options: StreamOptions { include_usage: true },
            seed: sampling.seed,
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            presence_penalty: sampling.presence_penalty,
            frequency_penalty: sampling.frequency_penalty,
            stop: &sampling.stop,
            response_format: (order.shape == OutputShape::Json)
                .then_some(ResponseFormat { kind: "json_object" }),
            vllm: (extras == Extras::Vllm).then_some(vllm),
        }
    }

    /// The call without `top_p`, for an engine that takes no 1 there.
    #[must_use]
    pub fn without_whole_top_p(mut self) -> Self {
        self.top_p = self.top_p.filter(|top_p| *top_p < 1.0);
        self
    }

    /// The call without `response_format`, for an engine that wants a schema with it.
    #[must_use]
    pub fn without_shape(mut self) -> Self {
        self.response_format = None;
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

/// A text, and behind it what was said already.
fn behind<'a>(text: &'a str, so_far: Option<&str>) -> Cow<'a, str> {
    match so_far {
        None => Cow::Borrowed(text),
        Some(said) => Cow::Owned([text, said].concat()),
    }
}

fn turns<'a>(messages: &'a [Message], so_far: Option<&'a str>) -> Vec<Turn<'a>> {
    let turn = |message: &'a Message| Turn { role: message.role.as_str(), content: message.content.expose() };
    let begun = so_far.map(|content| Turn { role: Role::Assistant.as_str(), content });
    messages.iter().map(turn).chain(begun).collect()
}

//! What an adapter receives: one piece of work, rebuilt from typed fields.

use std::{fmt, sync::Arc};

/// Text that belongs to a client. It shows its length and never its content.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Prompt(Arc<str>);

impl Prompt {
    /// Wraps a client's text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that sends it to an engine.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prompt({} bytes)", self.0.len())
    }
}

/// Who speaks in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The operator of the conversation: it sets the tone.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
    /// A program that the model called.
    Tool,
}

impl Role {
    /// Its word on the wire of every engine with a chat template.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: Prompt,
}

impl Message {
    /// A turn of `role` with this text.
    pub fn new(role: Role, content: impl Into<Arc<str>>) -> Self {
        Self { role, content: Prompt::new(content) }
    }
}

/// What the engine goes on from. Its debug output shows lengths and roles, and no text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input {
    /// Text as it stands.
    Text(Prompt),
    /// A conversation, which the engine puts into the shape that its model was trained on.
    Chat(Vec<Message>),
}

impl Input {
    /// Plain text.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(Prompt::new(text))
    }
}

/// How the next token is chosen. What is `None` is left to the engine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sampling {
    /// The seed of the engine's random numbers.
    pub seed: Option<u64>,
    /// Softmax temperature; 0 is greedy.
    pub temperature: Option<f64>,
    /// Nucleus sampling: keep the most likely tokens up to this probability mass.
    pub top_p: Option<f64>,
    /// Keep this many most likely tokens.
    pub top_k: Option<u32>,
    /// Keep tokens that are at least so likely, relative to the most likely one.
    pub min_p: Option<f64>,
    /// What a token's score loses once it was said.
    pub presence_penalty: Option<f64>,
    /// What a token's score loses each time it was said.
    pub frequency_penalty: Option<f64>,
    /// What the score of a token that was said is divided by.
    pub repeat_penalty: Option<f64>,
    /// Texts that end the answer and are not part of it.
    pub stop: Vec<String>,
}

/// What shape the answer is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum OutputShape {
    /// Any text.
    #[default]
    Text,
    /// One JSON value, where the engine can hold the model to that.
    Json,
}

/// Whether the engine may take the prompt's beginning from its cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum CacheUse {
    /// It may.
    #[default]
    Reuse,
    /// It must compute the whole prompt again, where it can be told to.
    Cold,
}

/// Text that goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Generate {
    /// What to go on from.
    pub input: Input,
    /// What an earlier attempt has said already. The answer goes on behind it and does not repeat it.
    pub so_far: Option<Prompt>,
    /// No more tokens than these.
    pub max_tokens: u32,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// What shape the answer is to have.
    pub shape: OutputShape,
    /// Whether the cache may be used.
    pub cache: CacheUse,
}

impl Generate {
    /// From this input, so many tokens at most, and all else left to the engine.
    pub fn from(input: Input, max_tokens: u32) -> Self {
        Self {
            input,
            so_far: None,
            max_tokens,
            sampling: Sampling::default(),
            shape: OutputShape::default(),
            cache: CacheUse::default(),
        }
    }
}

/// A route of `OpenAI`'s API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// `/v1/chat/completions`.
    ChatCompletions,
    /// `/v1/completions`.
    Completions,
    /// `/v1/embeddings`.
    Embeddings,
}

impl Route {
    /// Its path, the same at every engine that has it.
    pub const fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
        }
    }
}

/// Whether the client of a relayed call wants the event that counts tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UsageEvent {
    /// It does.
    Wanted,
    /// It does not; the engine is asked for it all the same, and the event is kept back.
    Withheld,
}

/// A call in `OpenAI`'s dialect. Its answer is handed on as the engine writes it: each piece is one JSON
/// document on one line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Relay {
    /// Where it goes.
    pub route: Route,
    /// The members of the request's JSON object without the braces around them. `model`, `stream` and
    /// `stream_options` are not among them: those are the adapter's.
    pub members: Prompt,
    /// Whether the client wants the event that counts tokens.
    pub usage: UsageEvent,
    /// How many answers were asked for in one.
    pub answers: u32,
    /// No more tokens than these in each answer; `None` leaves it to the engine.
    pub max_tokens: Option<u32>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Text goes on. Each piece is a piece of that text.
    Generate(Generate),
    /// Each text becomes a vector. The one piece is a JSON list of lists of numbers, in the order of the texts.
    Embed(Vec<Prompt>),
    /// Texts are put in order. The one piece is a JSON list of `{"index", "score"}`, the best first.
    Rerank {
        /// What they are to be about.
        query: Prompt,
        /// The texts.
        documents: Vec<Prompt>,
    },
    /// A call is handed on.
    Relay(Relay),
}

/// A kind of work, as engines can or cannot do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Workload {
    /// Text goes on.
    Completion,
    /// Text becomes a vector.
    Embedding,
    /// Texts are put in order.
    Rerank,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Completion, Self::Embedding, Self::Rerank];

    /// Its name in requests and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completion => "completion",
            Self::Embedding => "embedding",
            Self::Rerank => "rerank",
        }
    }
}

impl Work {
    /// Its kind.
    pub const fn workload(&self) -> Workload {
        match self {
            Self::Generate(_)
            | Self::Relay(Relay { route: Route::ChatCompletions | Route::Completions, .. }) => {
                Workload::Completion
            }
            Self::Embed(_) | Self::Relay(Relay { route: Route::Embeddings, .. }) => Workload::Embedding,
            Self::Rerank { .. } => Workload::Rerank,
        }
    }

    /// More pieces than these are more than was asked for.
    pub const fn pieces_max(&self) -> u32 {
        /// Beside its tokens, an answer has an event for its role, one for its reason, one for its count.
        const EVENTS_BESIDE: u32 = 4;
        match self {
            Self::Generate(generate) => generate.max_tokens,
            Self::Embed(_) | Self::Rerank { .. } => 1,
            Self::Relay(Relay { max_tokens: None, .. }) => u32::MAX,
            Self::Relay(Relay { max_tokens: Some(tokens), answers, .. }) => {
                tokens.saturating_add(EVENTS_BESIDE).saturating_mul(*answers)
            }
        }
    }
}

/// One piece of work for one engine.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkOrder {
    /// Names this work in the engine's own logs.
    pub request_id: Arc<str>,
    /// The model as the client named it, for engines that serve several.
    pub model: Arc<str>,
    /// What is to be done.
    pub work: Work,
    /// W3C trace context to pass on.
    pub trace: Option<Arc<PassedOn>>,
}

/// W3C trace context as headers say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOn {
    /// Names the trace, and the span that the engine's work belongs to.
    pub traceparent: Arc<str>,
    /// What tracing systems hand themselves on beside it.
    pub tracestate: Option<Arc<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_never_shows_its_text() {
        let shown = format!("{:?}", Prompt::new("my secret diary"));
        assert_eq!(shown, "Prompt(15 bytes)");
    }

    #[test]
    fn a_conversation_shows_who_spoke_and_how_much_but_not_what() {
        let said =
            Input::Chat(vec![Message::new(Role::User, "my secret"), Message::new(Role::Tool, "diary")]);
        let shown = format!("{said:?}");
        assert!(shown.contains("User") && shown.contains("9 bytes") && shown.contains("Tool"), "{shown}");
        assert!(!shown.contains("secret") && !shown.contains("diary"), "{shown}");
    }
}

//! What an adapter receives: one piece of work, rebuilt from typed fields.

use std::{fmt, sync::Arc};

/// Text that belongs to a client. It shows its length and never its content.
#[derive(Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Texts that end the answer and are not part of it.
    pub stop: Vec<String>,
}

/// One piece of work for one engine.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkOrder {
    /// Names this work in the engine's own logs.
    pub request_id: Arc<str>,
    /// The model as the client named it, for engines that serve several.
    pub model: Arc<str>,
    /// What to go on from.
    pub input: Input,
    /// No more tokens than these.
    pub max_tokens: u32,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// W3C trace context to pass on.
    pub traceparent: Option<Arc<str>>,
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

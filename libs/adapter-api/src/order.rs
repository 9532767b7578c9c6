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
    /// The text to go on from.
    pub prompt: Prompt,
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
}

//! What of a call is read.

use adapter_api::{AdapterError, Generate, Input, Message, Relay, Role, Sampling};
use serde::Deserialize;
use serde_json::{Value, json};

use super::instance::instance;
use crate::vectors;

/// Tokens of an answer that has no limit.
const TOKENS_DEFAULT: u32 = 16;

/// The members that are known.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Call {
    #[serde(default)]
    messages: Vec<Turn>,
    prompt: Option<Texts>,
    input: Option<Texts>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    seed: Option<i64>,
    n: Option<u32>,
    stop: Option<Texts>,
    #[serde(default)]
    tools: Vec<Tool>,
    tool_choice: Option<Value>,
    response_format: Option<Value>,
    encoding_format: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Turn {
    role: String,
    content: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
    /// Token numbers, which the mock has no words for.
    Other(Value),
}

impl Texts {
    fn list(&self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text.clone()],
            Self::Many(texts) => texts.clone(),
            Self::Other(value) => vec![value.to_string()],
        }
    }
}

#[derive(Debug, Deserialize)]
struct Tool {
    function: Function,
}

#[derive(Debug, Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    parameters: Value,
}

/// One answer to be given.
pub(crate) enum Answer {
    /// Words.
    Words(Box<Generate>),
    /// These parts of a message, and the reason of its end.
    Known(Vec<Value>, &'static str),
}

impl Call {
    /// Reads the members of a call.
    pub(crate) fn of(relay: &Relay) -> Result<Self, AdapterError> {
        serde_json::from_str(&format!("{{{}}}", relay.members.expose()))
            .map_err(|error| AdapterError::Refused { message: format!("the call does not fit: {error}") })
    }

    /// All answers that it asks for.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        let times = self.n.unwrap_or(1);
        if let Some(known) = self.known() {
            return (0..times).map(|_| Answer::Known(known.0.clone(), known.1)).collect();
        }
        let inputs: Vec<Input> = match &self.prompt {
            Some(prompts) => prompts.list().into_iter().map(Input::text).collect(),
            None => vec![Input::Chat(self.messages.iter().map(message).collect())],
        };
        let limit = self.max_completion_tokens.or(self.max_tokens).unwrap_or(TOKENS_DEFAULT);
        let stop = self.stop.as_ref().map(Texts::list).unwrap_or_default();
        let seed = self.seed.unwrap_or(0).unsigned_abs();
        let words = |input: &Input, nth: u32| {
            let sampling =
                Sampling { seed: Some(seed + u64::from(nth)), stop: stop.clone(), ..Sampling::default() };
            Answer::Words(Box::new(Generate { sampling, ..Generate::from(input.clone(), limit) }))
        };
        inputs.iter().flat_map(|input| (0..times).map(|nth| words(input, nth)).collect::<Vec<_>>()).collect()
    }

    /// The texts that are to become vectors.
    pub(crate) fn inputs(&self) -> Vec<String> {
        self.input.as_ref().map(Texts::list).unwrap_or_default()
    }

    /// A text's vector, in the encoding that is asked for.
    pub(crate) fn vector(&self, text: &str) -> Value {
        match self.encoding_format.as_deref() {
            Some("base64") => json!(vectors::base64(text)),
            _ => json!(vectors::vector(text)),
        }
    }

    /// Tokens of all that was said.
    pub(crate) fn prompt_tokens(&self) -> u32 {
        let prompts = self.prompt.iter().chain(&self.input).flat_map(Texts::list);
        let turns = self.messages.iter().filter_map(|turn| turn.content.as_ref()).map(text);
        let all: Vec<String> = prompts.chain(turns).collect();
        vectors::tokens(all.iter().map(String::as_str))
    }

    /// What the answer must be, whatever the words.
    fn known(&self) -> Option<(Vec<Value>, &'static str)> {
        if let Some(tool) = self.forced_tool() {
            let arguments = instance(&tool.parameters).to_string();
            let (head, tail) = arguments.split_at(arguments.len().min(1));
            let named = json!({"tool_calls": [{"index": 0, "id": "call_mock", "type": "function",
                "function": {"name": tool.name, "arguments": head}}]});
            let more = json!({"tool_calls": [{"index": 0, "function": {"arguments": tail}}]});
            return Some((vec![named, more], "tool_calls"));
        }
        let format = self.response_format.as_ref()?;
        let value = match format.get("type")?.as_str()? {
            "json_schema" => instance(format.pointer("/json_schema/schema")?),
            "json_object" => json!({}),
            _ => return None,
        };
        Some((vec![json!({"content": value.to_string()})], "stop"))
    }

    fn forced_tool(&self) -> Option<&Function> {
        let choice = self.tool_choice.as_ref()?;
        match choice.pointer("/function/name").and_then(Value::as_str) {
            Some(name) => self.tools.iter().map(|tool| &tool.function).find(|function| function.name == name),
            None if choice == "required" => self.tools.first().map(|tool| &tool.function),
            None => None,
        }
    }
}

fn message(turn: &Turn) -> Message {
    let role = match turn.role.as_str() {
        "system" | "developer" => Role::System,
        "assistant" => Role::Assistant,
        "tool" | "function" => Role::Tool,
        _ => Role::User,
    };
    Message::new(role, turn.content.as_ref().map(text).unwrap_or_default())
}

/// The text of a message's content, which may stand in parts.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect(),
        _ => String::new(),
    }
}

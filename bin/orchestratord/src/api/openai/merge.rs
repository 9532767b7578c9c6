//! From the events of an answer to the answer as a whole.
//!
//! Engines are always asked for events, so that a call can be watched, counted and stopped; whoever wants
//! the answer at once gets its parts put together. Members that are not known here are kept, so that
//! nothing an engine says is lost on the way.

use serde_json::{Map, Value, json};

/// The documents in a run of whole frames.
fn documents(frames: &[u8]) -> impl Iterator<Item = Value> {
    let lines = frames.split(|&byte| byte == b'\n');
    let data = lines.filter_map(|line| line.strip_prefix(b"data: ".as_slice()));
    data.filter_map(|data| serde_json::from_slice(data).ok())
}

/// The answer whose parts these frames are; `None` when they are none.
pub(super) fn whole(frames: &[u8]) -> Option<Value> {
    let mut whole = Map::new();
    for document in documents(frames) {
        let Value::Object(mut part) = document else { continue };
        if let Some(Value::Array(choices)) = part.remove("choices") {
            add_numbered(whole.entry("choices").or_insert_with(|| json!([])), choices);
        }
        for (name, value) in part {
            set(&mut whole, name, value);
        }
    }
    if let Some(Value::Array(choices)) = whole.get_mut("choices") {
        choices.iter_mut().filter_map(Value::as_object_mut).for_each(finish_choice);
    }
    if whole.get("object") == Some(&json!("chat.completion.chunk")) {
        whole.insert("object".to_owned(), json!("chat.completion"));
    }
    (!whole.is_empty()).then_some(Value::Object(whole))
}

/// The text of the first answer, as far as it is said.
pub(in super::super) fn text_of(frames: &[u8]) -> Option<String> {
    let whole = whole(frames)?;
    let first = whole.get("choices")?.get(0)?;
    let text = first.get("text").or_else(|| first.get("message")?.get("content"))?;
    text.as_str().map(str::to_owned)
}

/// A value that comes again replaces the one before it; `null` says nothing new.
fn set(into: &mut Map<String, Value>, name: String, value: Value) {
    if value.is_null() {
        into.entry(name).or_insert(value);
    } else {
        into.insert(name, value);
    }
}

/// Adds parts that say by their `index` what they are parts of.
fn add_numbered(into: &mut Value, parts: Vec<Value>) {
    let Value::Array(known) = into else { return };
    for part in parts {
        let index = part.get("index").cloned();
        let same = known.iter_mut().find(|it| index.is_some() && it.get("index") == index.as_ref());
        match same {
            Some(whole) => add(whole, part),
            None => known.push(part),
        }
    }
}

/// Adds one part of a choice, a message or a call to what is there of it.
fn add(into: &mut Value, part: Value) {
    match (into, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (name, value) in part {
                match whole.get_mut(&name) {
                    // These are said once, or over again, but never in parts.
                    Some(known) if !is_whole(&name) && !known.is_null() => add(known, value),
                    _ => set(whole, name, value),
                }
            }
        }
        (Value::String(whole), Value::String(part)) => whole.push_str(&part),
        (whole @ Value::Array(_), Value::Array(parts)) => add_numbered(whole, parts),
        (_, Value::Null) => {}
        (whole, part) => *whole = part,
    }
}

fn is_whole(name: &str) -> bool {
    ["index", "role", "id", "type", "name", "finish_reason", "stop_reason"].contains(&name)
}

/// Turns the sum of a choice's parts into a choice.
fn finish_choice(choice: &mut Map<String, Value>) {
    let Some(mut message) = choice.remove("delta") else { return };
    if let Some(message) = message.as_object_mut() {
        message.entry("role").or_insert_with(|| json!("assistant"));
        message.entry("content").or_insert(Value::Null);
        if let Some(Value::Array(calls)) = message.get_mut("tool_calls") {
            for call in calls.iter_mut().filter_map(Value::as_object_mut) {
                call.remove("index");
            }
        }
    }
    choice.insert("message".to_owned(), message);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(documents: &[Value]) -> Vec<u8> {
        let frames: Vec<_> = documents.iter().map(|document| format!("data: {document}\n\n")).collect();
        (frames.concat() + "data: [DONE]\n\n").into_bytes()
    }

    fn chunk(choices: &Value) -> Value {
        json!({"id": "c-1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": choices})
    }

    #[test]
    fn a_conversations_parts_become_a_message() {
        let parts = [
            chunk(
                &json!([{"index": 0, "delta": {"role": "assistant", "content": null}, "finish_reason": null}]),
            ),
            chunk(
                &json!([{"index": 0, "delta": {"content": "Hel"}, "logprobs": {"content": [{"token": "Hel"}]}}]),
            ),
            chunk(
                &json!([{"index": 0, "delta": {"content": "lo"}, "logprobs": {"content": [{"token": "lo"}]}}]),
            ),
            chunk(&json!([{"index": 0, "delta": {}, "finish_reason": "stop"}])),
            json!({"id": "c-1", "object": "chat.completion.chunk", "choices": [], "usage": {"total_tokens": 5},
                "timings": {"predicted_ms": 1.5}}),
        ];
        let expected = json!({"id": "c-1", "object": "chat.completion", "created": 7, "model": "m",
            "usage": {"total_tokens": 5}, "timings": {"predicted_ms": 1.5},
            "choices": [{"index": 0, "finish_reason": "stop",
                "logprobs": {"content": [{"token": "Hel"}, {"token": "lo"}]},
                "message": {"role": "assistant", "content": "Hello"}}]});
        assert_eq!(whole(&frames(&parts)), Some(expected));
        assert_eq!(text_of(&frames(&parts)).as_deref(), Some("Hello"));
    }

    #[test]
    fn calls_of_tools_are_put_together_by_their_number() {
        let call = |call: Value| chunk(&json!([{"index": 0, "delta": {"tool_calls": [call]}}]));
        let parts = [
            call(
                json!({"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}),
            ),
            call(json!({"index": 0, "function": {"arguments": "{\"x\":"}})),
            call(
                json!({"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}),
            ),
            call(json!({"index": 0, "function": {"arguments": "1}"}})),
        ];
        let message = json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ]});
        assert_eq!(whole(&frames(&parts)).unwrap()["choices"][0]["message"], message);
        assert_eq!(text_of(&frames(&parts)), None);
    }

    #[test]
    fn what_engines_say_over_again_is_said_once() {
        let role =
            |text: &str| chunk(&json!([{"index": 0, "delta": {"role": "assistant", "content": text}}]));
        let call = |arguments: &str| {
            let call = json!({"index": 0, "id": "a", "type": "function",
                "function": {"name": "f", "arguments": arguments}});
            chunk(&json!([{"index": 0, "delta": {"tool_calls": [call], "reasoning": null}}]))
        };
        let think = chunk(&json!([{"index": 0, "delta": {"reasoning": "hm"}}]));
        let whole = whole(&frames(&[role("a"), role("b"), call("{"), think, call("}")])).unwrap();
        let message = json!({"role": "assistant", "content": "ab", "reasoning": "hm", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
        assert_eq!(whole["choices"][0]["message"], message);
    }

    #[test]
    fn several_answers_are_kept_apart_and_unknown_members_are_kept() {
        let part = |index: u32, text: &str| json!({"object": "text_completion", "choices": [{"index": index, "text": text}], "engine_extra": text});
        let whole = whole(&frames(&[part(0, "a"), part(1, "x"), part(0, "b"), part(1, "y")])).unwrap();
        let choices = json!([{"index": 0, "text": "ab"}, {"index": 1, "text": "xy"}]);
        assert_eq!((&whole["object"], &whole["choices"]), (&json!("text_completion"), &choices));
        assert_eq!(whole["engine_extra"], "y");
    }

    #[test]
    fn nothing_is_no_answer() {
        assert_eq!(whole(b"data: [DONE]\n\n"), None);
        assert_eq!(whole(b""), None);
    }
}

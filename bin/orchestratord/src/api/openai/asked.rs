//! How much a call asks of an engine.

use adapter_api::Route;
use http_util::{Member, Scanner};
use serde::Deserialize;

use super::{
    super::from_wire::{Need, Seen},
    members::Members,
};
use crate::error::ApiError;

pub(super) const ANSWERS_MAX: i64 = 128;
const INPUTS_MAX: usize = 1_024;
const MESSAGES_MAX: usize = 1_024;
/// What an answer without a limit may have, for budgets: more than any budget that is meant as one.
const UNLIMITED: u64 = 1 << 32;

/// How much is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct AskedFor {
    pub(super) need: Need,
    pub(super) answers: u32,
    pub(super) max_tokens: Option<u32>,
}

impl AskedFor {
    pub(super) fn read(members: &Members<'_>, route: Route) -> Result<Self, ApiError> {
        let (lengths, seen) = match route {
            Route::ChatCompletions => (vec![turns(members)?], Seen::AtOnce),
            Route::Completions => (texts(members, "prompt")?, Seen::OneByOne),
            Route::Embeddings => (texts(members, "input")?, Seen::OneByOne),
        };
        if route == Route::Embeddings {
            let need = Need::of(lengths.into_iter(), seen, 0);
            return Ok(Self { need, answers: 1, max_tokens: None });
        }
        let wanted = members.integer("n", 1..=ANSWERS_MAX)?.and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        let prompts = if route == Route::Completions { lengths.len() } else { 1 };
        let answers = wanted.saturating_mul(u32::try_from(prompts).unwrap_or(u32::MAX));
        let max_tokens = members.tokens("max_completion_tokens")?.or(members.tokens("max_tokens")?);
        let mut need = Need::of(lengths.into_iter(), seen, max_tokens.unwrap_or(0));
        let most = max_tokens.map_or(UNLIMITED, u64::from);
        need.at_most += most * u64::from(answers) - u64::from(need.answer);
        Ok(Self { need, answers, max_tokens })
    }
}

/// How many bytes a conversation has, and the tools that come with it.
fn turns(members: &Members<'_>) -> Result<usize, ApiError> {
    let turns = match members.raw("messages").and_then(turns_scanned) {
        Some(turns) => turns,
        None => turns_parsed(members)?,
    };
    if !(1..=MESSAGES_MAX).contains(&turns) {
        return Err(ApiError::invalid("messages", format!("must be 1 to {MESSAGES_MAX} turns")));
    }
    let length = |name| members.raw(name).map_or(0, str::len);
    Ok(length("messages") + length("tools") + length("functions"))
}

/// How many turns there are, if they are written in the usual way.
fn turns_scanned(messages: &str) -> Option<usize> {
    let mut turns = 0;
    Scanner::read(messages, |scanner| {
        scanner.array(|scanner| {
            let mut role = Member::default();
            scanner.object(|name, scanner| match name {
                "role" => role.read(scanner, Scanner::string_as_written),
                _ => scanner.skip(),
            })?;
            turns += 1;
            role.value().map(|_| ())
        })
    })?;
    Some(turns)
}

fn turns_parsed(members: &Members<'_>) -> Result<usize, ApiError> {
    #[derive(Deserialize)]
    struct Turn {
        #[serde(rename = "role")]
        _role: String,
    }
    let turns: Vec<Turn> = members.required("messages", "a list of objects, each with a role")?;
    Ok(turns.len())
}

/// How many bytes each text has, or would have if it were text instead of token numbers.
fn texts(members: &Members<'_>, name: &str) -> Result<Vec<usize>, ApiError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Texts {
        One(String),
        Many(Vec<String>),
        Tokens(Vec<u32>),
        ManyTokens(Vec<Vec<u32>>),
    }
    /// A token is about as many bytes of text.
    const TOKEN_BYTES: usize = 4;
    let lengths = match members.required(name, "a text, a list of texts, or token numbers")? {
        Texts::One(text) => vec![text.len()],
        Texts::Many(texts) => texts.iter().map(String::len).collect(),
        Texts::Tokens(tokens) => vec![tokens.len() * TOKEN_BYTES],
        Texts::ManyTokens(lists) => lists.iter().map(|tokens| tokens.len() * TOKEN_BYTES).collect(),
    };
    if !(1..=INPUTS_MAX).contains(&lengths.len()) || lengths.contains(&0) {
        return Err(ApiError::invalid(name, format!("must be 1 to {INPUTS_MAX} texts, none of them empty")));
    }
    Ok(lengths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, route: Route) -> AskedFor {
        AskedFor::read(&Members::read(body.as_bytes()).unwrap(), route).unwrap()
    }

    #[test]
    fn a_conversation_needs_its_turns_its_tools_and_each_answer() {
        let (messages, tools) = (r#"[{"role":"user","content":"hi"}]"#, r#"[{"type":"function"}]"#);
        let body = format!(r#"{{"messages":{messages},"tools":{tools},"max_tokens":10,"n":3}}"#);
        let asked = read(&body, Route::ChatCompletions);
        let bytes = messages.len() + tools.len();
        assert_eq!((asked.answers, asked.max_tokens), (3, Some(10)));
        assert_eq!(asked.need.prompt as usize, bytes.div_ceil(4));
        assert_eq!(asked.need.ctx, asked.need.prompt + 10);
        assert_eq!(asked.need.at_most, bytes as u64 + 64 + 3 * 10);
    }

    #[test]
    fn texts_and_token_numbers_are_measured_alike_and_multiply_the_answers() {
        let asked = read(r#"{"prompt":["12345","1234567"],"max_tokens":2,"n":2}"#, Route::Completions);
        assert_eq!((asked.answers, asked.need.prompt, asked.need.ctx), (4, 3, 2 + 2));
        assert_eq!(asked.need.at_most, 12 + 2 * 64 + 4 * 2);
        let asked = read(r#"{"prompt":[[1,2,3],[4]]}"#, Route::Completions);
        assert_eq!((asked.answers, asked.need.prompt), (2, 4));
        let asked = read(r#"{"input":[1,2,3]}"#, Route::Embeddings);
        assert_eq!((asked.answers, asked.need.prompt, asked.need.at_most), (1, 3, 12 + 64));
    }

    #[test]
    fn an_answer_without_a_limit_may_use_more_than_any_budget() {
        let asked = read(r#"{"messages":[{"role":"user"}]}"#, Route::ChatCompletions);
        assert_eq!(asked.max_tokens, None);
        assert!(asked.need.at_most > UNLIMITED, "{}", asked.need.at_most);
        let newer = read(
            r#"{"messages":[{"role":"user"}],"max_completion_tokens":5,"max_tokens":7}"#,
            Route::ChatCompletions,
        );
        assert_eq!(newer.max_tokens, Some(5));
    }

    #[test]
    fn turns_are_counted_by_the_scanner_as_the_parser_counts_them() {
        let counted = |messages: &str| {
            let body = format!(r#"{{"messages":{messages}}}"#);
            let parsed = turns_parsed(&Members::read(body.as_bytes()).unwrap()).ok();
            let scanned = turns_scanned(messages);
            assert!(scanned.is_none() || scanned == parsed, "{messages}: {scanned:?} {parsed:?}");
            (scanned, parsed)
        };
        let one = r#"{"role":"user","content":"a\n","tool_calls":[{"role":1}]}"#;
        for (messages, count) in
            [("[]".to_owned(), 0), (format!("[{one}]"), 1), (format!("[ {one} , {one}]"), 2)]
        {
            assert_eq!(counted(&messages), (Some(count), Some(count)));
        }
        for (odd, count) in [
            (r#"[["user"]]"#, Some(1)),
            (r#"[{"\u0072ole":"user"}]"#, Some(1)),
            (r#"[{"role":"us\u0065r"}]"#, Some(1)),
            (r#"[{"role":"user","role":"user"}]"#, None),
            (r#"[{"role":null}]"#, None),
            (r#"[{"content":"a"}]"#, None),
            (r#"["user"]"#, None),
            (r#"{"role":"user"}"#, None),
        ] {
            assert_eq!(counted(odd), (None, count), "{odd}");
        }
    }
}

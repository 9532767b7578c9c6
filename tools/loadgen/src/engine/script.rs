//! The bytes of a stream, prepared once.
//!
//! The text counts ` 0 1 2 … 499 0 …`, one number per token, so a token that a relay lost, doubled or
//! moved is seen at once. The events have the shape and the size of llama.cpp's own.

use std::time::Duration;

/// The text starts again after so many numbers.
pub(crate) const PERIOD: usize = 500;
/// What the engine says the prompt was, in tokens; it never reads it.
const PROMPT_TOKENS: usize = 2;
/// The id of the token ` 0` in the vocabulary that the numbers are borrowed from.
const FIRST_TOKEN_ID: usize = 260;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nAccess-Control-Allow-Origin: \r\n\
    X-Accel-Buffering: no\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// In which words a stream is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// llama.cpp's own.
    Llamacpp,
    /// That of `OpenAI`'s chat completions, as llama.cpp writes it.
    OpenAi,
}

/// The response head followed by every token's chunk, and where each of them ends.
pub(crate) struct Script {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Script {
    /// Prepares a stream of `tokens` tokens, of which any shorter one is a prefix.
    pub(crate) fn new(tokens: usize, dialect: Dialect) -> Self {
        let mut bytes = HEAD.to_vec();
        if dialect == Dialect::OpenAi {
            push_chunk(&mut bytes, &openai_event(r#"{"role":"assistant","content":null}"#, "null", ""));
        }
        let mut ends = vec![bytes.len()];
        for index in 0..tokens {
            push_chunk(&mut bytes, &token(index, dialect));
            ends.push(bytes.len());
        }
        Self { bytes, ends }
    }

    /// The head and the first `tokens` tokens.
    pub(crate) fn up_to(&self, tokens: usize) -> &[u8] {
        &self.bytes[..self.ends[tokens]]
    }

    /// The tokens after the first `sent` up to the first `due`.
    pub(crate) fn between(&self, sent: usize, due: usize) -> &[u8] {
        &self.bytes[self.ends[sent]..self.ends[due]]
    }
}

fn token(index: usize, dialect: Dialect) -> String {
    let (number, counted) = (index % PERIOD, index + 1);
    let id = FIRST_TOKEN_ID + number;
    match dialect {
        Dialect::Llamacpp => format!(
            "data: {{\"index\":0,\"content\":\" {number}\",\"tokens\":[{id}],\"stop\":false,\
             \"id_slot\":-1,\"tokens_predicted\":{counted},\"tokens_evaluated\":{PROMPT_TOKENS}}}\n\n"
        ),
        Dialect::OpenAi => openai_event(&format!(r#"{{"content":" {number}"}}"#), "null", ""),
    }
}

/// One event with this delta, in the shape and the size of llama.cpp's own.
fn openai_event(delta: &str, finish_reason: &str, more: &str) -> String {
    let model = super::answer::MODEL_PATH;
    format!(
        "data: {{\"choices\":[{{\"finish_reason\":{finish_reason},\"index\":0,\"delta\":{delta}}}],\
         \"created\":1795532534,\"id\":\"chatcmpl-KCYw09App0mTKO7Kd6TgzbcIIIq7omb5\",\"model\":\"{model}\",\
         \"system_fingerprint\":\"cheap-engine\",\"object\":\"chat.completion.chunk\"{more}}}\n\n"
    )
}

/// What ends a stream of `tokens` tokens, and the end of the chunked body.
pub(crate) fn ending(dialect: Dialect, tokens: usize, took: Duration) -> Vec<u8> {
    match dialect {
        Dialect::Llamacpp => llamacpp_ending(tokens, took),
        Dialect::OpenAi => openai_ending(tokens),
    }
}

fn openai_ending(tokens: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_chunk(&mut bytes, &openai_event("{}", "\"length\"", ""));
    let usage = format!(
        ",\"usage\":{{\"completion_tokens\":{tokens},\"prompt_tokens\":{PROMPT_TOKENS},\"total_tokens\":{}}}",
        tokens + PROMPT_TOKENS
    );
    let event = openai_event("{}", "null", &usage);
    // The event that counts has no choice in it.
    let (head, rest) = (event.find('[').unwrap_or(0), event.find(']').unwrap_or(0));
    push_chunk(&mut bytes, &format!("{}{}", &event[..=head], &event[rest..]));
    push_chunk(&mut bytes, "data: [DONE]\n\n");
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

fn llamacpp_ending(tokens: usize, took: Duration) -> Vec<u8> {
    let took_ms = (took.as_secs_f64() * 1_000.0).max(0.001);
    let each_ms = took_ms / f64::from(u32::try_from(tokens).unwrap_or(u32::MAX));
    let per_second = 1_000.0 / each_ms;
    let cached = PROMPT_TOKENS + tokens - 1;
    let mut bytes = Vec::with_capacity(2_048);
    push_chunk(
        &mut bytes,
        &format!(
            "data: {{\"index\":0,\"content\":\"\",\"tokens\":[],\"id_slot\":0,\"stop\":true,\
             \"model\":\"{model}\",\"tokens_predicted\":{tokens},\"tokens_evaluated\":{PROMPT_TOKENS},\
             \"generation_settings\":{SETTINGS},\"prompt\":\"\",\"has_new_line\":false,\
             \"truncated\":{truncated},\"stop_type\":\"limit\",\"stopping_word\":\"\",\
             \"tokens_cached\":{cached},\"timings\":{{\"cache_n\":1,\"prompt_n\":1,\"prompt_ms\":0.5,\
             \"prompt_per_token_ms\":0.5,\"prompt_per_second\":2000.0,\"predicted_n\":{tokens},\
             \"predicted_ms\":{took_ms:.3},\"predicted_per_token_ms\":{each_ms:.6},\
             \"predicted_per_second\":{per_second:.3}}}}}\n\n",
            model = super::answer::MODEL_PATH,
            truncated = tokens >= super::CTX,
        ),
    );
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// A real last event carries about a kilobyte of settings, and a relay has to get past them.
const SETTINGS: &str = concat!(
    r#"{"seed":1,"temperature":0.0,"dynatemp_range":0.0,"dynatemp_exponent":1.0,"top_k":40,"#,
    r#""top_p":0.95,"min_p":0.05,"top_n_sigma":-1.0,"xtc_probability":0.0,"xtc_threshold":0.1,"#,
    r#""typical_p":1.0,"repeat_last_n":64,"repeat_penalty":1.0,"presence_penalty":0.0,"#,
    r#""frequency_penalty":0.0,"dry_multiplier":0.0,"dry_base":1.75,"dry_allowed_length":2,"#,
    r#""dry_penalty_last_n":64,"dry_sequence_breakers":["\n",":","\"","*"],"mirostat":0,"#,
    r#""mirostat_tau":5.0,"mirostat_eta":0.1,"stop":[],"max_tokens":-1,"n_predict":-1,"n_keep":0,"#,
    r#""n_discard":0,"ignore_eos":false,"stream":true,"logit_bias":[],"n_probs":0,"min_keep":0,"#,
    r#""grammar":"","grammar_lazy":false,"grammar_triggers":[],"preserved_tokens":[],"#,
    r#""chat_format":"Content-only","reasoning_format":"none","samplers":["penalties","dry","top_k","#,
    r#""typ_p","top_p","min_p","xtc","temperature"],"timings_per_token":false,"lora":[]}"#,
);

fn push_chunk(out: &mut Vec<u8>, data: &str) {
    out.extend_from_slice(format!("{:x}\r\n{data}\r\n", data.len()).as_bytes());
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn event(chunk: &[u8]) -> Value {
        let text = str::from_utf8(chunk).unwrap();
        let (size, rest) = text.split_once("\r\n").unwrap();
        let data = &rest[..usize::from_str_radix(size, 16).unwrap()];
        serde_json::from_str(data.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap()).unwrap()
    }

    #[test]
    fn each_token_is_one_chunk_that_counts_on() {
        let script = Script::new(502, Dialect::Llamacpp);
        for (index, text) in [(0, " 0"), (1, " 1"), (499, " 499"), (500, " 0"), (501, " 1")] {
            let event = event(script.between(index, index + 1));
            assert_eq!(event["content"], text);
            assert_eq!(event["tokens_predicted"], index + 1);
            assert_eq!(event["stop"], false);
        }
    }

    #[test]
    fn prefix_and_remainder_make_the_whole() {
        let script = Script::new(9, Dialect::Llamacpp);
        let joined = [script.up_to(4), script.between(4, 4), script.between(4, 9)].concat();
        assert_eq!(joined, script.up_to(9));
        assert!(script.up_to(0).ends_with(b"\r\n\r\n"));
    }

    #[test]
    fn ending_reports_the_count_and_closes_the_body() {
        let bytes = ending(Dialect::Llamacpp, 7, Duration::ZERO);
        let event = event(&bytes);
        assert_eq!(event["stop"], true);
        assert_eq!(event["stop_type"], "limit");
        assert_eq!(event["tokens_predicted"], 7);
        assert_eq!(event["timings"]["predicted_n"], 7);
        assert!(bytes.ends_with(b"\r\n0\r\n\r\n"));
    }

    #[test]
    fn openais_stream_has_a_role_tokens_a_reason_a_count_and_a_mark() {
        let script = Script::new(2, Dialect::OpenAi);
        let whole = [script.up_to(2), &ending(Dialect::OpenAi, 2, Duration::ZERO)].concat();
        let text = String::from_utf8(whole).unwrap();
        let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(data.last(), Some(&"[DONE]"));
        let events: Vec<Value> = data[..5].iter().map(|data| serde_json::from_str(data).unwrap()).collect();
        assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(events[2]["choices"][0]["delta"]["content"], " 1");
        assert_eq!(events[3]["choices"][0]["finish_reason"], "length");
        assert_eq!(
            (&events[4]["usage"]["completion_tokens"], &events[4]["choices"]),
            (&2.into(), &Value::Array(vec![]))
        );
    }
}

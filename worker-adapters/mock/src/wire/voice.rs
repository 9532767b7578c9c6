//! How the events of one kind of engine are written.

use super::{Act, Ending, Script, body_end, last, stream_head, token_bytes};

/// The events of one dialect.
#[derive(Debug, Clone, Copy)]
pub struct Voice {
    token: fn(&[u8], usize) -> Vec<u8>,
    end: fn(Ending, usize) -> Vec<u8>,
}

impl Voice {
    /// llama.cpp's own.
    pub const LLAMACPP: Self = Self { token: token_bytes, end: llamacpp_end };
    /// `OpenAI`'s.
    pub const OPENAI: Self = Self { token: openai_token, end: openai_end };
    /// TGI's own.
    pub const TGI: Self = Self { token: tgi_token, end: tgi_end };

    /// A token event. `text` stands inside a JSON string, escapes and all, and may be any bytes.
    pub fn token(self, text: impl AsRef<[u8]>, count: usize) -> Act {
        Act::Chunk((self.token)(text.as_ref(), count))
    }

    /// The good end, with so many tokens counted.
    pub fn end(self, ending: Ending, count: usize) -> Act {
        Act::Chunk((self.end)(ending, count))
    }

    /// An answer's beginning: its head, and one event for each text.
    pub fn begun<T: AsRef<[u8]>>(self, texts: &[T]) -> Script {
        let tokens = texts.iter().enumerate().map(|(index, text)| self.token(text, index + 1));
        std::iter::once(stream_head()).chain(tokens).collect()
    }

    /// A whole good answer.
    pub fn completion<T: AsRef<[u8]>>(self, texts: &[T], ending: Ending) -> Script {
        let mut script = self.begun(texts);
        script.extend([self.end(ending, texts.len()), body_end()]);
        script
    }

    /// A short good answer.
    pub(super) fn good(self) -> Script {
        self.completion(&[" ok"], Ending::Eos)
    }
}

fn llamacpp_end(ending: Ending, count: usize) -> Vec<u8> {
    match last(ending, count) {
        Act::Chunk(bytes) => bytes,
        _ => Vec::new(),
    }
}

fn openai_token(text: &[u8], _count: usize) -> Vec<u8> {
    let before = br#"data: {"id":"cmpl-1","object":"text_completion","model":"scripted","choices":[{"index":0,"text":""#;
    [before.as_slice(), text, b"\",\"logprobs\":null,\"finish_reason\":null}]}\n\n"].concat()
}

fn openai_end(ending: Ending, count: usize) -> Vec<u8> {
    let reason = match ending {
        Ending::Eos => "stop",
        Ending::Limit => "length",
    };
    let finish = format!(
        r#"data: {{"id":"cmpl-1","choices":[{{"index":0,"text":"","logprobs":null,"finish_reason":"{reason}"}}]}}"#
    );
    let usage = format!(
        r#"data: {{"id":"cmpl-1","choices":[],"usage":{{"prompt_tokens":2,"completion_tokens":{count},"total_tokens":{}}}}}"#,
        count + 2
    );
    format!("{finish}\n\n{usage}\n\ndata: [DONE]\n\n").into_bytes()
}

fn tgi_token(text: &[u8], count: usize) -> Vec<u8> {
    let before = format!(r#"data: {{"index":{count},"token":{{"id":{count},"text":""#);
    let after = b"\",\"logprob\":-0.01,\"special\":false},\"generated_text\":null,\"details\":null}\n\n";
    [before.as_bytes(), text, after].concat()
}

fn tgi_end(ending: Ending, count: usize) -> Vec<u8> {
    let reason = match ending {
        Ending::Eos => "eos_token",
        Ending::Limit => "length",
    };
    format!(
        "data: {{\"index\":{count},\"token\":{{\"id\":0,\"text\":\"<|endoftext|>\",\"logprob\":-0.01,\"special\":true}},\"generated_text\":\"\",\"details\":{{\"finish_reason\":\"{reason}\",\"generated_tokens\":{count},\"seed\":null,\"input_length\":2}}}}\n\n"
    )
    .into_bytes()
}

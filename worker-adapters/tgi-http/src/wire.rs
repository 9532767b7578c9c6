//! TGI's JSON, as far as it is used. Private to this crate.

use std::borrow::Cow;

use adapter_api::{Generate, Input, Sampling};
use http_util::ByteString;
use serde::{Deserialize, Serialize, de::IgnoredAny};

/// `POST /generate_stream`.
#[derive(Serialize)]
pub(crate) struct GenerateRequest<'a> {
    inputs: Cow<'a, str>,
    parameters: Parameters<'a>,
}

/// How the engine generates.
#[derive(Serialize)]
struct Parameters<'a> {
    max_new_tokens: u32,
    /// Without it there is no reason of the end and no count.
    details: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    do_sample: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition_penalty: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
}

impl<'a> GenerateRequest<'a> {
    /// For text, and what was said behind it already. Wishes that the engine does not know are left out.
    pub(crate) fn of(order: &'a Generate) -> Self {
        let Sampling { seed, temperature, top_p, top_k, stop, .. } = &order.sampling;
        let text = match &order.input {
            Input::Text(text) => text.expose(),
            Input::Chat(_) => "",
        };
        // The engine takes no zero here. Greedy is said by leaving out all that would make it sample.
        let greedy = *temperature == Some(0.0) || *top_p == Some(0.0);
        let kept = |value: &Option<f64>| value.filter(|_| !greedy);
        Self {
            inputs: match &order.so_far {
                None => Cow::Borrowed(text),
                Some(said) => Cow::Owned([text, said.expose()].concat()),
            },
            parameters: Parameters {
                max_new_tokens: order.max_tokens,
                details: true,
                do_sample: kept(temperature).map(|_| true),
                seed: *seed,
                temperature: kept(temperature),
                // The whole mass is no limit, and the engine takes no 1 either.
                top_p: kept(top_p).filter(|top_p| *top_p < 1.0),
                top_k: top_k.filter(|top_k| !greedy && *top_k > 0),
                frequency_penalty: order.sampling.frequency_penalty,
                repetition_penalty: order.sampling.repeat_penalty,
                stop,
            },
        }
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        // Plain fields with string keys; JSON can say all of it.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// One event of a stream: a token, or an error.
#[derive(Debug, Deserialize)]
pub(crate) struct Event<'a> {
    #[serde(borrow)]
    pub(crate) token: Option<Token<'a>>,
    /// The whole text once more. That it is there is what tells the last event.
    pub(crate) generated_text: Option<IgnoredAny>,
    #[serde(borrow)]
    pub(crate) details: Option<Details<'a>>,
    #[serde(borrow)]
    pub(crate) error: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) error_type: Option<Cow<'a, str>>,
}

/// One token.
#[derive(Debug, Deserialize)]
pub(crate) struct Token<'a> {
    #[serde(borrow, default)]
    pub(crate) text: ByteString<'a>,
    /// Whether it is a mark of the model's and no text.
    #[serde(default)]
    pub(crate) special: bool,
}

/// What the last event tells of the whole.
#[derive(Debug, Deserialize)]
pub(crate) struct Details<'a> {
    #[serde(borrow)]
    pub(crate) finish_reason: Cow<'a, str>,
    #[serde(default)]
    pub(crate) generated_tokens: u32,
    #[serde(default)]
    pub(crate) input_length: u32,
}

/// `GET /info`.
#[derive(Debug, Deserialize)]
pub(crate) struct Info {
    pub(crate) model_id: String,
    pub(crate) version: Option<String>,
    pub(crate) max_concurrent_requests: Option<u32>,
    pub(crate) max_total_tokens: Option<u32>,
}

//! What the engine goes on from, as text.
//!
//! The native route knows no conversations, and only the engine has the model's template. So it is asked
//! to apply that first; the rest of the way is the same for both kinds of input.

use std::borrow::Cow;

use adapter_api::{AdapterError, Generate, Input, Message};
use http_util::EngineHttp;

use crate::{
    refusal,
    wire::{AppliedTemplate, TemplateRequest},
};

/// The text of an order: a conversation in the shape that the model was trained on, and behind it what was
/// said already.
pub(crate) async fn of<'a>(http: &EngineHttp, order: &'a Generate) -> Result<Cow<'a, str>, AdapterError> {
    let mut text = match &order.input {
        Input::Text(text) => Cow::Borrowed(text.expose()),
        Input::Chat(messages) => Cow::Owned(applied(http, messages).await?),
    };
    if let Some(said) = &order.so_far {
        text.to_mut().push_str(said.expose());
    }
    Ok(text)
}

async fn applied(http: &EngineHttp, messages: &[Message]) -> Result<String, AdapterError> {
    let body = TemplateRequest::of(messages).to_json().into();
    let answer = http.post_json("/apply-template", body).await.map_err(refusal::error)?;
    let applied: AppliedTemplate = serde_json::from_slice(&answer).map_err(|_json| {
        AdapterError::Protocol { what: "/apply-template answered no JSON that fits".to_owned() }
    })?;
    Ok(applied.prompt)
}

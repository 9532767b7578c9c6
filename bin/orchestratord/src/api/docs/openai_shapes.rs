//! What the server reads of a call of `OpenAI`'s API. Everything else passes on.

use utoipa::openapi::{
    ArrayBuilder, Object, ObjectBuilder, OneOfBuilder,
    schema::{AdditionalProperties, Schema, Type},
};

use super::schemas::{between, flag, text, within};

const TOKENS_MAX: i64 = 16 * 1024 * 1024;

/// Any object: the engine's own.
pub(super) fn any_object() -> Object {
    open().build()
}

fn open() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)))
}

/// A body, by what it goes on from.
fn body(from: &str) -> ObjectBuilder {
    open()
        .property("model", some_text())
        .required("model")
        .required(from)
        .property("dimensions", within(1, 1 << 20))
}

fn generating(from: &str) -> ObjectBuilder {
    body(from)
        .property("stream", flag())
        .property("stream_options", ObjectBuilder::new().property("include_usage", flag()))
        .property("n", within(1, 128))
        .property("best_of", within(1, 128))
        .property("max_tokens", within(1, TOKENS_MAX))
        .property("max_completion_tokens", within(1, TOKENS_MAX))
        .property("temperature", between(0.0, 2.0))
        .property("top_p", between(0.0, 1.0))
        .property("top_logprobs", within(0, 20))
        .property("presence_penalty", between(-2.0, 2.0))
        .property("frequency_penalty", between(-2.0, 2.0))
        .property("seed", Object::with_type(Type::Integer))
}

pub(super) fn chat() -> Object {
    let turn = open().property("role", text()).required("role");
    let turns = ArrayBuilder::new().items(turn).min_items(Some(1)).max_items(Some(1_024));
    generating("messages").property("messages", turns).build()
}

pub(super) fn completion() -> Object {
    generating("prompt").property("prompt", texts()).build()
}

pub(super) fn embeddings() -> Object {
    body("input").property("input", texts()).build()
}

fn some_text() -> Object {
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).build()
}

/// A text, several, or either as numbers of tokens.
fn texts() -> OneOfBuilder {
    let list = |items: Object| ArrayBuilder::new().items(items).min_items(Some(1));
    // The engine counts what it can take; no more than this many texts are taken here.
    let numbers = || list(within(0, i64::from(u32::MAX)));
    let lists = ArrayBuilder::new().items(numbers()).min_items(Some(1));
    OneOfBuilder::new().item(some_text()).item(list(some_text())).item(numbers()).item(lists)
}

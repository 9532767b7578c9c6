//! The small schemas of parameters and headers.

use utoipa::openapi::{
    Object, ObjectBuilder,
    schema::{KnownFormat, SchemaFormat, Type},
};

pub(super) fn text() -> Object {
    Object::with_type(Type::String)
}

pub(super) fn uuid() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::Custom("uuid".to_owned())))
        .build()
}

pub(super) fn flag() -> Object {
    Object::with_type(Type::Boolean)
}

pub(super) fn amount() -> Object {
    ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0)).build()
}

/// A whole number that is not negative.
pub(super) fn count() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(0))
        .build()
}

pub(super) fn within(low: i64, high: i64) -> Object {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(low)).maximum(Some(high)).build()
}

pub(super) fn between(low: f64, high: f64) -> Object {
    ObjectBuilder::new().schema_type(Type::Number).minimum(Some(low)).maximum(Some(high)).build()
}

pub(super) fn matching(pattern: &str) -> Object {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).build()
}

pub(super) fn one_of(words: &[&str]) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.iter().copied())).build()
}

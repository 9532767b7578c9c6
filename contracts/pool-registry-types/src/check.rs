//! What may stand in a field, and the fault that names one which holds something else.

use std::ops::RangeInclusive;

use thiserror::Error;

/// More characters than any name needs.
const NAME_CHARS_MAX: usize = 128;
/// More characters than any address or model reference needs.
const TEXT_CHARS_MAX: usize = 2_048;

/// A field that holds what it may not.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {what}")]
pub struct Fault {
    /// The path of the field, as in `pools[0].slots_total`.
    pub field: String,
    /// What is wrong, to be read after the field.
    pub what: String,
}

impl Fault {
    /// The fault `what` of `field`.
    pub fn new(field: impl Into<String>, what: impl Into<String>) -> Self {
        Self { field: field.into(), what: what.into() }
    }
}

pub(crate) fn hold(
    field: &str,
    what: impl FnOnce() -> String,
    holds: impl FnOnce() -> bool,
) -> Result<(), Fault> {
    if holds() { Ok(()) } else { Err(Fault::new(field, what())) }
}

/// The name of a node, of a part of a replica's name, or of a machine.
pub(crate) fn name(field: &str, text: &str) -> Result<(), Fault> {
    let what = || {
        format!(
            "must be 1 to {NAME_CHARS_MAX} letters, digits, dots, dashes or underscores, a letter or digit first"
        )
    };
    hold(field, what, || {
        let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        starts && text.len() <= NAME_CHARS_MAX && text.bytes().all(plain)
    })
}

/// The name of a pool, as in the server's own configuration.
pub(crate) fn pool_id(field: &str, text: &str) -> Result<(), Fault> {
    let what = || "must be 1 to 64 of a-z, 0-9, dot, dash and underscore, a letter or digit first".to_owned();
    hold(field, what, || {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let starts = text.bytes().next().is_some_and(plain);
        starts && text.len() <= 64 && text.bytes().all(|byte| plain(byte) || b"._-".contains(&byte))
    })
}

/// A line of text that is not empty.
pub(crate) fn line(field: &str, text: &str) -> Result<(), Fault> {
    let what = || format!("must be 1 to {TEXT_CHARS_MAX} characters without control characters");
    hold(field, what, || {
        !text.is_empty() && text.len() <= TEXT_CHARS_MAX && !text.chars().any(char::is_control)
    })
}

pub(crate) fn optional<T: ?Sized>(
    field: &str,
    value: Option<&T>,
    check: fn(&str, &T) -> Result<(), Fault>,
) -> Result<(), Fault> {
    value.map_or(Ok(()), |value| check(field, value))
}

pub(crate) fn within<T>(field: &str, value: T, range: RangeInclusive<T>) -> Result<(), Fault>
where
    T: Copy + PartialOrd + std::fmt::Display,
{
    let what = || format!("must be from {} to {}", range.start(), range.end());
    hold(field, what, || range.contains(&value))
}

/// At most `most` items.
pub(crate) fn at_most(field: &str, count: usize, most: usize) -> Result<(), Fault> {
    hold(field, || format!("must have at most {most} items"), || count <= most)
}

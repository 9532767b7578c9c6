//! Log records as flat JSON lines: `level`, `ts`, `target`, the fields, and `msg` last.
//!
//! The usual formatter nests the fields of spans and of the record; log stores want them side by side,
//! and the contract says so. A record's own field hides one of the same name in a span around it, and
//! an inner span hides an outer one, so no key appears twice.
//!
//! Invariant: a record is one line, whatever a client has put into its fields.

use std::{
    error::Error,
    fmt,
    io::{self, Write},
};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::ser::Formatter;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, fmt::MakeWriter, layer::Context, registry::LookupSpan};

use crate::one_line::acts;

/// Writes each record that it sees as one line of JSON.
#[derive(Debug)]
pub struct JsonLayer<W> {
    writer: W,
    now: fn() -> Timestamp,
}

impl<W: for<'a> MakeWriter<'a> + 'static> JsonLayer<W> {
    /// A layer that writes to whatever `writer` makes.
    pub fn new(writer: W) -> Self {
        Self { writer, now: Timestamp::now }
    }
}

impl<S, W> Layer<S> for JsonLayer<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().replace(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    //= ORCH-3027
    //= ORCH-3315
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.add_hidden_by_own(outer);
            }
        }
        let metadata = event.metadata();
        let level = metadata.level().as_str().to_ascii_lowercase();
        let mut line = format!("{{\"level\":\"{level}\",\"ts\":\"{:.3}\",\"target\":", (self.now)());
        line.push_str(&json(metadata.target()));
        for (name, value) in &fields.values {
            line.extend([",", &json(name), ":", value]);
        }
        line.extend([",\"msg\":", fields.message.as_deref().unwrap_or("\"\""), "}\n"]);
        // One write, so that lines of several threads do not mix. A line that cannot be written has
        // nowhere to be reported.
        self.writer.make_writer_for(metadata).write_all(line.as_bytes()).ok();
    }
}

/// Names and values, the latter as JSON already, since a span's are written many times.
#[derive(Default)]
struct Fields {
    values: Vec<(&'static str, String)>,
    message: Option<String>,
}

impl Fields {
    fn set(&mut self, field: &Field, value: &(impl Serialize + ?Sized)) {
        let value = json(value);
        // Names of the frame stay the frame's: two `target` keys would be read in two ways.
        let name = match field.name() {
            "message" => {
                self.message = Some(value);
                return;
            }
            "level" => "field_level",
            "ts" => "field_ts",
            "target" => "field_target",
            "msg" => "field_msg",
            name => name.strip_prefix("r#").unwrap_or(name),
        };
        match self.values.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.values.push((name, value)),
        }
    }

    fn add_hidden_by_own(&mut self, outer: &Self) {
        for (name, value) in &outer.values {
            if !self.values.iter().any(|(own, _)| own == name) {
                self.values.push((name, value.clone()));
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, &value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.set(field, &value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.set(field, &value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut chain = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            chain = format!("{chain}: {cause}");
            source = cause.source();
        }
        self.set(field, &chain);
    }
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    let mut bytes = Vec::new();
    let written = value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, OneLine));
    // Strings and numbers always serialize; `null` keeps the line whole if that should ever change.
    written.ok().and_then(|()| String::from_utf8(bytes).ok()).unwrap_or_else(|| "null".to_owned())
}

/// JSON without the characters that JSON allows but a terminal or a line reader acts upon: DEL, the C1
/// controls, Unicode's own line ends, and marks that turn text around.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, found)) = rest.char_indices().find(|(_, c)| acts(*c)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            write!(writer, "\\u{:04x}", u32::from(found))?;
            rest = &rest[at + found.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
pub(crate) mod tests;

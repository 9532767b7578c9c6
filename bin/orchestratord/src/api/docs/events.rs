//! The events of a task's stream.

use api_types::{EndEvent, ErrorEvent, MetricsEvent, StartedEvent, TokenEvent, VerboseMetricsEvent};
use utoipa::openapi::{
    ObjectBuilder, OneOfBuilder, Ref,
    schema::{AnyOfBuilder, Type},
};

use super::{
    operation::Operation,
    schemas::{count, one_of},
};

/// What the schema of one event is called.
pub(super) const TASK_EVENT: &str = "TaskEvent";

/// What a reader must know of the stream beside its events.
pub(super) const HOW_TO_READ: &str = "\
Any number of readers may come, early, late or again. The schema describes one event: its `id`, its name in `event`, and the JSON of \
its `data`. They come as `started`, then `token` for each piece of the text, `metrics`, and at last exactly one of `end` and `error`; \
`metrics` may also come between tokens. After the loss of an engine `started` may come again.

The `id` of an event is its number in the task, from 0 without gaps, the same for every reader. A reader that was cut off sends the \
last one that it has as `Last-Event-ID`, or as `after` where it cannot send headers, and gets every later event byte for byte as \
before, also after the task has ended, until the retention is over: then the answer is 410 and tells how the task ended. An id that no \
event of the task has yet is a 400. While nothing happens, a comment comes at least every 15 s.

An error after the stream has begun is an `error` event; the status stays 200.";

/// Lets the operation's document say how events look.
pub(super) fn task_event(mut operation: Operation) -> (Operation, Ref) {
    let metrics = AnyOfBuilder::new()
        .item(operation.refer::<VerboseMetricsEvent>())
        .item(operation.refer::<MetricsEvent>())
        .description(Some("With `verbose=true` the first, else the second."));
    let events = OneOfBuilder::new()
        .description(Some("One event of a task's stream; which one it is stands in `event`."))
        .item(event("started", operation.refer::<StartedEvent>()))
        .item(event("token", operation.refer::<TokenEvent>()))
        .item(event("metrics", metrics))
        .item(event("end", operation.refer::<EndEvent>()))
        .item(event("error", operation.refer::<ErrorEvent>()));
    operation.schemas.push((TASK_EVENT.to_owned(), events.into()));
    (operation, Ref::from_schema_name(TASK_EVENT))
}

fn event(
    name: &str,
    data: impl Into<utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>>,
) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("id", count())
        .property("event", one_of(&[name]))
        .property("data", data)
        .required("id")
        .required("event")
        .required("data")
}

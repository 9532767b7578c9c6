//! The spans of one pool: each start of its engine, and what is done to it.
//!
//! They are read off the steps that the pool's task takes anyway; nothing waits for them. An operation belongs
//! to the trace of whoever asked for it, and a start to the operation that it is part of, if there is one.

use std::{sync::Arc, time::SystemTime};

use pool_registry_types::OperationKind;
use tokio::time::Instant;
use trace_export::{KeyValue, Kind, Span, SpanId, TraceContext, Tracer};

use crate::clock;

/// The spans of one pool that are not over. Without a collector there are none.
#[derive(Debug)]
pub(super) struct PoolTraces {
    tracer: Option<Tracer>,
    pool: Arc<str>,
    engine: &'static str,
    start: Option<Open>,
    operation: Option<Open>,
    /// Who asked for the next start.
    cause: Option<TraceContext>,
}

/// A span that is not over.
#[derive(Debug)]
struct Open {
    name: &'static str,
    kind: Kind,
    place: TraceContext,
    parent: Option<SpanId>,
    began: (SystemTime, Instant),
}

impl PoolTraces {
    pub(super) fn new(tracer: Option<Tracer>, pool: Arc<str>, engine: &'static str) -> Self {
        Self { tracer, pool, engine, start: None, operation: None, cause: None }
    }

    /// Something is done to the pool.
    //= ORCH-3338
    pub(super) fn begins(&mut self, operation: OperationKind, from: Option<&TraceContext>) {
        let name = match operation {
            OperationKind::Drain => "pool_drain",
            OperationKind::Reload => "pool_reload",
            OperationKind::Purge => "pool_purge",
        };
        // One that was asked for again goes on as a new one.
        self.finished(None);
        self.operation = self.open(name, Kind::Server, from);
    }

    /// It came to its end, with this code if it failed.
    pub(super) fn finished(&mut self, error: Option<&'static str>) {
        let open = self.operation.take();
        self.tell(open, error, &[]);
    }

    /// Somebody asked for the engine to be started again.
    pub(super) fn resumes(&mut self, from: Option<TraceContext>) {
        self.cause = from;
    }

    /// Where the engine stands now, as the machine says it.
    pub(super) fn stands(&mut self, phase: &'static str) {
        match (phase, self.start.is_some()) {
            ("preparing" | "loading" | "warming", false) => {
                let cause = self.cause.take();
                let of_operation = self.operation.as_ref().map(|open| open.place.clone());
                self.start = self.open("engine_start", Kind::Internal, of_operation.or(cause).as_ref());
            }
            ("preparing" | "loading" | "warming", true) | (_, false) => {}
            (ended, true) => {
                let error = (ended != "ready").then_some("POOL_UNREADY");
                let open = self.start.take();
                self.tell(open, error, &[KeyValue::new("state", ended)]);
            }
        }
    }

    fn open(&self, name: &'static str, kind: Kind, from: Option<&TraceContext>) -> Option<Open> {
        let place = self.tracer.as_ref()?.enter(from);
        let parent = from.map(TraceContext::span_id);
        Some(Open { name, kind, place, parent, began: (clock::now(), Instant::now()) })
    }

    fn tell(&self, open: Option<Open>, error: Option<&'static str>, more: &[KeyValue]) {
        let (Some(tracer), Some(open)) = (&self.tracer, open) else { return };
        let Open { name, kind, place, parent, began: (start, since) } = open;
        if !place.is_sampled() {
            return;
        }
        let mut attributes =
            vec![KeyValue::new("pool_id", self.pool.to_string()), KeyValue::new("engine", self.engine)];
        attributes.extend_from_slice(more);
        let end = start + since.elapsed();
        tracer.tell(vec![Span { name, kind, context: place, parent, start, end, attributes, error }]);
    }
}

//! Traces: who begins them, and what of an operation is handed on to the nodes.
//!
//! Nothing here is on the way of a token. What a task's spans are made of, the times of its steps, is known
//! anyway; [`TaskTrace`] notes the few that nobody else keeps and makes spans of them when an attempt or the
//! task has ended. A server without a collector has no [`Traces`], and a task of it no [`TaskTrace`].

mod task;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use adapter_api::PassedOn;
use orchestrator_core::Timestamp;
use trace_export::{TraceContext, Tracer};

use self::task::Begun;
use super::{job::JobEntry, saved::SavedTrace};
use crate::clock::Clock;

pub(crate) use self::task::{Admitting, TaskTrace};

tokio::task_local! {
    /// The place in a trace from which an operation acts on nodes.
    static OPERATION: Option<TraceContext>;
}

/// Begins traces.
#[derive(Debug, Clone)]
pub(crate) struct Traces {
    pub(crate) tracer: Tracer,
    pub(crate) clock: Clock,
    /// How replicas are chosen, as the configuration calls it.
    pub(crate) strategy: &'static str,
}

impl Traces {
    /// A task was asked for at `received`, in the trace that its client names, or in one of its own.
    //= ORCH-3330
    pub(super) fn begin(&self, entry: &JobEntry, received: Timestamp) {
        let parent = entry.facts.trace.as_deref();
        let root = self.tracer.enter(parent);
        let received = self.clock.wall(received);
        let begun = Begun { root, parent: parent.map(TraceContext::span_id), received };
        entry.traced(TaskTrace::new(self.clone(), begun, entry.order().as_deref()));
    }

    /// A task of an earlier process comes back; it stays in its trace, and its span is the same one.
    //= ORCH-3337
    pub(super) fn go_on(&self, entry: &JobEntry, saved: Option<&SavedTrace>, accepted: Timestamp) {
        let kept =
            saved.and_then(|saved| Some((TraceContext::parse(saved.root.as_bytes())?, saved.received_us)));
        match kept {
            Some((root, received_us)) => {
                let parent = entry.facts.trace.as_deref();
                let root = root.with_state(parent.and_then(TraceContext::tracestate).cloned());
                let received = SystemTime::UNIX_EPOCH + Duration::from_micros(received_us);
                let begun = Begun { root, parent: parent.map(TraceContext::span_id), received };
                entry.traced(TaskTrace::new(self.clone(), begun, entry.order().as_deref()));
            }
            // The earlier process did not trace.
            None => self.begin(entry, accepted),
        }
        if let Some(trace) = entry.trace() {
            trace.is_recovered();
        }
    }
}

/// Does the work of an operation, whose calls to nodes belong to this place.
pub(crate) async fn on_behalf<T>(of: Option<TraceContext>, work: impl Future<Output = T>) -> T {
    OPERATION.scope(of, work).await
}

/// The place on whose behalf this is done.
pub(crate) fn operation() -> Option<TraceContext> {
    OPERATION.try_with(Clone::clone).ok().flatten()
}

/// What an engine is told of a place.
pub(crate) fn passed_on(of: &TraceContext) -> Arc<PassedOn> {
    Arc::new(PassedOn { traceparent: of.traceparent().into(), tracestate: of.tracestate().cloned() })
}

/// The headers that hand a place on.
pub(crate) fn headers(of: &TraceContext) -> impl Iterator<Item = (&'static str, Arc<str>)> {
    let parent = (trace_export::TRACEPARENT, of.traceparent().into());
    let state = of.tracestate().map(|state| (trace_export::TRACESTATE, Arc::clone(state)));
    std::iter::once(parent).chain(state)
}

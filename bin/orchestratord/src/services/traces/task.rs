//! The spans of one task, made when what they tell is over.
//!
//! A task has `task` around all; below it `admission`, and for each attempt `queue`, `placement` and `dispatch`;
//! below a dispatch `first_token` and `stream`.
//!
//! Invariant: each of them is told at most once, whichever of the ends that race comes first.

use std::time::SystemTime;

use adapter_api::{FinishReason, Input, Route, Work, WorkOrder};
use api_types::ErrorCode;
use orchestrator_core::{Assignment, FailReason, JobEnd, Outcome, PoolId, ReplicaId, Rule, Timestamp};
use parking_lot::Mutex;
use trace_export::{KeyValue, Kind, Span, SpanId, TraceContext, TraceId};

use super::{super::saved::SavedTrace, Traces};
use crate::{
    error::ApiError,
    metrics::outcome_word,
    services::{
        admission::{AdmissionError, Admitted},
        events,
        job::{Attempt, JobEntry, JobStatus},
    },
};

/// Where a task stands in its trace.
#[derive(Debug)]
pub(super) struct Begun {
    /// The span of the task itself.
    pub(super) root: TraceContext,
    /// The client's span.
    pub(super) parent: Option<SpanId>,
    /// On the wall clock, since it has to outlive the process to the microsecond.
    pub(super) received: SystemTime,
}

/// The trace of one task.
#[derive(Debug)]
pub(crate) struct TaskTrace {
    traces: Traces,
    begun: Begun,
    /// What engines do with it, in the words of the conventions.
    operation: &'static str,
    progress: Mutex<Progress>,
}

/// What is known of spans that are not over.
#[derive(Debug, Default)]
struct Progress {
    admission: Admission,
    /// When the last attempt ended.
    free_since: Option<Timestamp>,
    placed: Option<Placed>,
    /// The task's own span, while its admission is not over: it goes around that.
    over: Option<Span>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Admission {
    #[default]
    UnderWay,
    Over,
    Refused,
    /// By an earlier process.
    Earlier,
}

/// An attempt that is not over.
#[derive(Debug)]
struct Placed {
    waited_since: Timestamp,
    at: Timestamp,
    pool: PoolId,
    replica: ReplicaId,
    attempt: u32,
    considered: u32,
    rule: Rule,
    /// Since when an engine has it, and under which span.
    dispatched: Option<(Timestamp, TraceContext)>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy)]
struct HowItEnded {
    at: Timestamp,
    outcome: &'static str,
    error: Option<&'static str>,
}

impl TaskTrace {
    pub(super) fn new(traces: Traces, begun: Begun, order: Option<&WorkOrder>) -> Self {
        let operation = order.map_or("text_completion", |order| operation(&order.work));
        Self { traces, begun, operation, progress: Mutex::default() }
    }

    pub(super) fn is_recovered(&self) {
        self.progress.lock().admission = Admission::Earlier;
    }

    /// The trace, for log lines.
    pub(crate) fn trace_id(&self) -> TraceId {
        self.begun.root.trace_id()
    }

    /// What the next process has to know.
    pub(crate) fn saved(&self) -> SavedTrace {
        let Begun { root, received, .. } = &self.begun;
        let since = received.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let received_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        SavedTrace { root: root.traceparent(), received_us }
    }

    /// The scheduler has chosen a replica, for a task that was accepted then.
    pub(crate) fn placed(&self, at: Timestamp, accepted_at: Timestamp, assignment: &Assignment) {
        if !self.is_recorded() {
            return;
        }
        let mut progress = self.progress.lock();
        progress.placed = Some(Placed {
            waited_since: progress.free_since.unwrap_or(accepted_at),
            at,
            pool: assignment.pool.clone(),
            replica: assignment.replica.clone(),
            attempt: assignment.attempt,
            considered: assignment.why.considered,
            rule: assignment.why.rule,
            dispatched: None,
        });
    }

    /// An engine gets the task; what it is told of the trace, unless that is what the client has told.
    pub(crate) fn dispatched(&self, at: Timestamp) -> Option<TraceContext> {
        let Begun { root, parent, .. } = &self.begun;
        if !self.is_recorded() {
            return parent.is_none().then(|| root.clone());
        }
        let mut progress = self.progress.lock();
        // A task that was canceled meanwhile has told the end of this attempt already.
        let placed = progress.placed.as_mut()?;
        let context = self.traces.tracer.below(root);
        placed.dispatched = Some((at, context.clone()));
        Some(context)
    }

    /// An attempt ended by itself.
    pub(crate) fn attempt_ended(&self, entry: &JobEntry, at: Timestamp, outcome: Outcome) {
        let placed = {
            let mut progress = self.progress.lock();
            progress.free_since = Some(at);
            progress.placed.take()
        };
        if let Some(placed) = placed {
            let status = entry.status();
            let how = HowItEnded { at, outcome: outcome_word(outcome), error: code_of(outcome, &status) };
            self.traces.tracer.tell(self.attempt(entry, &status, placed, how));
        }
    }

    /// The task ended.
    pub(crate) fn ended(&self, entry: &JobEntry, status: &JobStatus, end: JobEnd) {
        if !self.is_recorded() {
            return;
        }
        let at = status.ended.map_or(status.accepted_at, |(at, _)| at);
        let code = events::failure(status, end).map(|body| body.code.as_str());
        let how = HowItEnded { at, outcome: end_word(end), error: code };
        let mut task = self.task(entry, status, how);
        let (placed, waited_since, admission) = {
            let mut progress = self.progress.lock();
            let placed = progress.placed.take();
            let waited_since = match progress.free_since {
                None => status.attempt.is_none().then_some(status.accepted_at),
                // It waited for another attempt, unless it ended with the last one.
                Some(since) => (!ends_with_its_attempt(end)).then_some(since),
            };
            (placed, waited_since, progress.admission)
        };
        let mut spans = Vec::with_capacity(6);
        match (placed, waited_since) {
            (Some(placed), _) => spans.extend(self.attempt(entry, status, placed, how)),
            (None, Some(since)) => spans.push(self.queue(status, since, at, how.error)),
            (None, None) => {}
        }
        if admission == Admission::Earlier {
            task.attributes.push(KeyValue::new("recovered", true));
        }
        {
            let mut progress = self.progress.lock();
            match progress.admission {
                Admission::UnderWay => progress.over = Some(task),
                Admission::Over | Admission::Earlier => spans.push(task),
                // Its client was told that there is no such task.
                Admission::Refused => {}
            }
        }
        self.traces.tracer.tell(spans);
    }

    /// The admission is over: with a 202, with an error, or because the client left.
    fn admission_over(&self, entry: &JobEntry, error: Option<&'static str>) {
        if !self.is_recorded() {
            return;
        }
        let now = self.traces.clock.now();
        let status = entry.status();
        let mut admission = self.span("admission", (now, now), &self.begun.root);
        admission.start = self.begun.received;
        admission.error = error;
        if let Some(granted) = &status.admission {
            admission.attributes.extend([
                text("pool_id", granted.pool.as_str()),
                KeyValue::new("queue_position", i64::from(granted.queue_position)),
            ]);
        }
        let over = {
            let mut progress = self.progress.lock();
            progress.admission = if error.is_some() { Admission::Refused } else { Admission::Over };
            progress.over.take()
        };
        let mut spans = vec![admission];
        match (over, error) {
            (_, Some(code)) => {
                let how = HowItEnded { at: now, outcome: "refused", error: Some(code) };
                spans.push(self.task(entry, &status, how));
            }
            (Some(task), None) => {
                let end = task.end.max(self.traces.clock.wall(now));
                spans.push(Span { end, ..task });
            }
            (None, None) => {}
        }
        self.traces.tracer.tell(spans);
    }

    /// The spans of one attempt.
    //= ORCH-3333
    fn attempt(&self, entry: &JobEntry, status: &JobStatus, placed: Placed, how: HowItEnded) -> Vec<Span> {
        let end = how.at;
        let mut spans = Vec::with_capacity(6);
        spans.push(self.queue(status, placed.waited_since, placed.at, None));
        // A task that is taken back ends in the middle of a step, whose time may have been read a moment later.
        let begun = placed.dispatched.as_ref().map(|(at, _)| end.min(*at));
        let mut placement = self.span("placement", (placed.at, begun.unwrap_or(end)), &self.begun.root);
        placement.attributes.extend([
            text("pool_id", placed.pool.as_str()),
            text("replica_id", placed.replica.as_str()),
            KeyValue::new("attempt", i64::from(placed.attempt)),
            KeyValue::new("candidates", i64::from(placed.considered)),
            KeyValue::new("strategy", self.traces.strategy),
            KeyValue::new("rule", placed.rule.as_str()),
            KeyValue::new("outcome", if begun.is_some() { "placed" } else { how.outcome }),
        ]);
        placement.error = how.error.filter(|_| begun.is_none());
        spans.push(placement);
        let Some((at, context)) = placed.dispatched else { return spans };
        let attempt = status.attempt.as_ref().filter(|attempt| attempt.dispatched_at == at);
        if let Some(first) = attempt.and_then(|attempt| attempt.first_token_at) {
            let first = end.min(first);
            spans.push(self.span("first_token", (at.min(first), first), &context));
            spans.push(self.span("stream", (first, end), &context));
        }
        let mut dispatch = self.span("dispatch", (end.min(at), end), &self.begun.root);
        dispatch.context = context;
        dispatch.kind = Kind::Client;
        dispatch.error = how.error;
        dispatch.attributes = self.of_task(entry);
        dispatch.attributes.extend([
            text("pool_id", placed.pool.as_str()),
            text("replica_id", placed.replica.as_str()),
            KeyValue::new("attempt", i64::from(placed.attempt)),
            KeyValue::new("outcome", how.outcome),
        ]);
        dispatch.attributes.extend(attempt.into_iter().flat_map(of_engine));
        dispatch.attributes.extend(used(entry, status));
        spans.push(dispatch);
        spans
    }

    fn queue(
        &self,
        status: &JobStatus,
        since: Timestamp,
        until: Timestamp,
        error: Option<&'static str>,
    ) -> Span {
        let mut queue = self.span("queue", (since, until), &self.begun.root);
        // A restored task knows to the millisecond when it was accepted, and that is cut off.
        queue.start = queue.start.max(self.begun.received);
        queue.end = queue.end.max(queue.start);
        queue.error = error;
        let granted = status.admission.as_ref().filter(|_| since == status.accepted_at);
        queue.attributes.extend(granted.into_iter().flat_map(|granted| {
            [
                text("pool_id", granted.pool.as_str()),
                KeyValue::new("queue_position", i64::from(granted.queue_position)),
            ]
        }));
        queue
    }

    /// The span around all.
    fn task(&self, entry: &JobEntry, status: &JobStatus, how: HowItEnded) -> Span {
        let mut attributes = self.of_task(entry);
        attributes.extend([
            text("correlation_id", &entry.facts.correlation_id),
            KeyValue::new("session_id", entry.facts.session_id.to_string()),
            KeyValue::new("priority", entry.facts.priority.as_str()),
            KeyValue::new("outcome", how.outcome),
        ]);
        if let Some(granted) = &status.admission {
            attributes.push(KeyValue::new("queue_position", i64::from(granted.queue_position)));
        }
        if let Some(attempt) = &status.attempt {
            attributes.extend([
                text("pool_id", attempt.assignment.pool.as_str()),
                text("replica_id", attempt.assignment.replica.as_str()),
                KeyValue::new("attempt", i64::from(attempt.assignment.attempt)),
            ]);
            attributes.extend(of_engine(attempt));
        }
        attributes.extend(used(entry, status));
        let (start, end) = (self.begun.received, self.traces.clock.wall(how.at));
        Span {
            name: "task",
            kind: Kind::Server,
            context: self.begun.root.clone(),
            parent: self.begun.parent,
            start,
            end,
            attributes,
            error: how.error,
        }
    }

    /// What names the task, and what it is about.
    //= ORCH-3334
    fn of_task(&self, entry: &JobEntry) -> Vec<KeyValue> {
        // A name is what it is known by; behind a question mark there may stand who may fetch it.
        let model = entry.facts.requirements.model.split(['?', '#']).next().unwrap_or_default();
        let mut attributes = Vec::with_capacity(16);
        attributes.extend([
            KeyValue::new("job_id", entry.facts.id.to_string()),
            KeyValue::new("gen_ai.operation.name", self.operation),
            text("gen_ai.request.model", model),
        ]);
        attributes
    }

    fn span(&self, name: &'static str, (start, end): (Timestamp, Timestamp), parent: &TraceContext) -> Span {
        let clock = self.traces.clock;
        Span {
            name,
            kind: Kind::Internal,
            context: self.traces.tracer.below(&self.begun.root),
            parent: Some(parent.span_id()),
            start: clock.wall(start),
            end: clock.wall(end),
            attributes: Vec::new(),
            error: None,
        }
    }

    fn is_recorded(&self) -> bool {
        self.begun.root.is_sampled()
    }
}

/// An admission under way; when it is dropped its client has left.
pub(crate) struct Admitting<'a> {
    entry: Option<&'a JobEntry>,
}

impl<'a> Admitting<'a> {
    pub(crate) fn of(entry: &'a JobEntry) -> Self {
        Self { entry: Some(entry) }
    }

    pub(crate) fn ended(mut self, result: &Result<Admitted, AdmissionError>) {
        let Some((entry, trace)) = self.entry.take().and_then(|entry| Some((entry, entry.trace()?))) else {
            return;
        };
        match result {
            Ok(Admitted::Fresh(..)) => trace.admission_over(entry, None),
            // It is a task already, which has a trace.
            Ok(Admitted::Repeated(..)) => {}
            Err(error) => {
                let code = ApiError::from(error.clone()).body().code;
                trace.admission_over(entry, Some(code.as_str()));
            }
        }
    }
}

impl Drop for Admitting<'_> {
    fn drop(&mut self) {
        if let Some((entry, trace)) = self.entry.take().and_then(|entry| Some((entry, entry.trace()?))) {
            trace.admission_over(entry, None);
        }
    }
}

/// The code for how an attempt ended; a task that gets over it ends with another one, or none.
fn code_of(outcome: Outcome, status: &JobStatus) -> Option<&'static str> {
    let code = match outcome {
        Outcome::Completed | Outcome::Aborted => return None,
        // No task ends with it: it is tried again.
        Outcome::Busy { .. } => return Some("REPLICA_EXHAUSTED"),
        Outcome::Lost { .. } | Outcome::Evicted { .. } => ErrorCode::WorkerReset,
        Outcome::TimedOut { .. } => ErrorCode::DecodeTimeout,
        Outcome::Refused => status.forbidden.as_ref().map_or(ErrorCode::InvalidParams, |body| body.code),
    };
    Some(code.as_str())
}

fn text(key: &'static str, value: &str) -> KeyValue {
    KeyValue::new(key, value.to_owned())
}

fn of_engine(attempt: &Attempt) -> impl Iterator<Item = KeyValue> {
    let version = attempt.engine_version.as_deref().map(|version| text("engine_version", version));
    let engine =
        [KeyValue::new("engine", attempt.engine), KeyValue::new("gen_ai.provider.name", attempt.engine)];
    engine.into_iter().chain(version)
}

/// Tokens, and why there are no more of them.
fn used(entry: &JobEntry, status: &JobStatus) -> Vec<KeyValue> {
    let Some(finish) = status.finish else {
        return vec![KeyValue::new("tokens_out", i64::from(entry.log.tokens()))];
    };
    let reason = match finish.reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
    };
    let (tokens_in, tokens_out) = (i64::from(finish.usage.prompt), i64::from(finish.usage.generated));
    vec![
        KeyValue::new("tokens_in", tokens_in),
        KeyValue::new("tokens_out", tokens_out),
        KeyValue::new("finish_reason", reason),
        KeyValue::new("gen_ai.usage.input_tokens", tokens_in),
        KeyValue::new("gen_ai.usage.output_tokens", tokens_out),
        trace_export::words("gen_ai.response.finish_reasons", [reason]),
    ]
}

/// What is done, in the words of the conventions where they have one.
fn operation(work: &Work) -> &'static str {
    match work {
        Work::Generate(generate) => match generate.input {
            Input::Chat(_) => "chat",
            Input::Text(_) => "text_completion",
        },
        Work::Embed(_) => "embeddings",
        Work::Rerank { .. } => "rerank",
        Work::Relay(relay) => match relay.route {
            Route::ChatCompletions => "chat",
            Route::Completions => "text_completion",
            Route::Embeddings => "embeddings",
        },
    }
}

fn end_word(end: JobEnd) -> &'static str {
    match end {
        JobEnd::Completed => "completed",
        JobEnd::Canceled => "canceled",
        JobEnd::Failed(_) => "failed",
    }
}

/// Whether a task ends like this only together with an attempt.
fn ends_with_its_attempt(end: JobEnd) -> bool {
    let by_attempt = |reason| {
        use FailReason::{BudgetSpent, EngineLost, Poisoned, Refused, TimedOut};
        matches!(reason, EngineLost | TimedOut | Refused | Poisoned | BudgetSpent)
    };
    match end {
        JobEnd::Completed => true,
        JobEnd::Canceled => false,
        JobEnd::Failed(reason) => by_attempt(reason),
    }
}

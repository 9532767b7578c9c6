//! Tasks: submitted, listed, read, canceled, explained.

use api_types::{
    Admission, CreateTask,
    ErrorCode::{
        AdmissionReject, DeadlineUnmet, Internal, JobEnded, ModelNotAvailable, NodeUnavailable, Poisoned,
        PoolUnavailable, PoolUnready, QueueFullDropLru, StorageUnavailable, TaskIdConflict,
        UntrustedArtifact,
    },
    ExpiredBody, ExplainView, TaskPage, TaskView,
};
use axum::http::{Method, StatusCode};

use super::{
    answer::content,
    components::BUDGET,
    events::{HOW_TO_READ, task_event},
    operation::{Operation, operation},
    schemas::{flag, matching, one_of, text, uuid, within},
};

const TASK: &str = "The task's id.";

pub(super) fn operations() -> Vec<Operation> {
    vec![create(), list(), view(), events(), cancel(), explain()]
}

fn create() -> Operation {
    let with_place = [&["Location"], &BUDGET[..]].concat();
    operation(Method::POST, "/v2/tasks", "createTask")
        .summary("Submit a task")
        .describe(
            "The task is accepted or refused at once, and what was accepted is not lost. The same request under the same \
             `task_id` or `Idempotency-Key` is one task, so that it can be repeated after a lost answer.",
        )
        .header(
            "Idempotency-Key",
            "Stands for a `task_id` that the request does not name; other values than these are refused.",
            matching("^[!-~]{1,255}$"),
        )
        .header("traceparent", "The W3C trace that the task belongs to; the engine gets it, too.", text())
        .body::<CreateTask>()
        .answers::<Admission>(StatusCode::ACCEPTED, "The task is accepted.")
        .with_headers(&with_place)
        .answers::<Admission>(StatusCode::OK, "The same request came before; this is what it was answered.")
        .with_headers(&with_place)
        .fails(&[
            DeadlineUnmet,
            UntrustedArtifact,
            TaskIdConflict,
            Poisoned,
            AdmissionReject,
            QueueFullDropLru,
            PoolUnready,
            PoolUnavailable,
            ModelNotAvailable,
            NodeUnavailable,
            StorageUnavailable,
        ])
}

fn list() -> Operation {
    let states = ["queued", "running", "completed", "canceled", "failed"];
    operation(Method::GET, "/v2/tasks", "listTasks")
        .summary("List tasks, newest first")
        .describe("Filters are joined by \"and\". A page may hold few tasks and lead on all the same.")
        .query("state", "Only tasks that stand so.", one_of(&states))
        .query("session_id", "Only tasks of this session.", uuid())
        .query("pool_id", "Only tasks that are or were in this pool.", text())
        .query("limit", "At most as many; 50 when absent.", within(1, 200))
        .query("cursor", "The `next_cursor` of another page.", text())
        .answers::<TaskPage>(StatusCode::OK, "A page of tasks, without their texts.")
}

fn view() -> Operation {
    operation(Method::GET, "/v2/tasks/{id}", "getTask")
        .summary("See what became of a task")
        .name(TASK, uuid())
        .answers::<TaskView>(StatusCode::OK, "The task as it stands, with its text once it has ended.")
        .fails(&[AdmissionReject, StorageUnavailable])
}

fn events() -> Operation {
    let described = operation(Method::GET, "/v2/tasks/{id}/events", "readTaskEvents")
        .summary("Read a task's stream, from any point of it")
        .describe(HOW_TO_READ)
        .name(TASK, uuid())
        .query("after", "The last event that the reader has; `Last-Event-ID` wins.", within(0, 4_294_967_295))
        .query("verbose", "Whether `metrics` explain themselves in `human` and `prep`.", flag())
        .header("Last-Event-ID", "The last event that the reader has.", within(0, 4_294_967_295));
    let (described, event) = task_event(described);
    described
        .says(StatusCode::OK, "The events.", vec![("text/event-stream", content(event))])
        .with_headers(&[&["Cache-Control", "X-Accel-Buffering"], &BUDGET[..]].concat())
        .answers::<ExpiredBody>(StatusCode::GONE, "`STREAM_EXPIRED`: past its retention; how the task ended.")
        .fails(&[AdmissionReject, StorageUnavailable])
}

fn cancel() -> Operation {
    operation(Method::POST, "/v2/tasks/{id}/cancel", "cancelTask")
        .summary("Take a task back")
        .describe("After the answer no further token reaches any reader, and the engine stops.")
        .name(TASK, uuid())
        .nothing(StatusCode::NO_CONTENT, "The task is canceled, now or before.")
        .fails(&[JobEnded, AdmissionReject, StorageUnavailable, Internal])
}

fn explain() -> Operation {
    operation(Method::GET, "/v2/tasks/{id}/explain", "explainTask")
        .summary("See why a task is where it is")
        .name(TASK, uuid())
        .answers::<ExplainView>(
            StatusCode::OK,
            "What was asked, each engine's verdict, what decided, and the start as predicted and as it came.",
        )
        .fails(&[AdmissionReject])
}

//! `OpenAI`'s API. Its shapes are that API's own; only what the server reads is told here.

use api_types::{
    ErrorCode::{
        self, AdmissionReject, DecodeTimeout, JobEnded, ModelNotAvailable, Poisoned, PoolUnavailable,
        PoolUnready, QueueFullDropLru, StreamExpired, UntrustedArtifact, WorkerReset,
    },
    OpenAiModel, OpenAiModels,
};
use axum::http::{Method, StatusCode};
use utoipa::openapi::Object;

use super::{
    answer::content,
    components::BUDGET,
    openai_shapes::{any_object, chat, completion, embeddings},
    operation::{Operation, operation},
    schemas::{one_of, text, uuid},
};

/// What a task may fail with before the first event, which is a status here.
const FAILURES: &[ErrorCode] = &[
    UntrustedArtifact,
    JobEnded,
    Poisoned,
    AdmissionReject,
    QueueFullDropLru,
    PoolUnready,
    PoolUnavailable,
    ModelNotAvailable,
    StreamExpired,
    WorkerReset,
    DecodeTimeout,
];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        call("/v1/chat/completions", "createChatCompletion", chat())
            .summary("Let a model go on with a conversation")
            .says(StatusCode::OK, "The engine's answer, whole or as events.", whole_or_streamed())
            .with_headers(&headers()),
        call("/v1/completions", "createCompletion", completion())
            .summary("Let a model go on with a text")
            .says(StatusCode::OK, "The engine's answer, whole or as events.", whole_or_streamed())
            .with_headers(&headers()),
        call("/v1/embeddings", "createEmbedding", embeddings())
            .summary("Make vectors of texts")
            .says(StatusCode::OK, "The engine's answer.", vec![("application/json", content(any_object()))])
            .with_headers(&headers()),
        operation(Method::GET, "/v1/models", "listOpenAiModels")
            .summary("List the models that are ready")
            .answers::<OpenAiModels>(
                StatusCode::OK,
                "A row for each, by the first of its names that is no path.",
            )
            .fails(&[AdmissionReject]),
        operation(Method::GET, "/v1/models/{*id}", "getOpenAiModel")
            .summary("See a model, by any of its names")
            .name("The model; its name may hold slashes, which stand in the path as they are.", text())
            .answers::<OpenAiModel>(StatusCode::OK, "The model.")
            .fails(&[AdmissionReject, ModelNotAvailable]),
    ]
}

fn call(route: &'static str, id: &'static str, body: Object) -> Operation {
    operation(Method::POST, route, id)
        .describe(
            "A call is a task like any other, to be seen under `/v2/tasks` by the id in `X-Request-Id`. What the server does \
             not read goes to the engine as it stands. A call ends when its client leaves.",
        )
        .header("X-Priority", "Who waits for the answer; `interactive` when absent.", one_of(&[
            "interactive",
            "batch",
        ]))
        .header("X-Session-Id", "The session that the call belongs to.", uuid())
        .header("traceparent", "The W3C trace that the call belongs to; the engine gets it, too.", text())
        .body_of(body)
        .fails(FAILURES)
}

fn whole_or_streamed() -> Vec<(&'static str, utoipa::openapi::Content)> {
    vec![("application/json", content(any_object())), ("text/event-stream", content(any_object()))]
}

fn headers() -> Vec<&'static str> {
    [&["X-Request-Id"], &BUDGET[..]].concat()
}

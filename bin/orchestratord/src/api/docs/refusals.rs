//! The errors of an operation: one answer for each status, with the codes that it may have.

use std::collections::BTreeMap;

use api_types::{ErrorBody, ErrorCode, OpenAiErrorBody};
use axum::http::StatusCode;
use utoipa::{
    ToSchema,
    openapi::{
        AllOfBuilder, Content, Object, ObjectBuilder, Ref, Response, ResponseBuilder, Schema,
        schema::{AdditionalProperties, Type},
    },
};

use super::{components::header_of, schemas::one_of};
use crate::error::{codes_in_openai_words, status};

/// In whose words errors are said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Native,
    OpenAi,
}

/// An answer for each status that these codes have.
pub(super) fn refusals(codes: &[ErrorCode], dialect: Dialect) -> BTreeMap<StatusCode, Response> {
    let mut words: BTreeMap<StatusCode, Vec<String>> = BTreeMap::new();
    for code in codes {
        let (status, said) = match dialect {
            Dialect::Native => (status(*code), vec![code.as_str().to_owned()]),
            Dialect::OpenAi => codes_in_openai_words(*code),
        };
        words.entry(status).or_default().extend(said);
    }
    words.into_iter().map(|(status, words)| (status, refusal(status, words, dialect))).collect()
}

fn refusal(status: StatusCode, mut words: Vec<String>, dialect: Dialect) -> Response {
    words.sort_unstable();
    words.dedup();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let (envelope, narrowed) = match dialect {
        Dialect::Native => (ErrorBody::name(), with("code", one_of(&words))),
        Dialect::OpenAi => (OpenAiErrorBody::name(), with("error", among_others("code", one_of(&words)))),
    };
    let schema = AllOfBuilder::new().item(Ref::from_schema_name(envelope)).item(narrowed);
    let reason = status.canonical_reason().unwrap_or("Error");
    let mut response = ResponseBuilder::new()
        .description(format!("{reason}: `{}`.", words.join("`, `")))
        .content("application/json", Content::new(Some(schema)))
        .header_ref("X-Correlation-Id", header_of("X-Correlation-Id"));
    let may_wait = [StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
    if may_wait.contains(&status) {
        response = response
            .header_ref("Retry-After", header_of("Retry-After"))
            .header_ref("X-Backoff-Ms", header_of("X-Backoff-Ms"));
    }
    if status == StatusCode::UNAUTHORIZED {
        response = response.header_ref("WWW-Authenticate", header_of("WWW-Authenticate"));
    }
    if dialect == Dialect::OpenAi {
        response = response.header_ref("X-Should-Retry", header_of("X-Should-Retry"));
        response = response.header_ref("Retry-After-Ms", header_of("Retry-After-Ms"));
    }
    response.build()
}

fn with(name: &str, schema: Object) -> Object {
    ObjectBuilder::new().schema_type(Type::Object).property(name, schema).build()
}

/// As [`with`], beside properties that are told elsewhere.
fn among_others(name: &str, schema: Object) -> Object {
    let others = AdditionalProperties::<Schema>::FreeForm(true);
    ObjectBuilder::from(with(name, schema)).additional_properties(Some(others)).build()
}

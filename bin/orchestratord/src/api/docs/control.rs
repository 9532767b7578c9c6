//! The server itself: whether it lives and is ready, its numbers, what it can do, and its documents.

use api_types::{CapabilitiesView, ErrorCode::AdmissionReject, VersionView};
use axum::http::{Method, StatusCode};
use utoipa::openapi::{Object, schema::Type};

use super::{
    answer::content,
    operation::{Operation, operation},
    schemas::text,
};
use crate::api::ops::ServerStatus;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(Method::GET, "/health", "getHealth")
            .summary("Ask whether the process answers")
            .answers::<ServerStatus>(StatusCode::OK, "It does."),
        operation(Method::GET, "/ready", "getReady")
            .summary("Ask whether work can be done")
            .answers::<ServerStatus>(StatusCode::OK, "A pool is ready.")
            .answers::<ServerStatus>(StatusCode::SERVICE_UNAVAILABLE, "Not now, for these reasons.")
            .fails(&[AdmissionReject]),
        operation(Method::GET, "/metrics", "getMetrics").summary("Read all metrics").says(
            StatusCode::OK,
            "All metrics as OpenMetrics text.",
            vec![("application/openmetrics-text", content(text()))],
        ),
        operation(Method::GET, "/openapi.json", "getOpenApi").summary("Read this document").says(
            StatusCode::OK,
            "The document of the whole API, in OpenAPI 3.1.",
            vec![("application/json", content(Object::with_type(Type::Object)))],
        ),
        operation(Method::GET, "/docs", "getDocs").summary("Read this document as a page").says(
            StatusCode::OK,
            "One page without scripts.",
            vec![("text/html", content(text()))],
        ),
        operation(Method::GET, "/v2/meta/capabilities", "getCapabilities")
            .summary("See what the engines that are ready can do")
            .answers::<CapabilitiesView>(StatusCode::OK, "Computed at the moment of the question.")
            .fails(&[AdmissionReject]),
        operation(Method::GET, "/v2/meta/version", "getVersion")
            .summary("See which API and which server this is")
            .answers::<VersionView>(StatusCode::OK, "The versions."),
    ]
}

//! The documents of the API: what stands in them is said here, beside the route table.
//!
//! A route is described once. Its plane, its security and the refusals of the gate follow from the route
//! table, the statuses of its errors from their codes, and the schemas from the wire types, so that a
//! document cannot say something else than the code.

mod answer;
mod build;
mod catalog;
mod components;
mod control;
mod data;
mod data_more;
mod events;
mod formats;
mod nodes;
mod openai;
mod openai_shapes;
mod operation;
mod page;
mod pools;
mod refusals;
mod schemas;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use axum::{
    body::Bytes,
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::openapi::OpenApi;

use self::operation::Operation;

/// One of the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// Tasks, their streams, sessions and artifacts.
    Data,
    /// The server itself, and its pools.
    Control,
    /// Models.
    Catalog,
    /// Machines.
    Nodes,
    /// `OpenAI`'s API.
    OpenAi,
}

impl Document {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Data, Self::Control, Self::Catalog, Self::Nodes, Self::OpenAi];

    /// What it is called, as a tag and as a file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Control => "control",
            Self::Catalog => "catalog",
            Self::Nodes => "nodes",
            Self::OpenAi => "openai",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Data => "Tasks, their streams, sessions and artifacts",
            Self::Control => "The server itself, and its pools",
            Self::Catalog => "Models: registered, verified, and where they are",
            Self::Nodes => "Machines: they register and say that they are well",
            Self::OpenAi => "OpenAI's API, for the same queues and engines",
        }
    }

    fn operations(self) -> Vec<Operation> {
        match self {
            Self::Data => [data::operations(), data_more::operations()].concat(),
            Self::Control => [control::operations(), pools::operations()].concat(),
            Self::Catalog => catalog::operations(),
            Self::Nodes => nodes::operations(),
            Self::OpenAi => openai::operations(),
        }
    }
}

/// The document of a part of the API.
//= ORCH-3096
pub fn openapi(part: Document) -> OpenApi {
    build::document(&format!("llama-orch: {}", part.name()), &[part])
}

/// The document of the whole API.
pub fn openapi_of_all() -> OpenApi {
    build::document("llama-orch", &Document::ALL)
}

/// `GET /openapi.json`: the whole API in one document.
pub(super) async fn openapi_json() -> Response {
    static TEXT: LazyLock<Bytes> =
        LazyLock::new(|| openapi_of_all().to_json().map(Bytes::from).unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], TEXT.clone()).into_response()
}

/// `GET /docs`: the same for people, without a script and without anything from elsewhere.
pub(super) async fn reader() -> Response {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(page::page(&openapi_of_all())));
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
    ];
    (headers, TEXT.clone()).into_response()
}

//! What an operation answers.

use axum::http::StatusCode;
use utoipa::{
    ToSchema,
    openapi::{Content, ContentBuilder, RefOr, Schema},
};

use super::operation::Operation;

/// One answer that is no plain error.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) description: &'static str,
    pub(super) content: Vec<(&'static str, Content)>,
    /// The headers that it may have, by their names.
    pub(super) headers: Vec<&'static str>,
}

impl Operation {
    /// An answer with a JSON body of this type.
    pub(super) fn answers<T: ToSchema>(mut self, status: StatusCode, description: &'static str) -> Self {
        let schema = self.refer::<T>();
        self.says(status, description, vec![("application/json", Content::new(Some(schema)))])
    }

    /// An answer without a body.
    pub(super) fn nothing(self, status: StatusCode, description: &'static str) -> Self {
        self.says(status, description, Vec::new())
    }

    pub(super) fn says(
        mut self,
        status: StatusCode,
        description: &'static str,
        content: Vec<(&'static str, Content)>,
    ) -> Self {
        self.answers.push(Answer { status, description, content, headers: Vec::new() });
        self
    }

    /// Headers of the answer that was described last.
    pub(super) fn with_headers(mut self, names: &[&'static str]) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.extend(names);
        }
        self
    }
}

/// Text in this media type, of this shape.
pub(super) fn content(schema: impl Into<RefOr<Schema>>) -> Content {
    ContentBuilder::new().schema(Some(schema)).build()
}

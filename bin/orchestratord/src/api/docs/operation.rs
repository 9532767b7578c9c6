//! One operation, as it is described.

use api_types::ErrorCode;
use axum::http::Method;
use utoipa::{
    ToSchema,
    openapi::{
        Content, Ref, RefOr, Required, Schema,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

use super::answer::Answer;

type Named = (String, RefOr<Schema>);

/// The description of one operation, in the making.
#[derive(Clone)]
pub(super) struct Operation {
    pub(super) method: Method,
    /// Its path in the route table.
    pub(super) route: &'static str,
    /// Its path in the documents.
    pub(super) path: String,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: Option<&'static str>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Content>,
    pub(super) answers: Vec<Answer>,
    pub(super) codes: Vec<ErrorCode>,
    /// What its schemas refer to.
    pub(super) schemas: Vec<Named>,
}

/// An operation of the route table, and what it is called.
pub(super) fn operation(method: Method, route: &'static str, id: &'static str) -> Operation {
    Operation {
        method,
        route,
        path: route.replace("{*", "{"),
        id,
        summary: "",
        description: None,
        parameters: Vec::new(),
        body: None,
        answers: Vec::new(),
        codes: vec![ErrorCode::BadHost, ErrorCode::Internal],
        schemas: Vec::new(),
    }
}

impl Operation {
    /// Another path than the table's, for one that answers to several.
    pub(super) fn at(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    pub(super) fn summary(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    pub(super) fn describe(self, description: &'static str) -> Self {
        Self { description: Some(description), ..self }
    }

    /// The one name in its path.
    pub(super) fn name(self, description: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        // What is no text names nothing.
        self.with(ParameterIn::Path, "id", description, schema).fails(&[ErrorCode::NotFound])
    }

    pub(super) fn query(self, name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        self.with(ParameterIn::Query, name, description, schema).fails(&[ErrorCode::InvalidParams])
    }

    pub(super) fn header(self, name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        self.with(ParameterIn::Header, name, description, schema)
    }

    fn with(
        mut self,
        place: ParameterIn,
        name: &str,
        description: &str,
        schema: impl Into<RefOr<Schema>>,
    ) -> Self {
        let required = if place == ParameterIn::Path { Required::True } else { Required::False };
        let parameter = ParameterBuilder::new().name(name).parameter_in(place).required(required);
        self.parameters.push(parameter.description(Some(description)).schema(Some(schema)).build());
        self
    }

    /// A JSON body of this type.
    pub(super) fn body<T: ToSchema>(mut self) -> Self {
        let schema = self.refer::<T>();
        self.body_of(schema)
    }

    /// A JSON body of this shape.
    pub(super) fn body_of(mut self, schema: impl Into<RefOr<Schema>>) -> Self {
        self.body = Some(Content::new(Some(schema)));
        self.fails(&[
            ErrorCode::InvalidParams,
            ErrorCode::RequestTimeout,
            ErrorCode::PayloadTooLarge,
            ErrorCode::UnsupportedMediaType,
        ])
    }

    /// Errors that may come, beside those that follow from its shape.
    pub(super) fn fails(mut self, codes: &[ErrorCode]) -> Self {
        self.codes.extend(codes);
        self
    }

    /// A reference to a type's schema, which the document then has.
    pub(super) fn refer<T: ToSchema>(&mut self) -> Ref {
        T::schemas(&mut self.schemas);
        let name = T::name().into_owned();
        self.schemas.push((name.clone(), T::schema()));
        Ref::from_schema_name(name)
    }
}

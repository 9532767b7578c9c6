//! From descriptions to a document.

use api_types::{API_VERSION, ErrorBody, ErrorCode, OpenAiErrorBody};
use auth_min::Plane;
use axum::http::Method;
use utoipa::openapi::{
    HttpMethod, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathsBuilder, Ref, Required, Response,
    ResponseBuilder, Server,
    path::{OperationBuilder, PathItem},
    request_body::RequestBodyBuilder,
    security::SecurityRequirement,
    tag::TagBuilder,
};

use super::{
    Document,
    answer::Answer,
    components::{components, header_of, scheme_of},
    formats::name_formats,
    operation::Operation,
    refusals::{Dialect, refusals},
};
use crate::api::{RouteFacts, route_table};

const ABOUT: &str = "\
Generated from the server's code. Unknown fields of requests are ignored, and answers may get further fields. Every answer carries \
`X-Correlation-Id`. Where no token is configured, none is asked for.";

/// The document of these parts.
pub(super) fn document(title: &str, parts: &[Document]) -> OpenApi {
    let table = route_table();
    let mut paths = PathsBuilder::new();
    let mut components = components();
    for part in parts {
        for mut operation in part.operations() {
            operation.refer::<ErrorBody>();
            if *part == Document::OpenAi {
                operation.refer::<OpenAiErrorBody>();
            }
            components.schemas.extend(operation.schemas.clone());
            paths = paths.path(operation.path.clone(), item(&operation, *part, &table));
        }
    }
    components.schemas.values_mut().for_each(name_formats);
    let tags =
        parts.iter().map(|part| TagBuilder::new().name(part.name()).description(Some(part.title())).build());
    let licence = LicenseBuilder::new().name("GPL-3.0-or-later").identifier(Some("GPL-3.0-or-later"));
    let info = InfoBuilder::new()
        .title(title)
        .version(API_VERSION)
        .description(Some(ABOUT))
        .license(Some(licence.build()));
    let here = Server::builder().url("/").description(Some("The server that answers this.")).build();
    let mut built = OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([here]))
        .tags(Some(tags))
        .paths(paths.build())
        .components(Some(components))
        .build();
    while forget_unused(&mut built) > 0 {}
    built
}

/// Takes out shared parts that this document does not refer to, and tells how many those were.
fn forget_unused(document: &mut OpenApi) -> usize {
    let text = document.to_json().unwrap_or_default();
    let Some(components) = &mut document.components else { return 0 };
    let before = components.headers.len() + components.schemas.len() + components.security_schemes.len();
    components.headers.retain(|name, _| text.contains(&format!("#/components/headers/{name}\"")));
    components.schemas.retain(|name, _| text.contains(&format!("#/components/schemas/{name}\"")));
    components.security_schemes.retain(|name, _| text.contains(&format!("\"{name}\":[]")));
    before - (components.headers.len() + components.schemas.len() + components.security_schemes.len())
}

fn item(operation: &Operation, part: Document, table: &[RouteFacts]) -> PathItem {
    let is_it = |facts: &&RouteFacts| facts.method == operation.method && facts.path == operation.route;
    // A route that is not in the table fails a test, and its document asks for the strongest token.
    let plane = table.iter().find(is_it).map_or(Plane::Control, |facts| facts.plane);
    let mut codes = operation.codes.clone();
    if plane != Plane::Open {
        codes.extend([
            ErrorCode::MissingToken,
            ErrorCode::BadToken,
            ErrorCode::Forbidden,
            ErrorCode::TooManyFailures,
        ]);
    }
    let dialect = if part == Document::OpenAi { Dialect::OpenAi } else { Dialect::Native };
    let mut responses = refusals(&codes, dialect);
    responses.extend(operation.answers.iter().map(|answer| (answer.status, said(answer))));
    let mut built = OperationBuilder::new()
        .tag(part.name())
        .operation_id(Some(operation.id))
        .summary(Some(operation.summary))
        .description(operation.description)
        .parameter_ref(Ref::new("#/components/parameters/CorrelationId"));
    for parameter in &operation.parameters {
        built = built.parameter(parameter.clone());
    }
    if let Some(content) = &operation.body {
        let body = RequestBodyBuilder::new().content("application/json", content.clone());
        built = built.request_body(Some(body.required(Some(Required::True)).build()));
    }
    for (status, response) in responses {
        built = built.response(status.as_str(), response);
    }
    // An empty list says that nothing is asked for; none at all would say nothing.
    let tokens = scheme_of(plane).map(|scheme| SecurityRequirement::new(scheme, Vec::<String>::new()));
    built = built.securities(Some(tokens));
    PathItem::new(http_method(&operation.method), built)
}

fn said(answer: &Answer) -> Response {
    let mut response = ResponseBuilder::new()
        .description(answer.description)
        .header_ref("X-Correlation-Id", header_of("X-Correlation-Id"));
    for (media, content) in &answer.content {
        response = response.content(*media, content.clone());
    }
    for name in &answer.headers {
        response = response.header_ref(*name, header_of(name));
    }
    response.build()
}

fn http_method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

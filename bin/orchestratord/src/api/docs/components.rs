//! What several operations share: headers, one parameter, and the tokens.

use auth_min::Plane;
use utoipa::openapi::{
    Components, ComponentsBuilder, Object, Ref, Required,
    header::HeaderBuilder,
    path::{ParameterBuilder, ParameterIn},
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use super::schemas::{amount, count, one_of, text};

struct SharedHeader {
    name: &'static str,
    description: &'static str,
    schema: fn() -> Object,
}

const HEADERS: &[SharedHeader] = &[
    SharedHeader {
        name: "X-Correlation-Id",
        description: "The request's own, or a fresh UUID. It stands in every log line about the request.",
        schema: text,
    },
    SharedHeader { name: "Location", description: "Where the thing is.", schema: text },
    SharedHeader {
        name: "Retry-After",
        description: "When trying again makes sense, in whole seconds, where that is known.",
        schema: count,
    },
    SharedHeader { name: "X-Backoff-Ms", description: "The same in milliseconds.", schema: count },
    SharedHeader {
        name: "Retry-After-Ms",
        description: "The same in milliseconds, as `OpenAI`'s clients read it.",
        schema: count,
    },
    SharedHeader {
        name: "X-Should-Retry",
        description: "Whether the same request may succeed later.",
        schema: || one_of(&["true", "false"]),
    },
    SharedHeader {
        name: "X-Budget-Tokens-Remaining",
        description: "Tokens that the session's budget has left, where it has a limit of them.",
        schema: count,
    },
    SharedHeader {
        name: "X-Budget-Time-Remaining-Ms",
        description: "Engine time that the session's budget has left, where it has a limit of it.",
        schema: count,
    },
    SharedHeader {
        name: "X-Budget-Cost-Remaining",
        description: "Cost that the session's budget has left, where it has a limit of it.",
        schema: amount,
    },
    SharedHeader { name: "X-Request-Id", description: "The task behind the call.", schema: text },
    SharedHeader { name: "Cache-Control", description: "`no-cache`.", schema: text },
    SharedHeader { name: "X-Accel-Buffering", description: "`no`: proxies hand events on.", schema: text },
    SharedHeader { name: "WWW-Authenticate", description: "`Bearer`.", schema: text },
];

/// What budgets have left.
pub(super) const BUDGET: [&str; 3] =
    ["X-Budget-Tokens-Remaining", "X-Budget-Time-Remaining-Ms", "X-Budget-Cost-Remaining"];

/// A shared header, by its name.
pub(super) fn header_of(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}

/// What is shared, and no schema yet.
pub(super) fn components() -> Components {
    let id = ParameterBuilder::new().name("X-Correlation-Id").parameter_in(ParameterIn::Header);
    let id = id.required(Required::False).schema(Some(text())).description(Some(
        "A name for the request, of 1 to 64 letters, digits, `.`, `_` and `-`, which the answer carries, too. Any other value is left \
         aside for a fresh UUID.",
    ));
    let mut components = ComponentsBuilder::new().parameter("CorrelationId", id.build());
    for header in HEADERS {
        let built = HeaderBuilder::new().description(Some(header.description));
        components = components.header(header.name, built.schema(Some((header.schema)())).build());
    }
    for plane in Plane::GUARDED {
        let http = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(whose(plane)));
        if let Some(name) = scheme_of(plane) {
            components = components.security_scheme(name, SecurityScheme::Http(http.build()));
        }
    }
    components.build()
}

/// What the token of a plane is called in the documents.
pub(super) const fn scheme_of(plane: Plane) -> Option<&'static str> {
    match plane {
        Plane::Open => None,
        Plane::Data => Some("dataToken"),
        Plane::Control => Some("controlToken"),
        Plane::Node => Some("nodeToken"),
    }
}

const fn whose(plane: Plane) -> &'static str {
    match plane {
        Plane::Control => {
            "The token of operators, `LLORCH_CONTROL_TOKEN`; `LLORCH_API_TOKEN` where there is none."
        }
        Plane::Node => "The token of nodes, `LLORCH_NODE_TOKEN`; `LLORCH_API_TOKEN` where there is none.",
        Plane::Open | Plane::Data => "The token of clients, `LLORCH_API_TOKEN`.",
    }
}

//! How a route is declared: method, plane, path and handler in one call, so that none can be left out.
//!
//! What a request needs to be let in hangs on the endpoint itself. It is never decided from the text of
//! a path, which proxies, clients and attackers spell in more than one way.

use auth_min::Plane;
use axum::{
    Router,
    handler::Handler,
    http::Method,
    middleware::from_fn_with_state,
    routing::{MethodRouter, delete, get, post},
};

use super::trace::{self, Operation};
use crate::{gate::Guard, state::AppState};

/// What is known of a route without asking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteFacts {
    /// How it is asked. `GET` stands for `HEAD`, too.
    pub method: Method,
    /// Where, with parameters in braces.
    pub path: &'static str,
    /// Who may ask.
    pub plane: Plane,
}

struct Route {
    facts: RouteFacts,
    /// The name of its spans, when it has some of its own.
    span: Option<&'static str>,
    endpoint: MethodRouter<AppState>,
}

/// A table of routes in the making.
#[derive(Default)]
pub(crate) struct Routes {
    routes: Vec<Route>,
}

impl Routes {
    pub(crate) fn get<H, T>(self, plane: Plane, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        self.with(RouteFacts { method: Method::GET, path, plane }, get(handler))
    }

    pub(crate) fn post<H, T>(self, plane: Plane, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        self.with(RouteFacts { method: Method::POST, path, plane }, post(handler))
    }

    pub(crate) fn delete<H, T>(self, plane: Plane, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        self.with(RouteFacts { method: Method::DELETE, path, plane }, delete(handler))
    }

    fn with(mut self, facts: RouteFacts, endpoint: MethodRouter<AppState>) -> Self {
        self.routes.push(Route { facts, span: None, endpoint });
        self
    }

    /// Has each request to the route before be a span of a trace, with this name.
    pub(crate) fn traced(mut self, name: &'static str) -> Self {
        if let Some(last) = self.routes.last_mut() {
            last.span = Some(name);
        }
        self
    }

    /// The table as facts.
    pub(crate) fn facts(self) -> impl Iterator<Item = RouteFacts> {
        self.routes.into_iter().map(|route| route.facts)
    }

    /// The table as a router, each endpoint behind the guard of its plane.
    //= AUTH-1009
    pub(crate) fn into_router(self, state: &AppState) -> Router<AppState> {
        self.routes.into_iter().fold(Router::new(), |router, Route { facts, span, endpoint }| {
            // Inside of the guard: who is not let in begins no trace.
            let endpoint = match span {
                Some(name) => {
                    let traced = Operation { name, path: facts.path, traces: state.admission.traces.clone() };
                    endpoint.route_layer(from_fn_with_state(traced, trace::operation))
                }
                None => endpoint,
            };
            let endpoint = match facts.plane {
                Plane::Open => endpoint,
                plane => endpoint.route_layer(Guard::new(state, plane)),
            };
            router.route(facts.path, endpoint)
        })
    }
}

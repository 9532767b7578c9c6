//! Who asks, under which name, and how the request is called in the log.

use auth_min::{AuthError, Authorities, Plane};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use config_schema::HostRule;
use http_server::{CorrelationId, check_host};
use tokio::time::Instant;
use tracing::debug;

use crate::{api::ApiState, error::ApiError};

/// What the gate checks by.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) hosts: HostRule,
    /// Whoever has a node's token may ask.
    pub(crate) authorities: Authorities,
}

/// Names the request, and checks that it is meant for this agent.
pub(crate) async fn door(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let correlation = CorrelationId::of(request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = match check_host(&request, |host| state.rules.hosts.permits(host)) {
        Ok(()) => next.run(request).await,
        Err(refused) => ApiError::from(refused).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert("x-correlation-id", correlation.header());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    debug!(target: "pool_managerd::access", correlation_id = %correlation, %method, path,
        status = response.status().as_u16(), latency_ms, "request answered");
    response
}

/// Lets in who has a token.
pub(crate) async fn bearer_auth(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    match check(&state.rules.authorities, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => ApiError::from(error).into_response(),
    }
}

/// A request with several such headers has none that counts.
//= AUTH-1001
fn check(authorities: &Authorities, headers: &HeaderMap) -> Result<(), AuthError> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let credential = match (given.next(), given.next()) {
        (credential, None) => credential.map(HeaderValue::as_bytes),
        (_, Some(_)) => return Err(AuthError::Bad),
    };
    // Without a token the agent listens on loopback only; the configuration has made sure of that.
    authorities.check(Plane::Node, credential).map(drop)
}

#[cfg(test)]
mod tests {
    use auth_min::TokenAuthority;

    use super::*;

    const TOKENS: [&str; 2] = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"];

    #[test]
    fn the_nodes_own_token_is_let_in_and_where_there_is_none_the_other() {
        let [api, node] = TOKENS.map(|token| vec![TokenAuthority::new(token).unwrap()]);
        let with = |authorities: &Authorities, values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            check(authorities, &headers)
        };
        let (first, second) = (format!("Bearer {}", TOKENS[0]), format!("Bearer {}", TOKENS[1]));
        let one = Authorities { api, ..Authorities::default() };
        assert_eq!(with(&one, &[&first]), Ok(()));
        assert_eq!(with(&one, &[&first, &first]), Err(AuthError::Bad));
        assert_eq!(with(&one, &["Bearer x"]), Err(AuthError::Bad));
        assert_eq!(with(&one, &[]), Err(AuthError::Missing));
        let both = Authorities { node, ..one };
        assert_eq!(with(&both, &[&second]), Ok(()));
        assert_eq!(with(&both, &[&first]), Err(AuthError::WrongPlane));
        assert_eq!(with(&Authorities::default(), &[]), Ok(()));
    }
}

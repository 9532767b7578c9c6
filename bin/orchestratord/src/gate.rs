//! The gate: who asks, under which name, and how the request is called in every log line.
//!
//! [`door`] is outermost, so that every answer carries a correlation id, also a refusal. [`bearer_auth`]
//! stands on the guarded routes. Neither knows what a route means.

use std::net::SocketAddr;

use auth_min::{AuthError, Forwarding, Identity, is_forwarding_header, loopback_exempt};
use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http_server::{CorrelationId, check_host};
use tokio::time::Instant;
use tracing::debug;

use crate::{error::ApiError, services::millis, state::AppState};

/// Names the request, checks that it is meant for this server, and writes the access log.
pub(crate) async fn door(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let correlation = CorrelationId::of(request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    request.extensions_mut().insert(correlation.clone());
    let mut response = match check_host(&request, |host| state.gate.limits.hosts.permits(host)) {
        Ok(()) => next.run(request).await,
        Err(refused) => ApiError::from(refused).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert("x-correlation-id", correlation.header());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    debug!(target: "orchestratord::access", correlation_id = %correlation, %method, path, status = response.status().as_u16(),
        latency_ms = millis(began.elapsed()), "request answered");
    response
}

/// Lets in who has the token, and who needs none.
//= AUTH-1005
pub(crate) async fn bearer_auth(
    State(state): State<AppState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    match identify(&state, peer, request.headers()) {
        Ok(identity) => {
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err(error) => ApiError::from(error).into_response(),
    }
}

fn identify(state: &AppState, peer: SocketAddr, headers: &HeaderMap) -> Result<Identity, AuthError> {
    let Some(authority) = &state.gate.authority else {
        // Without a token the server listens on loopback only; the start has made sure of that.
        return Ok(Identity::Localhost);
    };
    let forwarded = headers.keys().any(|name| is_forwarding_header(name.as_str()));
    let forwarding = if forwarded { Forwarding::Forwarded } else { Forwarding::Direct };
    let credential = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    if credential.is_none() && loopback_exempt(peer.ip(), forwarding, state.gate.loopback) {
        return Ok(Identity::Localhost);
    }
    authority.check(credential)
}

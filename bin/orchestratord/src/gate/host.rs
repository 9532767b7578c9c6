//! Whether a request is meant for this server.
//!
//! A page in a browser can reach a server on loopback under any name that it owns (DNS rebinding);
//! the `Host` header gives it away. Two headers, or a target that names another host, are tricks.

use api_types::ErrorCode;
use axum::{
    extract::Request,
    http::{header, uri::Authority},
};
use config_schema::HostRule;

use crate::error::ApiError;

// H26
pub(super) fn check(request: &Request, rule: &HostRule) -> Result<(), ApiError> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(refused("the request needs exactly one Host header"));
    };
    let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    let Some(authority) = authority.filter(|authority| !authority.as_str().contains('@')) else {
        return Err(refused("the Host header names no host"));
    };
    if request.uri().authority().is_some_and(|target| *target != authority) {
        return Err(refused("the request's target and its Host header name different hosts"));
    }
    if rule.permits(authority.as_str()) {
        Ok(())
    } else {
        Err(refused("this server does not answer under that Host name").hint("see limits.hosts"))
    }
}

fn refused(message: &str) -> ApiError {
    ApiError::new(ErrorCode::BadHost, message)
}

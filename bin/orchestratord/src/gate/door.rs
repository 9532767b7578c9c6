//! The door: outermost, so that every answer carries a correlation id, also a refusal.
//!
//! It stands around the router and is no layer of it: a layer is copied and put into a box for each request.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, Method, header},
    response::Response,
    routing::future::RouteFuture,
};
use http_server::{CorrelationId, check_host};
use orchestrator_core::Timestamp;
use tokio::time::Instant;
use tower::Service;
use tracing::{Level, debug, enabled};

use super::Answer;
use crate::{error::ApiError, services::millis, state::AppState};

/// Names each request, checks that it is meant for this server, and writes the access log.
#[derive(Clone)]
pub(crate) struct Door {
    state: AppState,
    routes: Router,
}

impl Door {
    pub(crate) fn new(state: AppState, routes: Router) -> Self {
        Self { state, routes }
    }
}

impl<B> Service<Request<B>> for Door
where
    Router: Service<Request<B>, Future = RouteFuture<Infallible>>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Passing;

    /// As a router, it is always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Passing {
        let correlation = CorrelationId::of(request.headers());
        // Copied only where they are read.
        let logged = enabled!(target: "orchestratord::access", Level::DEBUG);
        let asked = logged.then(|| Asked {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            began: Instant::now(),
        });
        request.extensions_mut().insert(correlation.clone());
        if self.state.admission.traces.is_some() {
            request.extensions_mut().insert(ReceivedAt(self.state.clock.now()));
        }
        let answer = match check_host(&request, |host| self.state.gate.limits.hosts.permits(host)) {
            Ok(()) => Answer::Passing(self.routes.call(request)),
            Err(refused) => Answer::refused(ApiError::from(refused)),
        };
        Passing { answer, correlation, asked }
    }
}

/// When the head of a request was here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReceivedAt(pub(crate) Timestamp);

/// A request on its way.
pub(crate) struct Passing {
    answer: Answer<RouteFuture<Infallible>>,
    correlation: CorrelationId,
    asked: Option<Asked>,
}

/// What the access log says of a request.
struct Asked {
    method: Method,
    path: String,
    began: Instant,
}

impl Future for Passing {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Ok(mut response) = ready!(Pin::new(&mut this.answer).poll(cx));
        let headers = response.headers_mut();
        headers.insert("x-correlation-id", this.correlation.header());
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(Asked { method, path, began }) = &this.asked {
            debug!(target: "orchestratord::access", correlation_id = %this.correlation, %method, path,
                status = response.status().as_u16(), latency_ms = millis(began.elapsed()), "request answered");
        }
        Poll::Ready(Ok(response))
    }
}

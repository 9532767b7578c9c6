//! The gate: who asks, under which name, and how the request is called in every log line.
//!
//! [`Door`] is outermost, so that every answer carries a correlation id, also a refusal. [`Guard`] stands
//! in front of each endpoint that is not open, and knows its plane. Neither knows what a route means.

mod door;
mod failures;

pub(crate) use door::{Door, ReceivedAt};
pub(crate) use failures::{Failures, Refusal};

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use api_types::ErrorCode;
use auth_min::{Forwarding, Identity, Plane, is_forwarding_header, loopback_exempt};
use axum::{
    extract::{ConnectInfo, Request},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use http_server::PeerCertificate;
use tower::{Layer, Service};
use tracing::warn;

use crate::{
    clock::Clock,
    error::ApiError,
    gate::failures::Telling,
    metrics::Metrics,
    state::{AppState, GateRules},
};

/// Whether nodes must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeCertificates {
    Needed,
    NotNeeded,
}

/// Who stands in front of the endpoints of one plane: lets in who has a token of it, and who needs none.
#[derive(Clone)]
pub(crate) struct Guard {
    plane: Plane,
    gate: Arc<GateRules>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { guard: self.clone(), inner }
    }
}

/// What a guard stands in front of.
#[derive(Clone)]
pub(crate) struct Guarded<S> {
    guard: Guard,
    inner: S,
}

//= AUTH-1005
impl<S> Service<Request> for Guarded<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Unpin>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let Some(&ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() else {
            return Answer::refused(ApiError::new(ErrorCode::Internal, "the request came in past the door"));
        };
        match self.guard.admit(peer, &request) {
            Ok(identity) => {
                request.extensions_mut().insert(identity);
                Answer::Passing(self.inner.call(request))
            }
            Err(refusal) => {
                self.guard.note(refusal, peer);
                Answer::refused(ApiError::from(refusal))
            }
        }
    }
}

/// The answer to a request: that of who stands behind, or a refusal, which is there at once.
pub(crate) enum Answer<F> {
    Passing(F),
    /// Until it is given.
    Refused(Option<Response>),
}

impl<F> Answer<F> {
    fn refused(why: ApiError) -> Self {
        Self::Refused(Some(why.into_response()))
    }
}

impl<F: Future<Output = Result<Response, Infallible>> + Unpin> Future for Answer<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Passing(answer) => Pin::new(answer).poll(cx),
            Self::Refused(response) => Poll::Ready(Ok(response.take().unwrap_or_default())),
        }
    }
}

impl Guard {
    pub(crate) fn new(state: &AppState, plane: Plane) -> Self {
        let (gate, metrics) = (Arc::clone(&state.gate), Arc::clone(&state.metrics));
        Self { plane, gate, metrics, clock: state.clock }
    }

    fn admit(&self, peer: SocketAddr, request: &Request) -> Result<Identity, Refusal> {
        //= AUTH-1011
        self.gate.failures.check(peer.ip(), self.now())?;
        let headers = request.headers();
        let credential = credential(headers);
        let identity = if credential.is_none() && self.is_exempt(peer, headers) {
            Identity::Localhost
        } else {
            self.gate.authorities.check(self.plane, credential)?
        };
        //= AUTH-1012
        let needs_certificate =
            self.plane == Plane::Node && self.gate.node_certificates == NodeCertificates::Needed;
        if needs_certificate && request.extensions().get::<PeerCertificate>().is_none() {
            return Err(Refusal::NoCertificate);
        }
        Ok(identity)
    }

    fn is_exempt(&self, peer: SocketAddr, headers: &HeaderMap) -> bool {
        let forwarded = headers.keys().any(|name| is_forwarding_header(name.as_str()));
        let forwarding = if forwarded { Forwarding::Forwarded } else { Forwarding::Direct };
        self.plane.heeds_loopback() && loopback_exempt(peer.ip(), forwarding, self.gate.loopback)
    }

    fn note(&self, refusal: Refusal, peer: SocketAddr) {
        let reason = refusal.reason();
        self.metrics.auth_failed(reason);
        if self.gate.failures.note(refusal, peer.ip(), self.now()) == Telling::Due {
            warn!(target: "orchestratord::access", reason, plane = %self.plane, peer = %peer.ip(),
                "a request was not let in; of more such the log is silent for a minute");
        }
    }

    fn now(&self) -> Duration {
        Duration::from_micros(self.clock.now().as_micros())
    }
}

/// The one `Authorization` header. Of several none counts, so they are held to be a malformed one.
fn credential(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let first = all.next()?;
    Some(if all.next().is_some() { b"" } else { first.as_bytes() })
}

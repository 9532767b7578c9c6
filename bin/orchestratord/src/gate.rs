//! The gate: who asks, under which name, and how the request is called in every log line.
//!
//! [`Door`] is outermost, so that every answer carries a correlation id, also a refusal. [`guard`] stands
//! in front of each endpoint that is not open, and knows its plane. Neither knows what a route means.

mod door;
mod failures;

pub(crate) use door::{Door, ReceivedAt};
pub(crate) use failures::{Failures, Refusal};

use std::{net::SocketAddr, sync::Arc, time::Duration};

use auth_min::{Forwarding, Identity, Plane, is_forwarding_header, loopback_exempt};
use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http_server::PeerCertificate;
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

/// Who stands in front of the endpoints of one plane.
#[derive(Clone)]
pub(crate) struct Guard {
    plane: Plane,
    gate: Arc<GateRules>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

/// Lets in who has a token of the plane, and who needs none.
//= AUTH-1005
pub(crate) async fn guard(
    State(guard): State<Guard>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    match guard.admit(peer, &request) {
        Ok(identity) => {
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err(refusal) => {
            guard.note(refusal, peer);
            ApiError::from(refusal).into_response()
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

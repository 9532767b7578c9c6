//! A control plane that writes down what nodes tell it, and answers as a test wants.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use http_server::{Limits, PeerCertificate, Server, Tls, listen};
use serde_json::{Value, json};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Something that a node said.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    /// Method and path.
    pub(crate) what: String,
    pub(crate) token: Option<String>,
    pub(crate) names: Vec<String>,
    pub(crate) body: Value,
    /// Whether the engine that is watched lived when this was said.
    pub(crate) engine_lived: bool,
}

#[derive(Debug, Default)]
struct Book {
    said: Vec<Said>,
    /// Heartbeats are answered with this from now on.
    next: Option<StatusCode>,
    watched: Option<String>,
}

/// The control plane. It ends when it is dropped.
pub(crate) struct Plane {
    pub(crate) addr: SocketAddr,
    book: Arc<Mutex<Book>>,
    closing: CancellationToken,
}

impl Plane {
    pub(crate) fn start(addr: SocketAddr, tls: Option<Tls>) -> Self {
        let book = Arc::new(Mutex::new(Book::default()));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&book));
        let limits =
            Limits { header_bytes_max: 16_384, header_timeout: Duration::from_secs(5), connections_max: 100 };
        let (tracker, closing) = (TaskTracker::new(), CancellationToken::new());
        let server = Server::new(router, limits, tracker.clone(), closing.clone());
        let server = match tls {
            Some(tls) => server.with_tls(tls),
            None => server,
        };
        let listener = listen(addr).unwrap();
        let addr = listener.local_addr().unwrap();
        tracker.spawn(server.run(listener));
        Self { addr, book, closing }
    }

    /// One on a free port.
    pub(crate) fn anywhere() -> Self {
        Self::start(SocketAddr::from(([127, 0, 0, 1], 0)), None)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn said(&self) -> Vec<Said> {
        self.book.lock().unwrap().said.clone()
    }

    /// What was said at this path, in its order.
    pub(crate) fn all(&self, what: &str) -> Vec<Said> {
        self.said().into_iter().filter(|said| said.what == what).collect()
    }

    /// Looks from now on whether this process lives when something is said.
    pub(crate) fn watch(&self, engine: &str) {
        self.book.lock().unwrap().watched = Some(engine.to_owned());
    }

    /// Answers the next heartbeat, and only that, so.
    pub(crate) fn answer_next(&self, status: StatusCode) {
        self.book.lock().unwrap().next = Some(status);
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

async fn answer(State(book): State<Arc<Mutex<Book>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body: Bytes = body.collect().await.unwrap().to_bytes();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut book = book.lock().unwrap();
    let said = Said {
        engine_lived: book.watched.as_deref().is_some_and(crate::node::lives),
        what: format!("{} {}", head.method, head.uri.path()),
        token: header("authorization"),
        names: head.extensions.get::<PeerCertificate>().map(|it| it.names.clone()).unwrap_or_default(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    book.said.push(said);
    if head.uri.path().ends_with("/heartbeat") {
        return match book.next.take() {
            Some(status) => status.into_response(),
            None => Json(json!({"success": true, "next_heartbeat_ms": 10_000})).into_response(),
        };
    }
    if head.method == "DELETE" {
        return StatusCode::NO_CONTENT.into_response();
    }
    Json(json!({"success": true, "message": "registered", "node_id": "n1"})).into_response()
}

//! The accept loop: connections in, bounded in number, in time and in size.
//!
//! It is our own because the defaults of the ready-made one let a slow header keep a connection for
//! ever, take 300 KB of headers, and hold small writes back for 40 ms.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo, response::Response};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;
use tracing::{debug, warn};

use crate::{
    certificate::PeerCertificate,
    tls::{Tls, peer_certificate},
    workers::{Place, Spread, Workers},
};

/// A peer that takes nothing for so long is gone, also when it still answers the network.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// More headers than these are an attack or a mistake.
const HEADERS_MAX: usize = 64;

/// Connections that the kernel completes before they are accepted. The usual 128 overflow when a
/// thousand clients come back at once, and each lost one waits a second before it tries again.
const BACKLOG: u32 = 4_096;

/// Listens on `addr`.
///
/// # Errors
/// When the address is taken or not ours.
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// What peers may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest request head.
    pub header_bytes_max: usize,
    /// How long a request head may take to arrive, and how long a connection may stay without one.
    pub header_timeout: Duration,
    /// How many connections may be open.
    pub connections_max: usize,
}

/// What answers requests: a router, or what stands around one. It must always be ready, as a router is.
pub trait Answers:
    Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send
{
}

impl<S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send> Answers for S {}

/// What the loop works with.
pub struct Server<S = Router> {
    service: S,
    limits: Limits,
    tracker: TaskTracker,
    closing: CancellationToken,
    tls: Option<Arc<Tls>>,
    /// Where connections are served, if not where they are accepted.
    elsewhere: Option<Spread>,
}

impl<S: Answers<Future: Send> + 'static> Server<S> {
    /// A server of `service`. Its connections run on `tracker`; `closing` stops accepting, and lets each
    /// connection end after its answer.
    pub fn new(service: S, limits: Limits, tracker: TaskTracker, closing: CancellationToken) -> Self {
        Self { service, limits, tracker, closing, tls: None, elsewhere: None }
    }

    /// Has it speak TLS, and nothing else.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        Self { tls: Some(Arc::new(tls)), ..self }
    }

    /// Has these threads serve its connections. They must not stop before it has.
    #[must_use]
    pub fn on(self, workers: &Workers) -> Self {
        Self { elsewhere: Some(workers.share()), ..self }
    }

    /// What stops it.
    pub fn closing(&self) -> CancellationToken {
        self.closing.clone()
    }

    /// Accepts until it is told to stop.
    pub async fn run(self, listener: TcpListener) {
        if let Some(tls) = self.tls.clone() {
            let closing = self.closing.clone();
            self.tracker.spawn(async move { closing.run_until_cancelled(tls.renew_regularly()).await });
        }
        let slots = Arc::new(Semaphore::new(self.limits.connections_max));
        loop {
            // At the bound, new connections wait in the kernel's backlog.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.closing.cancelled() => return,
            };
            match accepted {
                Ok((socket, peer)) => self.begin(socket, peer, slot),
                Err(error) => {
                    // Out of descriptors, most likely: the next try needs a moment.
                    warn!(target: "http_server::server", %error, "accept failed");
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Speaks over a stream that was not accepted here, such as a pipe, until either side ends it.
    pub async fn speak(&self, stream: impl AsyncRead + AsyncWrite + Unpin, peer: SocketAddr) {
        self.talk().over(stream, Peer { addr: peer, certificate: None }).await;
    }

    fn talk(&self) -> Talk<S> {
        Talk { service: self.service.clone(), limits: self.limits, closing: self.closing.clone() }
    }

    /// Has a connection served.
    fn begin(&self, socket: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit) {
        let place = self.elsewhere.as_ref().and_then(Spread::place);
        let runtime = place.as_ref().map_or_else(Handle::current, |place| place.runtime().clone());
        // A socket tells what comes to the runtime on which it was opened.
        match socket.into_std() {
            Ok(socket) => {
                let served = serve(self.talk(), self.tls.clone(), socket, peer, Held(slot, place));
                self.tracker.spawn_on(served, &runtime);
            }
            Err(error) => lost(&error),
        }
    }
}

/// What a connection holds as long as it is open.
#[expect(dead_code, reason = "it is held, and dropped")]
struct Held(OwnedSemaphorePermit, Option<Place>);

fn lost(error: &io::Error) {
    warn!(target: "http_server::server", %error, "a connection could not be handed over");
}

/// One connection, to its end. There may be ten thousand of them, so what only few need is in a box.
async fn serve<S: Answers<Future: Send>>(
    talk: Talk<S>,
    tls: Option<Arc<Tls>>,
    socket: std::net::TcpStream,
    peer: SocketAddr,
    held: Held,
) {
    let socket = match TcpStream::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return lost(&error),
    };
    if let Err(error) = tune(&socket) {
        debug!(target: "http_server::server", %error, "a connection could not be tuned");
    }
    match tls {
        None => talk.over(socket, Peer { addr: peer, certificate: None }).await,
        Some(tls) => Box::pin(serve_tls(talk, tls, socket, peer)).await,
    }
    drop(held);
}

async fn serve_tls<S: Answers<Future: Send>>(
    talk: Talk<S>,
    tls: Arc<Tls>,
    socket: TcpStream,
    peer: SocketAddr,
) {
    match talk.closing.run_until_cancelled(tls.accept(socket)).await {
        Some(Ok(stream)) => {
            let certificate = peer_certificate(&stream);
            talk.over(stream, Peer { addr: peer, certificate }).await;
        }
        Some(Err(error)) => debug!(target: "http_server::server", %error, "a handshake failed"),
        None => {}
    }
}

/// Who is at the other end.
struct Peer {
    addr: SocketAddr,
    certificate: Option<PeerCertificate>,
}

/// HTTP on one connection.
struct Talk<S> {
    service: S,
    limits: Limits,
    closing: CancellationToken,
}

impl<S: Answers<Future: Send>> Talk<S> {
    async fn over<IO>(self, socket: IO, peer: Peer)
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let Self { service, limits, closing } = self;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer.addr));
            if let Some(certificate) = &peer.certificate {
                request.extensions_mut().insert(certificate.clone());
            }
            service.clone().call(request)
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(limits.header_bytes_max)
            .max_headers(HEADERS_MAX);
        let connection = http.serve_connection(TokioIo::new(socket), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(target: "http_server::server", %error, "a connection broke");
        }
    }
}

/// Small writes leave at once, and a peer that stopped reading is given up.
// H02
fn tune(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    SockRef::from(socket).set_tcp_user_timeout(Some(WRITE_TIMEOUT))?;
    Ok(())
}

//! One connection to one checked address, and one exchange on it.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::{
    error::FetchError,
    policy::{Policy, host_of},
};

/// The most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// The most that is buffered of what comes, and the longest head of an answer.
const BUFFER_BYTES_MAX: usize = 256 * 1024;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What speaks TLS.
pub(crate) fn tls(extra_roots: &[Vec<u8>]) -> Result<TlsConnector, FetchError> {
    let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let failed = |error: rustls::Error| FetchError::Tls(error.to_string());
    for root in extra_roots {
        roots.add(CertificateDer::from_slice(root)).map_err(failed)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// An open connection.
pub(crate) struct Line {
    host: String,
    sender: http1::SendRequest<Empty<Bytes>>,
    /// Moves the bytes; `None` once the connection is over.
    mover: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Line {
    /// Connects to one of the addresses of the URL's host that the policy admits.
    pub(crate) async fn open(url: &Url, policy: &Policy<'_>, tls: &TlsConnector) -> Result<Self, FetchError> {
        let host = host_of(url);
        let failed = |source| FetchError::Connect { host: host.clone(), source };
        let tcp = connect(&addresses(url, policy).await?).await.map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        let stream: Box<dyn Stream> = if url.scheme() == "https" {
            let name = ServerName::try_from(host.clone())
                .map_err(|_no_name| FetchError::Url("must name a host that a certificate can name"))?;
            Box::new(tls.connect(name, tcp).await.map_err(failed)?)
        } else {
            Box::new(tcp)
        };
        let shake =
            http1::Builder::new().max_buf_size(BUFFER_BYTES_MAX).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shake.map_err(|error| failed(io::Error::other(error)))?;
        // How it ended is told to whoever waits for an answer or a body.
        let mover = Box::pin(async move { drop(connection.await) });
        Ok(Self { host, sender, mover: Some(mover) })
    }

    /// Sends a request and waits for the head of the answer.
    pub(crate) async fn ask(
        &mut self,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, FetchError> {
        let answer = self.sender.send_request(request);
        driven(&mut self.mover, answer).await.map_err(|error| broken(&self.host, &error))
    }

    /// The next bytes of a body; `None` at its proper end.
    pub(crate) async fn next(&mut self, body: &mut Incoming) -> Result<Option<Bytes>, FetchError> {
        loop {
            match driven(&mut self.mover, body.frame()).await {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(&self.host, &error)),
                Some(Ok(frame)) => {
                    // Trailers say nothing that matters here.
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

fn broken(host: &str, error: &hyper::Error) -> FetchError {
    FetchError::Broken { host: host.to_owned(), what: error.to_string() }
}

/// Waits for `work` while `mover` moves the bytes that it waits for.
async fn driven<T>(
    mover: &mut Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        if let Some(moving) = mover
            && moving.as_mut().poll(context).is_ready()
        {
            *mover = None;
        }
        // The move may have brought what the work waits for.
        work.as_mut().poll(context)
    })
    .await
}

/// The addresses of the URL's host that the policy admits. The connection is made to these very
/// addresses: the name is not resolved again.
//= ORCH-3080
async fn addresses(url: &Url, policy: &Policy<'_>) -> Result<Vec<SocketAddr>, FetchError> {
    let host = host_of(url);
    let port = url.port_or_known_default().ok_or(FetchError::Url("must name a port"))?;
    let found: Vec<SocketAddr> = match url.host() {
        Some(Host::Ipv4(addr)) => vec![(addr, port).into()],
        Some(Host::Ipv6(addr)) => vec![(addr, port).into()],
        _ => match lookup_host((host.as_str(), port)).await {
            Ok(found) => found.take(ADDRESSES_MAX).collect(),
            Err(_) => Vec::new(),
        },
    };
    let Some(first) = found.first().copied() else { return Err(FetchError::Unresolved { host }) };
    let admitted: Vec<_> = found.into_iter().filter(|addr| policy.admits(url, addr.ip())).collect();
    if admitted.is_empty() { Err(FetchError::Address { host, addr: first.ip() }) } else { Ok(admitted) }
}

async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for addr in addresses {
        match TcpStream::connect(addr).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Waits for `work` at most for `most`.
pub(crate) async fn within<T>(
    most: Duration,
    host: &str,
    work: impl Future<Output = Result<T, FetchError>>,
) -> Result<T, FetchError> {
    timeout(most, work).await.map_err(|_elapsed| FetchError::Silent { host: host.to_owned(), after: most })?
}

//! One request to the control plane: connect, perhaps TLS, ask, read, close.
//!
//! There is one small request every ten seconds, so a connection is made for each and never found closed.
//! No proxy is asked, no redirect followed, and nothing is read beyond a bound.

use std::{fs, io, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use config_schema::{NodeTls, Secret};
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// A request as a whole.
const EXCHANGE_TIME: Duration = Duration::from_secs(10);
const CONNECT_TIME: Duration = Duration::from_secs(3);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why there was no answer.
#[derive(Debug, Error)]
pub(crate) enum LinkError {
    #[error("it cannot be reached: {0}")]
    Connect(io::Error),
    #[error("the connection broke: {0}")]
    Broken(hyper::Error),
    #[error("it answered nothing that can be read")]
    Unreadable,
    #[error("it did not answer in time")]
    Late,
}

/// The way to the control plane.
pub(crate) struct Link {
    base: Url,
    token: Option<HeaderValue>,
    tls: Option<TlsConnector>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Link {
    /// A link to `base`, with the token that is shown there.
    ///
    /// # Errors
    /// When a file of `tls` cannot be used, or the token cannot stand in a header.
    pub(crate) fn new(base: Url, token: Option<&Secret>, tls: &NodeTls) -> anyhow::Result<Self> {
        let token = match token {
            Some(token) => {
                let mut value = HeaderValue::try_from(format!("Bearer {}", token.reveal()))
                    .map_err(|_invalid| anyhow::anyhow!("the token cannot stand in a header"))?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        let tls = if base.scheme() == "https" { Some(connector(tls)?) } else { None };
        Ok(Self { base, token, tls })
    }

    /// Sends one request and reads its answer.
    ///
    /// # Errors
    /// When there was none. Any status is an answer.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), LinkError> {
        let exchange = self.exchange(method, path, body);
        timeout(EXCHANGE_TIME, exchange).await.map_err(|_late| LinkError::Late)?
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), LinkError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.base.authority())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token.clone());
        }
        let request = request.body(Full::new(body)).map_err(|_invalid| LinkError::Unreadable)?;
        let connected = timeout(CONNECT_TIME, self.connect()).await.map_err(|_late| LinkError::Late)?;
        let stream = connected.map_err(LinkError::Connect)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(LinkError::Broken)?;
        let exchange = async move {
            let answer = sender.send_request(request).await.map_err(LinkError::Broken)?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            Ok((head.status, body.map_err(|_too_long| LinkError::Unreadable)?.to_bytes()))
        };
        // The connection moves the bytes that the exchange waits for; its end alone decides nothing.
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            _ended = connection => exchange.await,
        }
    }

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let port = self.base.port_or_known_default().unwrap_or(80);
        let tcp = match self.base.host() {
            Some(Host::Ipv4(addr)) => TcpStream::connect((addr, port)).await,
            Some(Host::Ipv6(addr)) => TcpStream::connect((addr, port)).await,
            Some(Host::Domain(name)) => TcpStream::connect((name, port)).await,
            None => Err(io::ErrorKind::InvalidInput.into()),
        }?;
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(tcp)) };
        let host = self.base.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        Ok(Box::new(tls.connect(name, tcp).await?))
    }
}

fn connector(tls: &NodeTls) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    match &tls.authorities {
        Some(file) => {
            for authority in certificates(file)? {
                roots.add(authority).with_context(|| format!("tls.ca_file {}", file.display()))?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => {
            let text = fs::read(key).with_context(|| format!("tls.key_file {}", key.display()))?;
            // The parser's own words could quote the key.
            let Ok(private) = PrivateKeyDer::from_pem_slice(&text) else {
                bail!("tls.key_file {} holds no private key", key.display());
            };
            config.with_client_auth_cert(certificates(certificate)?, private)?
        }
        _ => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let text = fs::read(file).with_context(|| file.display().to_string())?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => bail!("{} holds no certificate", file.display()),
    }
}

//! TLS: which certificates the server speaks by, and how it gets new ones without a restart.
//!
//! Certificates live for days now, so a server that reads them once is a server that must be restarted
//! for them. The files are looked at once a minute; what does not fit together, such as a certificate
//! whose key is still being written, is left for the next look, and the old ones serve on.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{Acceptor, NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use tracing::{info, warn};

use crate::certificate::PeerCertificate;

/// How often the files are looked at.
const RENEWAL_INTERVAL: Duration = Duration::from_mins(1);
/// How long a handshake may take, from the connection on.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How many handshakes are computed at once. Each costs a client little and the server much.
const HANDSHAKES_MAX: usize = 64;

/// Where the certificates lie, all in PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The server's own, with those that lead to its root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who signs the certificates of clients. With it clients are asked for one, and need not have one.
    pub client_ca: Option<PathBuf>,
}

/// Why certificates cannot be used. It repeats nothing that the files hold.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file is not there, or not ours to read.
    #[error("{} cannot be read: {why}", .file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// A file should hold certificates.
    #[error("{} holds no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    /// A file should hold a private key.
    #[error("{} holds no private key in PEM", .0.display())]
    NoKey(PathBuf),
    /// Key and certificate are none that can be used, or not of each other.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(rustls::Error),
    /// Nobody can be verified by these certificates.
    #[error("{} holds a certificate that can verify nobody", .0.display())]
    NoAuthority(PathBuf),
}

/// What became of a look at the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// They are as they were.
    Unchanged,
    /// New connections get new certificates.
    Renewed,
}

/// The TLS side of a server.
pub struct Tls {
    files: TlsFiles,
    current: Mutex<Current>,
    handshakes: Semaphore,
    handshake_timeout: Duration,
}

struct Current {
    read: Texts,
    config: Arc<ServerConfig>,
}

/// What the files held. The key is among it, so it is never shown.
#[derive(PartialEq, Eq)]
struct Texts {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Tls {
    /// Reads the certificates.
    ///
    /// # Errors
    /// When a file cannot be read, or they cannot be used together.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let read = Texts::read(&files)?;
        let config = Arc::new(read.config(&files)?);
        Ok(Self {
            files,
            current: Mutex::new(Current { read, config }),
            handshakes: Semaphore::new(HANDSHAKES_MAX),
            handshake_timeout: HANDSHAKE_TIMEOUT,
        })
    }

    /// Gives handshakes another time than 5 s.
    #[must_use]
    pub fn with_handshake_timeout(self, handshake_timeout: Duration) -> Self {
        Self { handshake_timeout, ..self }
    }

    /// Reads the files again. New connections get what they hold now; open ones keep what they have.
    ///
    /// # Errors
    /// As [`Tls::load`]; then everything stays as it was.
    //= AUTH-1012
    pub fn renew(&self) -> Result<Renewal, TlsError> {
        let read = Texts::read(&self.files)?;
        if self.current.lock().read == read {
            return Ok(Renewal::Unchanged);
        }
        let config = Arc::new(read.config(&self.files)?);
        *self.current.lock() = Current { read, config };
        Ok(Renewal::Renewed)
    }

    /// Renews once a minute.
    #[expect(clippy::infinite_loop, reason = "it is run under a token that ends it")]
    pub(crate) async fn renew_regularly(self: Arc<Self>) {
        loop {
            sleep(RENEWAL_INTERVAL).await;
            let tls = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || tls.renew()).await {
                Ok(Ok(Renewal::Unchanged)) => {}
                Ok(Ok(Renewal::Renewed)) => {
                    info!(target: "http_server::tls", "the certificates were renewed");
                }
                Ok(Err(error)) => {
                    warn!(target: "http_server::tls", %error, "new certificates cannot be used; the old ones stay");
                }
                Err(error) => {
                    warn!(target: "http_server::tls", %error, "the certificates were not looked at");
                }
            }
        }
    }

    /// Shakes hands, within the time and the number that are allowed.
    pub(crate) async fn accept(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let shaken = timeout(self.handshake_timeout, async {
            // Who says nothing, or less than a whole greeting, takes no place from those who do.
            let greeted = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
            let _place = self.handshakes.acquire().await.map_err(io::Error::other)?;
            let config = Arc::clone(&self.current.lock().config);
            greeted.into_stream(config).await
        });
        shaken.await?
    }
}

/// Who the client is, as far as it showed and proved it.
pub(crate) fn peer_certificate<IO: AsyncRead + AsyncWrite>(
    stream: &TlsStream<IO>,
) -> Option<PeerCertificate> {
    let (_, session) = stream.get_ref();
    let shown = session.peer_certificates()?.first()?;
    let parsed = webpki::EndEntityCert::try_from(shown).ok()?;
    let names = parsed.valid_dns_names().chain(parsed.valid_uri_names());
    Some(PeerCertificate { names: names.map(str::to_owned).collect() })
}

impl Texts {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let read =
            |file: &PathBuf| fs::read(file).map_err(|why| TlsError::Unreadable { file: file.clone(), why });
        let client_ca = files.client_ca.as_ref().map(read).transpose()?;
        Ok(Self { cert: read(&files.cert)?, key: read(&files.key)?, client_ca })
    }

    fn config(&self, files: &TlsFiles) -> Result<ServerConfig, TlsError> {
        let chain = certificates(&self.cert, &files.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_may_quote_it| TlsError::NoKey(files.key.clone()))?;
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unusable)?;
        let builder = match self.client_ca.as_deref().zip(files.client_ca.as_deref()) {
            Some((text, file)) => builder.with_client_cert_verifier(verifier(text, file)?),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if self.client_ca.is_some() {
            // The certificate of a client that resumes a session would not be verified again.
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }
        Ok(config)
    }
}

/// Verifies the certificate of a client that shows one. Which routes need one is not decided here.
fn verifier(text: &[u8], file: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let useless = || TlsError::NoAuthority(file.to_owned());
    let mut roots = RootCertStore::empty();
    for root in certificates(text, file)? {
        roots.add(root).map_err(|_malformed| useless())?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()))
        .allow_unauthenticated()
        .build()
        .map_err(|_no_root| useless())
}

fn certificates(text: &[u8], file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let none = || TlsError::NoCertificate(file.to_owned());
    let all: Vec<_> =
        CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|_malformed| none())?;
    if all.is_empty() { Err(none()) } else { Ok(all) }
}

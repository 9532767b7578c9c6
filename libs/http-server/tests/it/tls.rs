//! Handshakes, good and bad.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router, routing::get};
use http_server::{Limits, PeerCertificate, Renewal, Server, Tls, TlsError, TlsFiles, listen};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::authority::{Authority, Pair};

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(20);
const LIMITS: Limits =
    Limits { header_bytes_max: 16_384, header_timeout: Duration::from_secs(5), connections_max: 200 };

/// The beginning of a client's greeting.
const HALF_A_RECORD: &[u8] = &[0x16, 3, 1, 2, 0, 1];

/// A server that answers with the names of its client's certificate.
struct TestServer {
    addr: SocketAddr,
    closing: CancellationToken,
    tracker: TaskTracker,
}

fn files(folder: &tempfile::TempDir) -> TlsFiles {
    let path = |name: &str| folder.path().join(name);
    let client_ca = Some(path("client_ca.pem")).filter(|file| file.exists());
    TlsFiles { cert: path("cert.pem"), key: path("key.pem"), client_ca }
}

fn start(tls: Tls) -> TestServer {
    let names = async |certificate: Option<Extension<PeerCertificate>>| {
        certificate.map_or_else(|| "nobody".to_owned(), |Extension(it)| it.names.join(" "))
    };
    let (tracker, closing) = (TaskTracker::new(), CancellationToken::new());
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = listener.local_addr().unwrap();
    let router = Router::new().route("/names", get(names));
    let server = Server::new(router, LIMITS, tracker.clone(), closing.clone()).with_tls(tls);
    tracker.spawn(server.run(listener));
    TestServer { addr, closing, tracker }
}

impl TestServer {
    /// Shakes hands as a client that trusts `roots` and shows `own`.
    async fn connect(&self, roots: &Authority, own: Option<&Pair>) -> io::Result<TlsStream<TcpStream>> {
        let mut trusted = RootCertStore::empty();
        trusted.add(CertificateDer::from_pem_slice(roots.pem().as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(trusted);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let cert = CertificateDer::from_pem_slice(own.cert.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![cert], key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let socket = TcpStream::connect(self.addr).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, socket).await
    }

    async fn names(&self, roots: &Authority, own: Option<&Pair>) -> io::Result<String> {
        ask(self.connect(roots, own).await?).await
    }

    async fn stop(self) {
        self.closing.cancel();
        self.tracker.close();
        timeout(PATIENCE, self.tracker.wait()).await.expect("everything ends");
    }
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<String> {
    stream.write_all(b"GET /names HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("the server answers")?;
    Ok(answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
}

fn folder(server: &Pair, clients: Option<&Authority>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    server.write(folder.path());
    if let Some(clients) = clients {
        std::fs::write(folder.path().join("client_ca.pem"), clients.pem()).unwrap();
    }
    folder
}

//= AUTH-1012 type=test
#[tokio::test]
async fn a_client_that_trusts_the_certificate_is_served_over_http_1_and_another_is_not() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let folder = folder(&authority.sign(&["localhost"]), None);
    let server = start(Tls::load(files(&folder)).unwrap());
    let stream = server.connect(&authority, None).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(ask(stream).await.unwrap(), "nobody");
    let refusal = server.connect(&stranger, None).await.unwrap_err();
    assert!(refusal.to_string().contains("certificate"), "{refusal}");
    server.stop().await;
}

//= AUTH-1012 type=test
#[tokio::test]
async fn a_client_is_known_by_its_certificate_and_needs_none() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let folder = folder(&authority.sign(&["localhost"]), Some(&clients));
    let server = start(Tls::load(files(&folder)).unwrap());
    assert_eq!(server.names(&authority, None).await.unwrap(), "nobody");
    let node = clients.sign(&["gpu-7", "urn:llama-orch:node:gpu-7"]);
    assert_eq!(server.names(&authority, Some(&node)).await.unwrap(), "gpu-7 urn:llama-orch:node:gpu-7");
    // A certificate of another authority is worse than none.
    let forged = Authority::new().sign(&["gpu-7"]);
    assert!(server.names(&authority, Some(&forged)).await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn without_an_authority_for_clients_a_certificate_says_nothing() {
    let authority = Authority::new();
    let folder = folder(&authority.sign(&["localhost"]), None);
    let server = start(Tls::load(files(&folder)).unwrap());
    let node = authority.sign(&["gpu-7"]);
    assert_eq!(server.names(&authority, Some(&node)).await.unwrap(), "nobody");
    server.stop().await;
}

// H22
#[tokio::test]
async fn plain_http_and_nonsense_are_closed_at_once_and_silence_after_its_time() {
    let authority = Authority::new();
    let folder = folder(&authority.sign(&["localhost"]), None);
    let tls = Tls::load(files(&folder)).unwrap().with_handshake_timeout(Duration::from_millis(300));
    let server = start(tls);
    for sent in
        [b"GET /names HTTP/1.1\r\nHost: localhost\r\n\r\n".as_slice(), &[0xff; 600], b"", HALF_A_RECORD]
    {
        let mut socket = TcpStream::connect(server.addr).await.unwrap();
        socket.write_all(sent).await.unwrap();
        let mut rest = Vec::new();
        drop(timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("the server closes"));
        assert!(!rest.starts_with(b"HTTP"), "no plain answer");
    }
    assert_eq!(server.names(&authority, None).await.unwrap(), "nobody");
    server.stop().await;
}

/// More of them than handshakes may be computed at once.
#[tokio::test]
async fn connections_that_say_nothing_or_half_of_it_keep_nobody_from_shaking_hands() {
    let authority = Authority::new();
    let folder = folder(&authority.sign(&["localhost"]), None);
    let server = start(Tls::load(files(&folder)).unwrap().with_handshake_timeout(PATIENCE * 3));
    let mut silent = Vec::new();
    for _ in 0..70 {
        silent.push(TcpStream::connect(server.addr).await.unwrap());
        let mut slow = TcpStream::connect(server.addr).await.unwrap();
        slow.write_all(HALF_A_RECORD).await.unwrap();
        silent.push(slow);
    }
    let answer = timeout(PATIENCE, server.names(&authority, None)).await.expect("it is not kept waiting");
    assert_eq!(answer.unwrap(), "nobody");
    drop(silent);
    server.stop().await;
}

//= AUTH-1012 type=test
#[tokio::test]
async fn new_certificates_are_taken_up_and_bad_ones_are_left() {
    let (first, second) = (Authority::new(), Authority::new());
    let (own, client) = (first.sign(&["localhost"]), Authority::new());
    let folder = folder(&own, Some(&client));
    let tls = Tls::load(files(&folder)).unwrap();
    assert_eq!(tls.renew().unwrap(), Renewal::Unchanged);
    std::fs::write(folder.path().join("key.pem"), second.sign(&["localhost"]).key).unwrap();
    assert!(matches!(tls.renew(), Err(TlsError::Unusable(_))), "the key is not that of the certificate");
    std::fs::remove_file(folder.path().join("cert.pem")).unwrap();
    assert!(matches!(tls.renew(), Err(TlsError::Unreadable { .. })));
    let server = start(tls);
    assert_eq!(server.names(&first, None).await.unwrap(), "nobody", "the old one serves on");
    server.stop().await;
    own.write(folder.path());
    let tls = Tls::load(files(&folder)).unwrap();
    second.sign(&["localhost"]).write(folder.path());
    assert_eq!(tls.renew().unwrap(), Renewal::Renewed);
    let server = start(tls);
    assert_eq!(server.names(&second, None).await.unwrap(), "nobody");
    assert!(server.names(&first, None).await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn a_server_looks_for_new_certificates_by_itself() {
    let (first, second) = (Authority::new(), Authority::new());
    let folder = folder(&first.sign(&["localhost"]), None);
    let server = start(Tls::load(files(&folder)).unwrap());
    assert_eq!(server.names(&first, None).await.unwrap(), "nobody");
    second.sign(&["localhost"]).write(folder.path());
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    let renewed = async {
        while server.names(&second, None).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, renewed).await.expect("the new certificate is used");
    server.stop().await;
}

//= AUTH-1007 type=test
#[test]
fn files_that_are_no_certificates_are_named_and_not_repeated() {
    let authority = Authority::new();
    let own = authority.sign(&["localhost"]);
    let load = |name: &str, text: &str| {
        let folder = folder(&own, Some(&authority));
        std::fs::write(folder.path().join(name), text).unwrap();
        Tls::load(files(&folder)).map(|_| ()).unwrap_err()
    };
    let broken = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";
    let not_a_key = "-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n";
    for (name, text) in [
        ("cert.pem", ""),
        ("cert.pem", "hunter2"),
        ("cert.pem", broken),
        ("cert.pem", not_a_key),
        ("key.pem", ""),
        ("key.pem", broken),
        ("key.pem", not_a_key),
        ("client_ca.pem", "hunter2"),
        ("client_ca.pem", not_a_key),
    ] {
        let error = load(name, text);
        let said = format!("{error} {error:?}");
        assert!(said.contains(name) || matches!(error, TlsError::Unusable(_)), "{name} {text:?}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

//! The server behind TLS.

use std::{net::SocketAddr, path::Path, sync::Arc};

use orchestratord::{App, config, listen};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

use crate::{daemon::Daemon, support::PATIENCE};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A certificate for this machine, written down with its key, and the settings that name them.
fn certificate(folder: &Path) -> (CertifiedKey<KeyPair>, [(&'static str, String); 2]) {
    let own = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = [
        ("ORCHD_TLS_CERT_FILE", "cert.pem", own.cert.pem()),
        ("ORCHD_TLS_KEY_FILE", "key.pem", own.signing_key.serialize_pem()),
    ];
    let settings = files.map(|(name, file, text)| {
        std::fs::write(folder.join(file), text).unwrap();
        (name, folder.join(file).display().to_string())
    });
    (own, settings)
}

async fn ask(addr: SocketAddr, own: &CertifiedKey<KeyPair>, path: &str) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(addr).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(client)).connect(name, socket).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("the server answers").unwrap();
    answer
}

//= AUTH-1012 type=test
#[tokio::test]
async fn the_api_is_served_over_tls_and_no_longer_without() {
    let folder = tempfile::tempdir().unwrap();
    let (own, files) = certificate(folder.path());
    let env = [("ORCHD_STORE_KIND", "memory".to_owned()), ("LLORCH_API_TOKEN", TOKEN.to_owned())];
    let env = env.into_iter().chain(files).map(|(name, value)| (name.to_owned(), value));
    let app = App::build(&config::load([], env).unwrap()).await.unwrap();
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(app.serve(listener, async { drop(stopped.await) }));
    for path in ["/health", "/v2/tasks", "/v1/models"] {
        let answer = ask(addr, &own, path).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path} got {answer}");
        assert!(answer.to_lowercase().contains("x-correlation-id: "), "{answer}");
    }
    let mut plain = TcpStream::connect(addr).await.unwrap();
    plain.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    drop(timeout(PATIENCE, plain.read_to_end(&mut rest)).await.expect("the server closes"));
    assert!(!rest.starts_with(b"HTTP"), "no plain answer");
    stop.send(()).unwrap();
    timeout(PATIENCE, served).await.expect("the server stops").unwrap().unwrap();
}

//= AUTH-1012 type=test
#[tokio::test]
async fn a_start_with_certificates_that_cannot_be_used_is_refused_and_says_which() {
    let (state, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, [cert, key]) = certificate(folder.path());
    let one = [(cert.0, cert.1.as_str())];
    let (code, said) = Daemon::refuses(state.path(), &one).await;
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("environment ORCHD_TLS_CERT_FILE: needs tls.key_file beside it"), "{said}");
    let swapped = [(cert.0, key.1.as_str()), (key.0, key.1.as_str())];
    let (code, said) = Daemon::refuses(state.path(), &swapped).await;
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("key.pem holds no certificate in PEM"), "{said}");
}

//! Downloads over TLS.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
};

use model_fetch::{FetchError, Fetched, Fetcher, Policy, Transport};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio_util::sync::CancellationToken;

use crate::server::{QUICK, anywhere, assert_whole, file, send, wanted};

/// A server for `names` that gives one file out to one connection, and its certificate in DER.
fn start(names: &[&str], body: Arc<Vec<u8>>) -> (SocketAddr, Vec<u8>, JoinHandle<()>) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let session = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = StreamOwned::new(session, stream);
        let mut byte = [0];
        // A client that does not trust the certificate sends no request.
        if stream.read(&mut byte).is_ok_and(|read| read == 1) {
            send(&mut stream, &format!("200 OK\r\ncontent-length: {}", body.len()), &body);
            stream.conn.send_close_notify();
            stream.flush().ok();
        }
    });
    (addr, cert.der().to_vec(), thread)
}

async fn fetch(url: &str, roots: &[Vec<u8>], folder: &std::path::Path) -> Result<Fetched, FetchError> {
    let policy = Policy { transport: Transport::Tls, ..anywhere() };
    let client = Fetcher::new(roots, QUICK).unwrap();
    client.fetch(&wanted(url, folder, None), &policy, &|_| {}, &CancellationToken::new()).await
}

#[tokio::test]
async fn a_file_comes_from_a_server_whose_certificate_is_trusted() {
    let file = file(300_000);
    for host in ["localhost", "127.0.0.1"] {
        let (addr, root, thread) = start(&[host], Arc::clone(&file));
        let folder = tempfile::tempdir().unwrap();
        let url = format!("https://{host}:{}/m", addr.port());
        assert_whole(&fetch(&url, &[root], folder.path()).await.unwrap(), folder.path(), &file);
        thread.join().unwrap();
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (addr, _, thread) = start(&["localhost"], file(10));
    let folder = tempfile::tempdir().unwrap();
    let url = format!("https://localhost:{}/m", addr.port());
    let refusal = fetch(&url, &[], folder.path()).await.unwrap_err();
    assert!(matches!(refusal, FetchError::Connect { .. }), "{refusal}");
    assert!(refusal.to_string().contains("certificate"), "{refusal}");
    thread.join().unwrap();
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (addr, root, thread) = start(&["other.test"], file(10));
    let folder = tempfile::tempdir().unwrap();
    let url = format!("https://localhost:{}/m", addr.port());
    let refusal = fetch(&url, &[root], folder.path()).await.unwrap_err();
    assert!(refusal.to_string().contains("certificate"), "{refusal}");
    thread.join().unwrap();
}

#[test]
fn what_is_no_certificate_is_no_root() {
    assert!(matches!(Fetcher::new(&[b"rubbish".to_vec()], QUICK), Err(FetchError::Tls(_))));
}

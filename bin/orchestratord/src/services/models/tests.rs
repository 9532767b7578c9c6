//! A model from the network, over TLS and on this machine.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread::{self, JoinHandle},
};

use catalog_core::{Digest, Outcome, WarnReason};
use model_fetch::{Fetcher, Timing};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use sha2::{Digest as _, Sha256};
use store_api::MemoryStore;
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_rustls::rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::*;
use crate::{clock::Clock, services::Outlives};

const PATIENCE: Duration = Duration::from_secs(20);
const BODY: &[u8] = b"no header that anybody knows";

/// A server that gives one file out to one connection, its port, and its certificate.
fn server() -> (u16, Vec<u8>, JoinHandle<()>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
            head.push(byte[0]);
        }
        let answer =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", BODY.len());
        stream.write_all(answer.as_bytes()).unwrap();
        stream.write_all(BODY).unwrap();
        stream.conn.send_close_notify();
        stream.flush().ok();
    });
    (port, cert.der().to_vec(), thread)
}

/// A catalog that may fetch from these hosts.
async fn models(folder: &TempDir, hosts: &[String], root: Option<Vec<u8>>) -> Arc<Models> {
    let store: Arc<dyn store_api::Store> = Arc::new(MemoryStore::default());
    let keeper = Keeper::new((Arc::clone(&store), Outlives::No), Clock::start(), PATIENCE);
    let keeper = Arc::new(keeper);
    let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    // A server that is gone is asked again at once.
    let timing = Timing { backoff: Duration::from_millis(1), ..Timing::default() };
    let fetcher = Fetcher::new(root.as_slice(), timing).unwrap();
    let ours = Some(Fetched::at(folder.path().to_path_buf()).unwrap());
    let places = Places { fetched: ours, fetching: Some(Fetching { fetcher, hosts }), ..Places::default() };
    let metrics = Arc::new(Metrics::new());
    let models = Models::load(CatalogSettings::default(), places, Arc::clone(&keeper), metrics);
    let models = Arc::new(models.await.unwrap());
    tokio_util::task::TaskTracker::new()
        .spawn(Arc::clone(&keeper.journal).run(store, Arc::new(Metrics::new())));
    tokio_util::task::TaskTracker::new().spawn(Arc::clone(&models).work());
    models
}

async fn outcome(models: &Models, port: u16, digest: Option<Digest>) -> Outcome {
    let source = format!("https://localhost:{port}/m.gguf").parse().unwrap();
    let declared = Declared { digest, ..Declared::new("m".parse().unwrap(), source) };
    let id = declared.id.clone();
    models.register(declared).await.unwrap();
    let known = async {
        loop {
            let shown = models.verify_now(&id).await.unwrap();
            if let (Some(made), None) = (shown.model.verification, shown.verifying) {
                return made.outcome;
            }
        }
    };
    timeout(PATIENCE, known).await.expect("the outcome becomes known")
}

fn digest() -> Digest {
    Digest::new(Sha256::digest(BODY).into())
}

//= ORCH-3417 type=test
#[tokio::test]
async fn a_model_is_fetched_from_a_listed_host_and_then_read_from_its_folder() {
    let (port, root, thread) = server();
    let folder = TempDir::new().unwrap();
    let hosts = [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")];
    let models = models(&folder, &hosts, Some(root)).await;
    let found = outcome(&models, port, Some(digest())).await;
    assert!(matches!(found, Outcome::Warn(WarnReason::UnreadableHeader { .. })), "{found:?}");
    thread.join().unwrap();
    let model = models.get(&"m".parse().unwrap()).unwrap_or_else(|_| panic!("it is there")).model;
    assert_eq!(
        (model.size_bytes, model.verification.unwrap().digest),
        (Some(BODY.len() as u64), Some(digest()))
    );
    // The server is gone, and the file is here.
    let again = outcome(&models, port, Some(digest())).await;
    assert_eq!(again, found);
    assert!(models.check("m").is_ok());
}

//= ORCH-3417 type=test
#[tokio::test]
async fn a_fetched_file_with_another_digest_fails_and_is_not_kept() {
    let (port, root, thread) = server();
    let folder = TempDir::new().unwrap();
    let hosts = [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")];
    let models = models(&folder, &hosts, Some(root)).await;
    let expected = Digest::new([1; 32]);
    let mismatch = catalog_core::FailReason::Mismatch { expected, found: digest() };
    assert_eq!(outcome(&models, port, Some(expected)).await, Outcome::Fail(mismatch.clone()));
    thread.join().unwrap();
    // That it cannot be fetched now makes it no better.
    assert_eq!(outcome(&models, port, Some(expected)).await, Outcome::Fail(mismatch));
    assert!(models.check("m").is_err());
}

//= ORCH-3080 type=test
#[tokio::test]
async fn an_unlisted_host_and_an_unlisted_private_address_are_not_connected_to() {
    for hosts in [vec!["models.example".to_owned()], vec!["localhost".to_owned()]] {
        let sink = TcpListener::bind("127.0.0.1:0").unwrap();
        sink.set_nonblocking(true).unwrap();
        let port = sink.local_addr().unwrap().port();
        let hosts: Vec<_> = hosts.iter().map(|host| format!("{host}:{port}")).collect();
        let folder = TempDir::new().unwrap();
        let models = models(&folder, &hosts, None).await;
        let found = outcome(&models, port, None).await;
        assert!(matches!(found, Outcome::Warn(WarnReason::NotFetched { .. })), "{hosts:?}: {found:?}");
        assert_eq!(sink.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "{hosts:?}");
    }
}

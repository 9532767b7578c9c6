//! The server behind TLS, asked by a client that knows its certificate.

use std::{fs, sync::Arc};

use rcgen::generate_simple_self_signed;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName},
    },
};

use crate::{
    phrases::{Phrase, phrase},
    said::Said,
    support::PATIENCE,
    world::{Answer, World},
};

pub(super) const PHRASES: &[Phrase] = &[
    phrase!(r#"^a certificate in "(.*)" with its key in "(.*)"$"#, certificate),
    phrase!(r#"^I (get|post) "(.*)" over TLS$"#, ask),
    phrase!(r"^a plain request gets no answer$", plain),
];

async fn certificate(world: &mut World, said: Said) {
    let own = generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let folder = world.folder.path();
    fs::write(folder.join(said.word(0)), own.cert.pem()).expect("the certificate is written");
    fs::write(folder.join(said.word(1)), own.signing_key.serialize_pem()).expect("the key is written");
    world.kept = own.cert.der().to_vec();
}

async fn connected(world: &mut World) -> TcpStream {
    let address = world.running().address.expect("the server listens");
    TcpStream::connect(address).await.expect("the server accepts")
}

async fn ask(world: &mut World, said: Said) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(world.kept.clone())).expect("the certificate is one");
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS has versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = connected(world).await;
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream =
        TlsConnector::from(Arc::new(client)).connect(name, socket).await.expect("the server speaks TLS");
    let carried = world.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let request = format!(
        "{} {} HTTP/1.1\r\nHost: localhost\r\n{}Content-Length: 0\r\nConnection: close\r\n\r\n",
        said.word(0).to_uppercase(),
        said.word(1),
        carried.collect::<String>()
    );
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut text = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut text)).await.expect("in time").expect("the server answers");
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    world.answer = Answer { status, text, ..Answer::default() };
}

async fn plain(world: &mut World, _: Said) {
    let mut socket = connected(world).await;
    socket.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it is sent");
    let mut rest = Vec::new();
    drop(timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("the server closes"));
    assert!(!rest.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&rest));
}

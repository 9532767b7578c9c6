//! What the control plane hears of a node.

use std::{net::SocketAddr, path::Path};

use http_server::{Tls, TlsFiles};
use pool_registry_types::{Heartbeat, RegisterNode};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use reqwest::StatusCode;
use serde::de::DeserializeOwned;

use crate::{
    engine::left,
    node::{Disk, Node, kill, lives, pid_of, until},
    plane::{Plane, Said},
};

const REGISTER: &str = "POST /v2/nodes/register";
const BEAT: &str = "POST /v2/nodes/n1/heartbeat";
const FAREWELL: &str = "DELETE /v2/nodes/n1";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const NODE_TOKEN: &str = "fedcba9876543210fedcba9876543210";

fn read<T: DeserializeOwned>(said: &Said) -> T {
    serde_json::from_value(said.body.clone()).unwrap()
}

fn is_ready(said: &Said) -> bool {
    read::<Heartbeat>(said).pools.iter().any(|pool| pool.ready)
}

//= ORCH-3444 type=test
#[tokio::test]
async fn a_node_registers_says_at_once_what_changes_and_says_farewell_before_its_engines_stop() {
    let plane = Plane::anywhere();
    let (mut disk, model) = Disk::with_pool("good", "");
    disk.set(&format!("orchestratord_url = \"{}\"", plane.url()));
    let env = [("LLORCH_API_TOKEN", TOKEN), ("LLORCH_NODE_TOKEN", NODE_TOKEN)];
    let node = Node::start_with(&disk, &env, std::time::Duration::from_secs(1)).await;
    // The interval is 10 s; what changes is told sooner.
    until("it is told that the pool is ready", || plane.all(BEAT).iter().any(is_ready)).await;
    kill(&pid_of(&model));
    until("it is told that the engine is lost", || {
        let beats = plane.all(BEAT);
        let last = beats.last().unwrap();
        let error = read::<Heartbeat>(last).pools[0].last_error.clone();
        !is_ready(last) && error.is_some_and(|told| told.starts_with("killed by signal 9"))
    })
    .await;
    until("it is told that it is back", || is_ready(plane.all(BEAT).last().unwrap())).await;

    let registered: RegisterNode = read(&plane.all(REGISTER)[0]);
    assert_eq!(registered.check(), Ok(()));
    assert_eq!((registered.node_id.as_str(), registered.pools), ("n1", vec!["a".to_owned()]));
    assert_eq!(registered.capabilities.gpus.len(), 2);
    assert_eq!(registered.capabilities.gpus[0].compute_capability.as_deref(), Some("8.9"));
    assert!(registered.address.starts_with("127.0.0.1:"));
    let beats: Vec<Heartbeat> = plane.all(BEAT).iter().map(read).collect();
    assert!(beats.iter().all(|beat| beat.check().is_ok() && beat.incarnation == registered.incarnation));
    assert!(beats.is_sorted_by(|a, b| a.seq < b.seq), "each is numbered higher than the one before");
    assert!(plane.said().iter().all(|said| said.token == Some(format!("Bearer {NODE_TOKEN}"))));

    let engine = pid_of(&model);
    plane.watch(&engine);
    node.stop().await;
    let last = plane.said().pop().unwrap();
    assert_eq!((last.what.as_str(), last.engine_lived), (FAREWELL, true));
    assert!(!lives(&engine));
}

//= ORCH-3444 type=test
#[tokio::test]
async fn a_node_that_is_not_known_any_more_registers_again() {
    let plane = Plane::anywhere();
    let (mut disk, model) = Disk::with_pool("good", "");
    disk.set(&format!("orchestratord_url = \"{}\"", plane.url()));
    let node = Node::start(&disk).await;
    until("it is told that the pool is ready", || plane.all(BEAT).iter().any(is_ready)).await;
    plane.answer_next(StatusCode::NOT_FOUND);
    kill(&pid_of(&model));
    until("it registers again", || plane.all(REGISTER).len() == 2).await;
    until("it goes on", || is_ready(plane.all(BEAT).last().unwrap())).await;
    node.stop().await;
}

//= ORCH-3444 type=test
#[tokio::test]
async fn engines_serve_while_the_control_plane_is_away_and_it_is_found_when_it_comes() {
    let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (mut disk, model) = Disk::with_pool("good", "");
    disk.set(&format!("orchestratord_url = \"http://{addr}\""));
    let node = Node::start(&disk).await;
    node.door.until_ready().await;
    assert_eq!(left(&model, "completions").as_deref(), Some("1"));
    let plane = Plane::start(addr, None);
    until("it registers", || !plane.all(REGISTER).is_empty()).await;
    until("it is told that the pool is ready", || plane.all(BEAT).iter().any(is_ready)).await;
    drop(plane);
    node.stop().await;
}

//= ORCH-3444 type=test
#[tokio::test]
async fn the_next_life_of_an_agent_has_a_higher_number() {
    let plane = Plane::anywhere();
    let (mut disk, _) = Disk::with_pool("good", "");
    disk.set(&format!("orchestratord_url = \"{}\"", plane.url()));
    for lives in 1..=2 {
        let node = Node::start(&disk).await;
        until("it registers", || plane.all(REGISTER).len() == lives).await;
        node.stop().await;
    }
    let lives: Vec<RegisterNode> = plane.all(REGISTER).iter().map(read).collect();
    assert!(lives[0].incarnation.unwrap() < lives[1].incarnation.unwrap());
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes a certificate for this name, and its key, into `folder`.
fn sign(authority: &CertifiedIssuer<'static, KeyPair>, name: SanType, folder: &Path) -> TlsFiles {
    std::fs::create_dir_all(folder).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names.push(name);
    let key = KeyPair::generate().unwrap();
    let cert = params.signed_by(&key, authority).unwrap();
    let files = TlsFiles { cert: folder.join("cert.pem"), key: folder.join("key.pem"), client_ca: None };
    std::fs::write(&files.cert, cert.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    files
}

//= ORCH-3444 type=test
#[tokio::test]
async fn a_control_plane_with_certificates_is_trusted_by_its_authority_and_shown_the_nodes_own() {
    let authority = authority();
    let (mut disk, _) = Disk::with_pool("good", "");
    let ca = disk.path("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let server = sign(&authority, SanType::DnsName("localhost".try_into().unwrap()), &disk.path("server"));
    let own = SanType::URI("urn:llama-orch:node:n1".try_into().unwrap());
    let own = sign(&authority, own, &disk.path("own"));
    let tls = Tls::load(TlsFiles { client_ca: Some(ca.clone()), ..server }).unwrap();
    let plane = Plane::start(SocketAddr::from(([127, 0, 0, 1], 0)), Some(tls));
    disk.set(&format!(
        "orchestratord_url = \"https://localhost:{}\"\ntls.ca_file = \"{}\"\ntls.cert_file = \"{}\"\ntls.key_file = \"{}\"",
        plane.addr.port(),
        ca.display(),
        own.cert.display(),
        own.key.display()
    ));
    let node = Node::start(&disk).await;
    until("it registers", || !plane.all(REGISTER).is_empty()).await;
    let names = &plane.all(REGISTER)[0].names;
    assert!(names.iter().any(|name| name.contains("n1")), "{names:?}");
    node.stop().await;
}

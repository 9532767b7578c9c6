//! Every route against every credential state. The expected verdict follows from the route's plane alone,
//! so a route that is added is tested by being in the table.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use auth_min::Plane;
use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Method, Request, Response, StatusCode, header},
};
use http_server::PeerCertificate;
use tower::ServiceExt;

use super::{RouteFacts, Routes, route_table, routes};
use crate::{App, config, gate::Door};

/// A route of the node plane that is always there.
const NODE_ROUTE: &str = "/test/node";

/// A server without a socket: its tokens are `a`, `c` and `n` by plane, and `b`, `d`, `m` beside them.
struct Server {
    router: Door,
    _app: App,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn with(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut env = vec![("ORCHD_STORE_KIND".to_owned(), "memory".to_owned())];
        for (name, value) in settings {
            let value = if name.ends_with("_TOKEN_FILE") {
                let file = folder.path().join(name);
                let lines: Vec<_> = value.chars().map(token).collect();
                std::fs::write(&file, lines.join("\n")).unwrap();
                file.display().to_string()
            } else {
                (*value).to_owned()
            };
            env.push(((*name).to_owned(), value));
        }
        let app = App::build(&config::load([], env).unwrap()).await.unwrap();
        let node = Routes::default().post(Plane::Node, NODE_ROUTE, async || "in").into_router(&app.state);
        let all = routes(app.state.clone()).merge(node.with_state(app.state.clone()));
        let router = Door::new(app.state.clone(), all);
        Self { router, _app: app, _folder: folder }
    }

    /// A server where each plane has two tokens, and peers on this machine may leave theirs out.
    async fn with_all_planes() -> Self {
        let files = [
            ("LLORCH_API_TOKEN_FILE", "ab"),
            ("LLORCH_CONTROL_TOKEN_FILE", "cd"),
            ("LLORCH_NODE_TOKEN_FILE", "nm"),
        ];
        Self::with(&[&files[..], &[("AUTH_OPTIONAL", "true")]].concat()).await
    }

    async fn ask(&self, method: &Method, path: &str, sent: &Sent) -> Response<Body> {
        let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
        let headers = sent.headers.iter();
        let request = headers.fold(request, |request, (name, value)| request.header(*name, value));
        let request = request.extension(ConnectInfo(SocketAddr::new(sent.peer, 40_000)));
        self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }
}

/// What a client shows of itself.
struct Sent {
    peer: IpAddr,
    headers: Vec<(&'static str, String)>,
}

impl Sent {
    /// From another machine, and each time from another one, so that no limit is met.
    fn remote(authorization: &[String]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let last = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let peer = Ipv4Addr::new(10, last[1], last[2], last[3]).into();
        let headers = authorization.iter().map(|value| ("authorization", value.clone()));
        Self { peer, headers: headers.collect() }
    }

    fn local(headers: &[(&'static str, String)]) -> Self {
        Self { peer: Ipv4Addr::LOCALHOST.into(), headers: headers.to_vec() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    LetIn,
    Unauthorized,
    Forbidden,
}

/// No handler answers with one of these by itself.
fn verdict(response: &Response<Body>) -> Verdict {
    match response.status() {
        StatusCode::UNAUTHORIZED => Verdict::Unauthorized,
        StatusCode::FORBIDDEN => Verdict::Forbidden,
        _ => Verdict::LetIn,
    }
}

fn token(letter: char) -> String {
    String::from(letter).repeat(32)
}

fn bearer(letter: char) -> String {
    format!("Bearer {}", token(letter))
}

/// The plane's own two tokens, then one of each other plane.
fn letters(plane: Plane) -> [char; 4] {
    match plane {
        Plane::Open | Plane::Data => ['a', 'b', 'c', 'n'],
        Plane::Control => ['c', 'd', 'a', 'n'],
        Plane::Node => ['n', 'm', 'a', 'c'],
    }
}

/// Every state of a credential, and what becomes of it on `plane`.
fn states(plane: Plane) -> Vec<(&'static str, Sent, Verdict)> {
    use Verdict::{Forbidden, LetIn, Unauthorized};
    let [own, rotating, other, another] = letters(plane);
    let remote = |value: String| Sent::remote(&[value]);
    let exempt = if plane == Plane::Node { Unauthorized } else { LetIn };
    let forwarded = ("x-forwarded-for", "192.0.2.1".to_owned());
    let states = [
        ("no header", Sent::remote(&[]), Unauthorized),
        ("an empty header", remote(String::new()), Unauthorized),
        ("a scheme without a token", remote("Bearer ".to_owned()), Unauthorized),
        ("another scheme", remote(format!("Basic {}", token(own))), Unauthorized),
        ("the scheme in lower case", remote(format!("bearer {}", token(own))), Unauthorized),
        ("a token of nobody", remote(bearer('x')), Unauthorized),
        ("a token that was rotated out", remote(bearer('o')), Unauthorized),
        ("the right token", remote(bearer(own)), LetIn),
        ("the other right token of a rotation", remote(bearer(rotating)), LetIn),
        ("a token of another plane", remote(bearer(other)), Forbidden),
        ("a token of the third plane", remote(bearer(another)), Forbidden),
        ("two headers", Sent::remote(&[bearer(own), bearer(own)]), Unauthorized),
        ("a peer on this machine", Sent::local(&[]), exempt),
        ("a peer on this machine, forwarded", Sent::local(&[forwarded]), Unauthorized),
        (
            "a peer on this machine with a wrong token",
            Sent::local(&[("authorization", bearer('x'))]),
            Unauthorized,
        ),
    ];
    let open = |expected| if plane == Plane::Open { LetIn } else { expected };
    states.into_iter().map(|(name, sent, expected)| (name, sent, open(expected))).collect()
}

/// The path of a route as a client writes it.
fn path(route: &RouteFacts) -> String {
    route.path.replace("{id}", "x").replace("{*id}", "x")
}

/// The table, with a route for each plane.
fn all_routes() -> Vec<RouteFacts> {
    let mut routes = route_table();
    routes.push(RouteFacts { method: Method::POST, path: NODE_ROUTE, plane: Plane::Node });
    routes
}

//= AUTH-1009 type=test
//= AUTH-1010 type=test
// F13, X07
#[tokio::test]
async fn every_route_decides_by_its_plane_in_every_state_of_a_credential() {
    let server = Server::with_all_planes().await;
    for route in all_routes() {
        for (state, sent, expected) in states(route.plane) {
            let response = server.ask(&route.method, &path(&route), &sent).await;
            let status = response.status();
            assert_eq!(verdict(&response), expected, "{} {}: {state} got {status}", route.method, route.path);
        }
    }
}

#[tokio::test]
async fn the_one_token_of_a_server_opens_every_plane() {
    let server = Server::with(&[("LLORCH_API_TOKEN_FILE", "a")]).await;
    for route in all_routes() {
        let response = server.ask(&route.method, &path(&route), &Sent::remote(&[bearer('a')])).await;
        assert_eq!(verdict(&response), Verdict::LetIn, "{} {}", route.method, route.path);
    }
}

//= AUTH-1009 type=test
// X07
#[tokio::test]
async fn no_method_of_a_guarded_path_does_anything_without_a_credential() {
    let server = Server::with_all_planes().await;
    let methods = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"];
    let routes = all_routes();
    for route in routes.iter().filter(|route| route.plane != Plane::Open) {
        for method in methods.map(|method| Method::from_bytes(method.as_bytes()).unwrap()) {
            let asked = if method == Method::HEAD { Method::GET } else { method.clone() };
            let exists = routes.iter().any(|one| one.path == route.path && one.method == asked);
            let status = server.ask(&method, &path(route), &Sent::remote(&[])).await.status();
            let expected = if exists { StatusCode::UNAUTHORIZED } else { StatusCode::METHOD_NOT_ALLOWED };
            assert_eq!(status, expected, "{method} {}", route.path);
        }
    }
}

// X08
#[tokio::test]
async fn no_other_spelling_of_a_path_or_host_gets_past_the_guard() {
    let server = Server::with_all_planes().await;
    for route in all_routes().iter().filter(|route| route.plane != Plane::Open) {
        let plain = path(route);
        let second = plain.find('/').map_or(1, |at| at + 1);
        let letter = plain.as_bytes()[second];
        let spellings = [
            format!("/{plain}"),
            format!("{plain}/"),
            format!("/.{plain}"),
            format!("/health/..{plain}"),
            format!("/health%2f..{plain}"),
            format!("{plain};/health"),
            format!("{plain}?/health"),
            format!("/%{letter:02x}{}", &plain[second + 1..]),
            plain.to_uppercase(),
            plain.replace('/', "%2F").replacen("%2F", "/", 1),
        ];
        for spelling in spellings {
            let status = server.ask(&route.method, &spelling, &Sent::remote(&[])).await.status();
            assert!(status.is_client_error(), "{} {spelling} got {status}", route.method);
        }
        for host in ["x/?", "localhost/health?", "localhost#", "u@localhost"] {
            let sent = Sent::remote(&[]);
            let request = Request::builder().method(&route.method).uri(&plain).header(header::HOST, host);
            let request = request.extension(ConnectInfo(SocketAddr::new(sent.peer, 1)));
            let request = request.body(Body::empty()).unwrap();
            let status = server.router.clone().oneshot(request).await.unwrap().status();
            assert!(status.is_client_error(), "{} {plain} for {host} got {status}", route.method);
        }
    }
}

#[test]
fn each_route_stands_in_the_table_once_and_only_five_are_open() {
    let routes = route_table();
    for (at, route) in routes.iter().enumerate() {
        let again = routes[at + 1..].iter().any(|one| one.path == route.path && one.method == route.method);
        assert!(!again, "{} {}", route.method, route.path);
    }
    let open = routes.iter().filter(|route| route.plane == Plane::Open).map(|route| route.path);
    assert_eq!(open.collect::<Vec<_>>(), ["/health", "/ready", "/metrics", "/openapi.json", "/docs"]);
}

/// What changes what operators own is theirs. A list, since the rule is about meaning and not about form.
#[test]
fn clients_change_nothing_but_tasks_sessions_and_artifacts() {
    let ours = ["/v2/tasks", "/v2/sessions/", "/v2/artifacts", "/v1/"];
    for route in route_table().iter().filter(|route| route.plane == Plane::Data) {
        let reads = route.method == Method::GET;
        let theirs = ours.iter().any(|prefix| route.path.starts_with(prefix));
        assert!(reads || theirs, "{} {}", route.method, route.path);
    }
}

//= AUTH-1012 type=test
#[tokio::test]
async fn a_node_shows_a_certificate_beside_its_token_where_an_authority_for_nodes_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, own.cert.pem()).unwrap();
    std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let tls =
        [("ORCHD_TLS_CERT_FILE", cert), ("ORCHD_TLS_KEY_FILE", key), ("ORCHD_TLS_CLIENT_CA_FILE", cert)];
    let server = Server::with(&[&tls[..], &[("LLORCH_API_TOKEN_FILE", "a")]].concat()).await;
    let asked = async |path: &str, value: String, certificate: Option<PeerCertificate>| {
        let sent = Sent::remote(&[value]);
        let request = Request::post(path).header(header::HOST, "localhost");
        let request = request.header("authorization", &sent.headers[0].1);
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(sent.peer, 1)));
        if let Some(certificate) = certificate {
            request.extensions_mut().insert(certificate);
        }
        verdict(&server.router.clone().oneshot(request).await.unwrap())
    };
    let shown = || Some(PeerCertificate { names: vec!["gpu-7".to_owned()] });
    assert_eq!(asked(NODE_ROUTE, bearer('a'), None).await, Verdict::Forbidden);
    assert_eq!(asked(NODE_ROUTE, bearer('a'), shown()).await, Verdict::LetIn);
    assert_eq!(asked(NODE_ROUTE, bearer('x'), shown()).await, Verdict::Unauthorized);
    for other in ["/v2/tasks", "/v2/catalog/models"] {
        assert_eq!(asked(other, bearer('a'), None).await, Verdict::LetIn, "{other}");
    }
}

//= AUTH-1011 type=test
// X10
#[tokio::test]
async fn an_address_with_too_many_wrong_tokens_is_not_listened_to_until_the_minute_is_over() {
    let server = Server::with_all_planes().await;
    let asked = async |headers: &[(&'static str, String)], peer: [u8; 4], path: &str| {
        let sent = Sent { peer: peer.into(), headers: headers.to_vec() };
        server.ask(&Method::GET, path, &sent).await
    };
    let (wrong, right) = ([("authorization", bearer('x'))], [("authorization", bearer('a'))]);
    tokio::time::pause();
    for peer in [[192, 0, 2, 1], [127, 0, 0, 1]] {
        for _ in 0..31 {
            assert_eq!(asked(&wrong, peer, "/v2/tasks").await.status(), StatusCode::UNAUTHORIZED);
        }
    }
    let limited = asked(&right, [192, 0, 2, 1], "/v2/tasks").await;
    assert_eq!(limited.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = limited.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(asked(&right, [192, 0, 2, 1], "/v1/models").await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(asked(&[], [192, 0, 2, 1], "/health").await.status(), StatusCode::OK);
    assert_eq!(asked(&right, [192, 0, 2, 2], "/v2/tasks").await.status(), StatusCode::OK);
    assert_eq!(asked(&right, [127, 0, 0, 1], "/v2/tasks").await.status(), StatusCode::OK);
    let metrics = axum::body::to_bytes(asked(&[], [192, 0, 2, 2], "/metrics").await.into_body(), 1 << 20);
    let metrics = String::from_utf8(metrics.await.unwrap().to_vec()).unwrap();
    assert!(metrics.contains("orchd_auth_failures_total{reason=\"bad\"} 62"), "{metrics}");
    assert!(metrics.contains("orchd_auth_failures_total{reason=\"limited\"} 2"), "{metrics}");
    tokio::time::advance(Duration::from_mins(1)).await;
    assert_eq!(asked(&right, [192, 0, 2, 1], "/v2/tasks").await.status(), StatusCode::OK);
}

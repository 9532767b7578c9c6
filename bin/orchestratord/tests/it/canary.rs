//! Secrets and prompts, sent through every surface, and looked for where they may not be.
//!
//! Each is a random word. What is looked at: logs at the finest level, standard output, the metrics of both ports,
//! the bodies and heads of answers, the command line, and every byte of the state folder after the tasks have ended.

mod search;
mod surfaces;

use std::{fs::File, net::TcpListener, path::Path, process::Stdio};

use auth_min::Plane;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use mock::wire::{
    Act, Ending, Persona, Script, ScriptedEngine, Voice, answer, body_end, completion, stream_head,
};
use orchestratord::{RouteFacts, route_table};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::{
    search::{Canaries, Leak},
    surfaces::{Known, asks, spoiled, task, wrong_methods},
};
use crate::daemon::Daemon;

const NAMES: &[&str] = &[
    "api_token",
    "control_token",
    "node_token",
    "wrong_token",
    "basic_password",
    "engine_key",
    "url_password",
    "url_query",
    "long_prompt",
    "prompt",
    "message",
    "system_prompt",
    "input",
    "stop",
    "tool_argument",
    "tool_result",
    "image",
    "metadata",
    "idempotency_key",
    "query",
    "cookie",
    "x_api_key",
    "proxy_password",
    "correlation",
    "traceparent",
    "long_header",
    "broken_json",
    "wrong_type",
    "heartbeat",
    "model_path",
    "artifact",
    "generated",
    "echoed",
];

/// Where a word may be in an answer, and why. Nowhere else, and no other word.
const ECHOES: &[(&str, &str, &str)] = &[
    ("url_query", "/v2/catalog/models", "the query of a model's address is a part of its reference"),
    ("generated", "/v2/tasks/", "the engine's text is what was asked for"),
    ("generated", "/v2/artifacts/", "a transcript holds the engine's text"),
    ("generated", "/v1/", "the engine's text is what was asked for"),
    ("artifact", "/v2/artifacts/", "an artifact is read back"),
    (
        "model_path",
        "/v2/catalog/models",
        "a model's reference is the operator's, and is shown to whoever may read it",
    ),
    ("model_path", "/v2/pools", "an operation tells which model it was about"),
    ("echoed", "/v2/tasks", "the reason of an engine that refuses goes to the one whose request it was"),
    ("echoed", "/v1/", "the reason of an engine that refuses goes to the one whose request it was"),
];

/// What may be on the disk when all has ended, and why.
const KEPT: &[(&str, &str)] = &[
    ("generated", "a stream is read again for as long as its retention says"),
    ("echoed", "the last event of a stream is a part of it"),
    ("artifact", "an artifact is kept"),
    ("url_query", "the catalog remembers where a model comes from"),
    ("model_path", "the catalog remembers where a model comes from"),
];

/// A server, and what is to be put into requests for it.
struct Field {
    server: Daemon,
    canaries: Canaries,
    known: Known,
    leaks: Vec<String>,
    asked: usize,
}

impl Field {
    fn token(&self, plane: Plane) -> &str {
        self.canaries.of(match plane {
            Plane::Open | Plane::Data => "api_token",
            Plane::Control => "control_token",
            Plane::Node => "node_token",
        })
    }

    /// A request with a canary in each header that a client may send by mistake.
    fn request(&self, method: &Method, path: &str) -> RequestBuilder {
        let c = &self.canaries;
        let separator = if path.contains('?') { '&' } else { '?' };
        let url = self.server.url(&format!("{path}{separator}key={}", c.of("query")));
        let proxy = STANDARD.encode(format!("user:{}", c.of("proxy_password")));
        self.server
            .client
            .request(method.clone(), url)
            .header("cookie", format!("session={}", c.of("cookie")))
            .header("x-api-key", c.of("x_api_key"))
            .header("proxy-authorization", format!("Basic {proxy}"))
            .header("x-correlation-id", format!("not one, but {}", c.of("correlation")))
            .header("traceparent", format!("00-{}", c.of("traceparent")))
            .header("idempotency-key", format!("{}-{}", c.of("idempotency_key"), self.asked))
    }

    /// Sends it, and looks through the answer.
    async fn send(&mut self, request: RequestBuilder) -> (StatusCode, Vec<u8>) {
        let request = request.build().unwrap();
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let answer = self.server.client.execute(request).await.unwrap();
        let (status, head) = (answer.status(), format!("{:?}", answer.headers()));
        let body = answer.bytes().await.unwrap().to_vec();
        self.asked += 1;
        let found = [self.canaries.found_in(head.as_bytes()), self.canaries.found_in(&body)].concat();
        let may = |leak: &Leak| {
            ECHOES.iter().any(|(canary, prefix, _)| leak.canary == *canary && path.starts_with(prefix))
        };
        let found = found.iter().filter(|leak| !may(leak));
        self.leaks.extend(found.map(|leak| format!("{status} of {method} {path}: {leak:?}")));
        (status, body)
    }

    /// Submits a task that must be accepted, lets it end, and remembers it.
    async fn run(&mut self, task: &Value) {
        let request = self.request(&Method::POST, "/v2/tasks");
        let request = request.bearer_auth(self.token(Plane::Data)).json(task);
        let (status, body) = self.send(request).await;
        let body = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        let id = serde_json::from_str::<Value>(&body).unwrap()["job_id"].as_str().unwrap().to_owned();
        let events = self.request(&Method::GET, &format!("/v2/tasks/{id}/events"));
        let events = events.bearer_auth(self.token(Plane::Data));
        self.send(events).await;
        self.known.tasks.push(id);
    }

    /// Everything that can be asked of a route, in good and in bad ways.
    async fn ask(&mut self, route: &RouteFacts, all: &[RouteFacts]) {
        let right = asks(route, &self.canaries, &self.known);
        let token = self.token(route.plane).to_owned();
        for (path, body) in &right {
            let request = self.request(&route.method, path).bearer_auth(&token);
            let request = if let Some(body) = body { request.json(body) } else { request };
            self.send(request).await;
        }
        let (path, body) = right[0].clone();
        let wrong = self.canaries.of("wrong_token").to_owned();
        let basic = STANDARD.encode(format!("user:{}", self.canaries.of("basic_password")));
        let own = |how: &str| format!("{how} {token}");
        let credentials = [
            format!("Bearer {wrong}"),
            format!("Basic {basic}"),
            own("bearer"),
            own("Token"),
            own("Bearer  "),
        ];
        for credential in credentials {
            let request = self.request(&route.method, &path).header("authorization", credential);
            let request = if let Some(body) = &body { request.json(body) } else { request };
            self.send(request).await;
        }
        for method in wrong_methods(route, all) {
            let request = self.request(&method, &path).bearer_auth(&token);
            self.send(request.json(&json!({"prompt": self.canaries.of("prompt")}))).await;
        }
        let Some(body) = body else { return };
        let broken = self.canaries.of("broken_json").to_owned();
        let texts = [
            format!("{{\"prompt\": \"{broken}"),
            format!("{{\"prompt\": {broken}}}"),
            format!("{body}{broken}"),
            format!("\u{feff}{broken}"),
        ];
        for text in texts {
            let request = self.request(&route.method, &path).bearer_auth(&token);
            self.send(request.header("content-type", "application/json").body(text)).await;
        }
        let plain = self.request(&route.method, &path).bearer_auth(&token).body(broken);
        self.send(plain).await;
        for body in spoiled(&body, self.canaries.of("wrong_type")) {
            let request = self.request(&route.method, &path).bearer_auth(&token).json(&body);
            self.send(request).await;
        }
    }

    fn look(&mut self, name: &str, bytes: &[u8]) {
        assert!(name == "standard output" || !bytes.is_empty(), "{name} is empty");
        let found = self.canaries.found_in(bytes);
        self.leaks.extend(found.into_iter().map(|leak| format!("{name}: {leak:?}")));
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What the engine says when the tasks of [`run_tasks`] come, in their order.
fn scripts(c: &Canaries) -> Vec<Script> {
    let said = c.of("generated");
    let refusal = |status: &str, text: String| {
        let body = json!({"error": {"code": 400, "message": text, "type": "invalid_request_error"}});
        vec![Act::Send(answer(status, &body.to_string()).into_bytes())]
    };
    let event =
        |text: String| vec![stream_head(), Act::Chunk(format!("data: {text}\n\n").into_bytes()), body_end()];
    let (echoed, key) = (c.of("echoed"), c.of("engine_key"));
    vec![
        completion(&[said, " and more"], Ending::Eos),
        // An engine that repeats the request in its own words about it, whole and in parts.
        refusal("400 Bad Request", format!("cannot parse: {echoed} near \"{}\"", &echoed[10..40])),
        refusal("401 Unauthorized", format!("the key {key} is not known")),
        refusal("500 Internal Server Error", format!("failed at {said} {echoed}")),
        event(format!("{{\"error\":{{\"code\":500,\"message\":\"failed at {echoed}\"}}}}")),
        event(format!("{echoed} is no JSON")),
        event(format!("{{\"content\":{{\"{echoed}\":1}}}}")),
    ]
}

async fn run_tasks(field: &mut Field, engine: &ScriptedEngine) {
    for (number, script) in scripts(&field.canaries).into_iter().enumerate() {
        engine.push(script);
        let mut one = task(&field.canaries);
        one["max_attempts"] = json!(1);
        if number > 0 {
            one["prompt"] = json!(format!("go on, {number}: {}", field.canaries.of("echoed")));
            one.as_object_mut().unwrap().remove("messages");
        }
        field.run(&one).await;
        let long = format!("{} {}", "word ".repeat(2_400), field.canaries.of("long_prompt"));
        engine.push(completion(&[" ok"], Ending::Eos));
        field.run(&json!({"model_ref": "scripted", "prompt": long, "max_tokens": 4})).await;
        // Its circuit must not open.
        engine.push(completion(&[" ok"], Ending::Eos));
        field
            .run(&json!({"model_ref": "scripted", "prompt": field.canaries.of("prompt"), "max_tokens": 4}))
            .await;
    }
}

/// A configuration with a key for each engine.
fn configuration(folder: &Path, c: &Canaries, [engine, oai]: [&ScriptedEngine; 2]) -> String {
    let key = c.of("engine_key");
    let pool = |id: &str, kind: &str, at: String| {
        format!(
            "[[pools]]\nid = \"{id}\"\nengine = \"{kind}\"\nendpoint = \"{at}\"\napi_key = \"{key}\"\ndevice = \"0\"\n"
        )
    };
    let text = [pool("default", "llamacpp", engine.url()), pool("oai", "openai", oai.url())].concat();
    let path = folder.join("orchestratord.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

//= AUTH-1007 type=test
//= ORCH-3304 type=test
// F14, X05
#[tokio::test]
async fn no_secret_and_no_prompt_is_found_in_logs_metrics_answers_or_files() {
    let canaries = Canaries::hatch(NAMES);
    let (state, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let engine = ScriptedEngine::start(4).await.unwrap();
    let oai = ScriptedEngine::start_as(Persona::openai()).await.unwrap();
    let far = ScriptedEngine::start(1).await.unwrap();
    let config = configuration(folder.path(), &canaries, [&engine, &oai]);
    let port = free_port().to_string();
    let settings = [
        ("LLORCH_API_TOKEN", canaries.of("api_token").to_owned()),
        ("LLORCH_CONTROL_TOKEN", canaries.of("control_token").to_owned()),
        ("LLORCH_NODE_TOKEN", canaries.of("node_token").to_owned()),
        ("ORCHD_CONFIG", config),
        ("ORCHD_ENGINE_HEALTH_INTERVAL_MS", "100".to_owned()),
        ("PROMETHEUS_METRICS_PORT", port.clone()),
        ("RUST_LOG", "trace,hyper=trace,reqwest=trace".to_owned()),
    ];
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let into = |path: &Path| Stdio::from(File::create(path).unwrap());
    let mut server = Daemon::spawn_into(&[], (state.path(), &settings), (into(&out), into(&err)));
    server.until_ready().await;
    let known = Known {
        tasks: Vec::new(),
        session: uuid::Uuid::new_v4().to_string(),
        artifact: format!("sha256:{}", "0".repeat(64)),
        engine: far.url(),
    };
    let mut field = Field { server, canaries, known, leaks: Vec::new(), asked: 0 };

    let chunk = format!(
        r#"data: {{"choices":[{{"index":0,"delta":{{"content":"{}"}}}}]}}"#,
        field.canaries.of("generated")
    );
    oai.push(vec![
        stream_head(),
        Act::Chunk(format!("{chunk}\n\n").into_bytes()),
        Voice::OPENAI.end(Ending::Eos, 1),
        body_end(),
    ]);
    run_tasks(&mut field, &engine).await;
    let routes = route_table();
    for route in &routes {
        field.ask(route, &routes).await;
    }
    long_header(&mut field).await;

    let command_line = field.server.command_line();
    field.look("the command line", &command_line);
    for url in [field.server.url("/metrics"), format!("http://127.0.0.1:{port}/metrics")] {
        let text = field.server.client.get(&url).send().await.unwrap().bytes().await.unwrap();
        field.look("metrics", &text);
    }
    let Field { server, canaries, mut leaks, asked, .. } = field;
    assert!(asked > 500, "{asked}");
    server.stop().await;
    for (name, path) in [("standard output", &out), ("the log", &err)] {
        let found = canaries.found_in(&std::fs::read(path).unwrap());
        leaks.extend(found.into_iter().map(|leak| format!("{name}: {leak:?}")));
    }
    assert!(std::fs::metadata(&err).unwrap().len() > 100_000, "the log is not that of everything");
    let kept = |leak: &Leak| KEPT.iter().any(|(canary, _)| leak.canary == *canary);
    let on_disk = canaries.found_below(state.path());
    assert!(on_disk.iter().any(|(_, leak)| leak.canary == "generated"), "streams are kept and found");
    leaks.extend(
        on_disk.iter().filter(|(_, leak)| !kept(leak)).map(|(file, leak)| format!("{file}: {leak:?}")),
    );
    let count = leaks.len();
    leaks.sort();
    leaks.dedup_by_key(|leak| leak.chars().take(90).collect::<String>());
    assert!(leaks.is_empty(), "{count} leaks:\n{}", leaks.join("\n"));
}

async fn long_header(field: &mut Field) {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    let word = field.canaries.of("long_header");
    let head = format!("GET /v2/pools HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", word.repeat(600));
    let mut socket = TcpStream::connect(field.server.addr).await.unwrap();
    drop(socket.write_all(head.as_bytes()).await);
    let mut answer = Vec::new();
    drop(tokio::time::timeout(crate::support::PATIENCE, socket.read_to_end(&mut answer)).await.unwrap());
    assert!(answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    field.look("an answer to a long header", &answer);
}

//= AUTH-1007 type=test
#[tokio::test]
async fn a_start_that_is_refused_repeats_no_secret_of_its_configuration() {
    let c = Canaries::hatch(&["password", "signing_key", "token", "engine_key", "tls_key"]);
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let pool = "[[pools]]\nid = \"a\"\nengine = \"llamacpp\"\nendpoint = \"http://127.0.0.1:1\"\n";
    let cert = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert.pem();
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", c.of("tls_key"));
    let cases = [
        vec![("ORCHD_POOLS", format!("a=llamacpp+http://user:{}@127.0.0.1:1", c.of("password")))],
        vec![("ORCHD_POOLS", format!("a=llamacpp+http://127.0.0.1:1/?key={}", c.of("password")))],
        vec![("ORCHD_POOL_MANAGERS", format!("http://user:{}@127.0.0.1:1", c.of("password")))],
        vec![("ORCHD_CATALOG_KEYS", format!("ops:{}", c.of("signing_key")))],
        vec![("LLORCH_API_TOKEN", format!("{}\u{7}", c.of("token")))],
        vec![
            ("LLORCH_API_TOKEN", c.of("token").to_owned()),
            ("LLORCH_API_TOKEN_FILE", "/nowhere".to_owned()),
        ],
        vec![("LLORCH_NODE_TOKEN_FILE", file("tokens", format!("{}\nx {}\n", c.of("token"), c.of("token"))))],
        vec![("ORCHD_CONFIG", file("cut.toml", format!("api_token = \"{}\n", c.of("token"))))],
        vec![("ORCHD_CONFIG", file("list.toml", format!("api_token = [\"{}\"]\n", c.of("token"))))],
        vec![("ORCHD_CONFIG", file("key.toml", format!("{pool}api_key = [\"{}\"]\n", c.of("engine_key"))))],
        vec![("ORCHD_CONFIG", file("more.toml", format!("{pool}apikey = \"{}\"\n", c.of("engine_key"))))],
        vec![("ORCHD_TLS_CERT_FILE", file("cert", cert)), ("ORCHD_TLS_KEY_FILE", file("key", key))],
    ];
    for case in cases {
        let state = TempDir::new().unwrap();
        let settings = [("RUST_LOG", "trace".to_owned())].into_iter().chain(case).collect::<Vec<_>>();
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (code, said) = Daemon::refuses(state.path(), &settings).await;
        assert_eq!(code, Some(78), "{settings:?}: {said}");
        assert_eq!(c.found_in(said.as_bytes()), [], "{settings:?}");
    }
}

//! A collector for tests: it takes what exporters send, and shows it.
//!
//! It speaks gRPC by hand, since that is one request and one answer: a length, a message, and a status behind
//! them. So the very bytes are there, in which a test can look for what must never be sent.

use std::{
    collections::BTreeMap, convert::Infallible, fmt::Write, io, net::SocketAddr, sync::Arc, time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Collected, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span as Sent,
};
use parking_lot::Mutex;
use prost::Message;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// No test waits longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Before a message stand a flag and its length.
const PREFIX: usize = 5;
/// How a span says that it failed.
const ERROR: i32 = 2;

/// What a collector does with what it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// It takes it.
    Takes,
    /// It never answers.
    Hangs,
    /// It says that it cannot.
    Fails,
}

/// A span as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The program that has sent it.
    pub service: String,
    /// Its name.
    pub name: String,
    /// `Server`, `Client` or `Internal`.
    pub kind: String,
    /// Its trace in hexadecimal digits.
    pub trace_id: String,
    /// Itself.
    pub span_id: String,
    /// Its parent; empty when it has none.
    pub parent_id: String,
    /// Its state, as it was sent on.
    pub state: String,
    /// When it began and ended, in nanoseconds of Unix time.
    pub time: (u64, u64),
    /// What else is known; lists with commas.
    pub attributes: BTreeMap<String, String>,
    /// The description of its error.
    pub error: Option<String>,
}

impl Seen {
    /// An attribute's value; empty when there is none.
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    /// Whether its time is within the other's.
    pub fn is_within(&self, other: &Self) -> bool {
        self.time.0 >= other.time.0 && self.time.1 <= other.time.1
    }
}

/// A collector. It ends when it is dropped.
#[derive(Debug)]
pub struct Sink {
    addr: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    _end: DropGuard,
}

#[derive(Debug)]
struct Shared {
    conduct: Conduct,
    spans: Vec<Seen>,
    resources: Vec<BTreeMap<String, String>>,
    bytes: Vec<u8>,
    requests: usize,
}

impl Sink {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let shared = Shared {
            conduct: Conduct::Takes,
            spans: Vec::new(),
            resources: Vec::new(),
            bytes: Vec::new(),
            requests: 0,
        };
        let shared = Arc::new(Mutex::new(shared));
        let (tracker, end) = (TaskTracker::new(), CancellationToken::new());
        let (taking, ending) = (Arc::clone(&shared), end.clone());
        let connections = tracker.clone();
        tracker.spawn(end.clone().run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = serve(stream, Arc::clone(&taking));
                connections.spawn(ending.clone().run_until_cancelled_owned(served));
            }
        }));
        Ok(Self { addr, shared, _end: end.drop_guard() })
    }

    /// Where it listens, for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Has it do something else from now on.
    pub fn conduct(&self, conduct: Conduct) {
        self.shared.lock().conduct = conduct;
    }

    /// All spans that came so far.
    pub fn spans(&self) -> Vec<Seen> {
        self.shared.lock().spans.clone()
    }

    /// How often something was sent.
    pub fn requests(&self) -> usize {
        self.shared.lock().requests
    }

    /// The resources that the spans were of, in the order of their coming.
    pub fn resources(&self) -> Vec<BTreeMap<String, String>> {
        self.shared.lock().resources.clone()
    }

    /// Whether this stands anywhere in what was sent.
    pub fn has_bytes(&self, wanted: &str) -> bool {
        let shared = self.shared.lock();
        shared.bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes())
    }

    /// Waits until there is enough, and returns what there is by then; after a long time, whatever there is.
    pub async fn until(&self, enough: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let reached = async {
            while !enough(&self.spans()) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        // Whoever waits looks at what there is, and says what is missing.
        drop(timeout(PATIENCE, reached).await);
        self.spans()
    }

    /// Waits until something was sent so often.
    pub async fn until_requests(&self, count: usize) -> usize {
        let reached = async {
            while self.requests() < count {
                sleep(Duration::from_millis(10)).await;
            }
        };
        drop(timeout(PATIENCE, reached).await);
        self.requests()
    }
}

async fn serve(stream: TcpStream, shared: Arc<Mutex<Shared>>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
    let served = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
    // A client may leave as it likes.
    served.await.ok();
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Mutex<Shared>>,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
    let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
    let conduct = {
        let mut shared = shared.lock();
        shared.requests += 1;
        let sent = body.get(PREFIX..).map(ExportTraceServiceRequest::decode);
        if let Some(Ok(sent)) = sent.filter(|_| shared.conduct == Conduct::Takes) {
            shared.bytes.extend_from_slice(&body);
            shared.take(sent);
        }
        shared.conduct
    };
    let status = match conduct {
        Conduct::Takes => "0",
        // `RESOURCE_EXHAUSTED`, and nothing that says when to try again.
        Conduct::Fails => "8",
        Conduct::Hangs => std::future::pending().await,
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    // An empty message, which says that all were taken.
    let body = Full::new(Bytes::from_static(&[0; PREFIX])).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}

impl Shared {
    fn take(&mut self, sent: ExportTraceServiceRequest) {
        for of_resource in sent.resource_spans {
            let resource = of_resource.resource.map(|it| attributes(it.attributes)).unwrap_or_default();
            let service = resource.get("service.name").cloned().unwrap_or_default();
            let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.spans.extend(spans.map(|span| seen(span, service.clone())));
            self.resources.push(resource);
        }
    }
}

fn seen(sent: Sent, service: String) -> Seen {
    let failed = sent.status.clone().filter(|status| status.code == ERROR);
    Seen {
        service,
        kind: format!("{:?}", sent.kind()),
        trace_id: hex(&sent.trace_id),
        span_id: hex(&sent.span_id),
        parent_id: hex(&sent.parent_span_id),
        name: sent.name,
        state: sent.trace_state,
        time: (sent.start_time_unix_nano, sent.end_time_unix_nano),
        attributes: attributes(sent.attributes),
        error: failed.map(|status| status.message),
    }
}

fn attributes(sent: Vec<KeyValue>) -> BTreeMap<String, String> {
    sent.into_iter()
        .map(|it| (it.key, it.value.and_then(|it| it.value).map(shown).unwrap_or_default()))
        .collect()
}

fn shown(value: Value) -> String {
    match value {
        Value::StringValue(text) => text,
        Value::BoolValue(it) => it.to_string(),
        Value::IntValue(it) => it.to_string(),
        Value::DoubleValue(it) => it.to_string(),
        Value::ArrayValue(all) => {
            let all: Vec<_> = all.values.into_iter().filter_map(|it| it.value).map(shown).collect();
            all.join(",")
        }
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

//! The client of one engine: small questions, and the opening of streams.

use std::{fmt, future::poll_fn, sync::Arc, task::Poll, time::Duration};

use adapter_api::AdapterError;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use url::Url;

use crate::{
    answer::{Answer, Media},
    redact::{excerpt, without},
    stream::{Dialect, EventStream},
    transport::{IdleLines, Line, More, TransportError},
    whole::{WholeReader, WholeStream},
};

/// The most that is read of an answer which is not a stream.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The most that is read of a refusal, and how long that may take.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(2);

/// How long an engine may take.
#[derive(Debug, Clone, Copy)]
pub struct HttpTimeouts {
    /// For a connection to stand.
    pub connect: Duration,
    /// For a small question to be answered whole.
    pub question: Duration,
    /// For the next byte of an open stream, pings included.
    pub silence: Duration,
}

/// Why a stream did not open.
#[derive(Debug)]
pub enum StreamRefused {
    /// Nothing that needs the dialect's knowledge.
    Adapter(AdapterError),
    /// The engine answered with an error of its own, which the dialect must read.
    Status {
        /// The status code.
        status: u16,
        /// Its `Retry-After`, when that was whole seconds.
        retry_after: Option<Duration>,
        /// What came with it, cut at 64 KiB.
        body: Bytes,
    },
}

/// One engine's address, its credential, and the connections to it.
#[derive(Clone)]
pub struct EngineHttp {
    base: Url,
    key: Option<HeaderValue>,
    timeouts: HttpTimeouts,
    questions: reqwest::Client,
    idle: Arc<IdleLines>,
}

impl fmt::Debug for EngineHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineHttp").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl EngineHttp {
    /// A client for the engine at `base`, an `http` URL that the operator gave.
    ///
    /// # Errors
    /// When the URL has no host or another scheme, or the key cannot stand in a header.
    pub fn new(base: Url, api_key: Option<&str>, timeouts: HttpTimeouts) -> Result<Self, String> {
        if base.scheme() != "http" || base.host_str().is_none() {
            return Err(format!("the endpoint must be an http:// URL with a host, not {}", base.scheme()));
        }
        let key = match api_key {
            Some(key) => {
                let mut value = HeaderValue::try_from(format!("Bearer {key}"))
                    .map_err(|_invalid| "the API key holds a character that no header may hold".to_owned())?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        let questions = reqwest::Client::builder()
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.question)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(2)
            .pool_idle_timeout(Duration::from_secs(4))
            .build()
            .map_err(|error| format!("the HTTP client could not be made: {error}"))?;
        Ok(Self { base, key, timeouts, questions, idle: Arc::default() })
    }

    /// Asks a small question and reads its JSON answer.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, AdapterError> {
        let body = self.get(path).await?;
        serde_json::from_slice(&body)
            .map_err(|_json| AdapterError::Protocol { what: format!("{path} answered no JSON that fits") })
    }

    /// Asks a small question and reads its answer, whatever it is.
    pub async fn get(&self, path: &str) -> Result<Bytes, AdapterError> {
        let (status, _, body) =
            self.ask(path, self.questions.get(self.address(path)), BODY_BYTES_MAX).await?;
        if status.is_success() { Ok(body) } else { Err(self.not_answered(path, status, body)) }
    }

    /// Asks a small question that not every engine knows; `None` when this one does not.
    pub async fn get_if_known(&self, path: &str) -> Result<Option<Bytes>, AdapterError> {
        let (status, _, body) =
            self.ask(path, self.questions.get(self.address(path)), BODY_BYTES_MAX).await?;
        match status {
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Ok(None),
            status if status.is_success() => Ok(Some(body)),
            status => Err(self.not_answered(path, status, body)),
        }
    }

    /// The status with which a small question is answered.
    pub async fn status(&self, path: &str) -> Result<u16, AdapterError> {
        let (status, _, _) = self.ask(path, self.questions.get(self.address(path)), BODY_BYTES_MAX).await?;
        Ok(status.as_u16())
    }

    /// Posts `body` to `path` and reads the whole answer, which may repeat what was sent.
    pub async fn post_json(&self, path: &str, body: Bytes) -> Result<Bytes, StreamRefused> {
        // Text that is escaped again grows to six bytes for one at most.
        let limit = BODY_BYTES_MAX.saturating_add(body.len().saturating_mul(6));
        let request =
            self.questions.post(self.address(path)).header(header::CONTENT_TYPE, "application/json");
        let answer = self.ask(path, request.body(body), limit).await;
        let (status, retry_after, body) = answer.map_err(StreamRefused::Adapter)?;
        if status.is_success() {
            return Ok(body);
        }
        Err(StreamRefused::Status { status: status.as_u16(), retry_after, body: self.without_key(body) })
    }

    async fn ask(
        &self,
        path: &str,
        mut request: reqwest::RequestBuilder,
        limit: usize,
    ) -> Result<(StatusCode, Option<Duration>, Bytes), AdapterError> {
        // Asked every few seconds, which is often enough for this, too.
        self.idle.sweep();
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, key.clone());
        }
        let mut response = request.send().await.map_err(|error| unreachable(&error))?;
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
            if body.len() + chunk.len() > limit {
                let what = format!("{path} answered more than {} MiB", limit / (1024 * 1024));
                return Err(AdapterError::Protocol { what });
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, retry_after, body.into()))
    }

    /// Posts `body` to `path` and opens the event stream that answers it.
    pub async fn stream<D: Dialect>(
        &self,
        path: &str,
        body: Bytes,
        headers: &[(HeaderName, HeaderValue)],
        dialect: D,
    ) -> Result<EventStream<D>, StreamRefused> {
        let (line, answer) = self.exchange(path, body, headers, Media::EventStream).await?;
        if !answer.is_success() || answer.media != Media::EventStream {
            return Err(self.refused(line, &answer).await);
        }
        Ok(EventStream::new(line, Arc::clone(&self.idle), dialect, self.timeouts.silence))
    }

    /// Posts `body` to `path` and reads the JSON answer as a stream of one piece, which `read` makes.
    pub async fn whole<R: WholeReader>(
        &self,
        path: &str,
        body: Bytes,
        headers: &[(HeaderName, HeaderValue)],
        read: R,
    ) -> Result<WholeStream<R>, StreamRefused> {
        let (line, answer) = self.exchange(path, body, headers, Media::Json).await?;
        if !answer.is_success() || answer.media != Media::Json {
            return Err(self.refused(line, &answer).await);
        }
        Ok(WholeStream::new(line, Arc::clone(&self.idle), read, self.timeouts.silence))
    }

    /// Sends a request; what comes back has its body still to come.
    async fn exchange(
        &self,
        path: &str,
        body: Bytes,
        headers: &[(HeaderName, HeaderValue)],
        accept: Media,
    ) -> Result<(Line, Answer), StreamRefused> {
        let head = self.head(path, body.len(), headers, accept);
        let lost = |_broken| StreamRefused::Adapter(AdapterError::Lost);
        // An engine may close a connection just when it is used again (llama.cpp does so after every
        // stream). Not a byte of an answer came then, so the same request goes out on a fresh one; an
        // engine that really died refuses that.
        let mut reused = self.idle.take();
        let answered = match &mut reused {
            Some(line) => line.send(&head, &body).await,
            None => Err(TransportError::Unanswered),
        };
        let (line, answer) = match (reused, answered) {
            (Some(line), Ok(answer)) => (line, answer),
            (_, Err(TransportError::Unanswered)) => {
                let mut line = self.connect().await?;
                let answer = line.send(&head, &body).await.map_err(lost)?;
                (line, answer)
            }
            _ => return Err(StreamRefused::Adapter(AdapterError::Lost)),
        };
        if answer.is_redirect() {
            return Err(protocol("it answered with a redirect"));
        }
        if answer.compressed {
            return Err(protocol("it compressed an answer that was asked for plain"));
        }
        Ok((line, answer))
    }

    /// The head of a request whose body has so many bytes.
    fn head(
        &self,
        path: &str,
        length: usize,
        headers: &[(HeaderName, HeaderValue)],
        accept: Media,
    ) -> Vec<u8> {
        let own = [
            (header::CONTENT_TYPE, b"application/json".as_slice()),
            (header::ACCEPT, accept.name().as_bytes()),
            (header::HOST, self.host().as_bytes()),
        ];
        let key = self.key.as_ref().map(|key| (header::AUTHORIZATION, key.as_bytes()));
        let given = headers.iter().map(|(name, value)| (name.clone(), value.as_bytes()));
        let mut head = Vec::with_capacity(512);
        for part in ["POST ", self.prefix(), path, " HTTP/1.1\r\n"] {
            head.extend_from_slice(part.as_bytes());
        }
        for (name, value) in own.into_iter().chain(key).chain(given) {
            for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
        head.extend_from_slice(format!("content-length: {length}\r\n\r\n").as_bytes());
        head
    }

    async fn connect(&self) -> Result<Line, StreamRefused> {
        let host = self.base.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.base.port_or_known_default().unwrap_or(80);
        Line::open(host, port, self.timeouts.connect).await.map_err(|error: TransportError| {
            StreamRefused::Adapter(AdapterError::Unreachable { reason: error.to_string() })
        })
    }

    /// What the engine said instead of what was asked for.
    async fn refused(&self, line: Line, answer: &Answer) -> StreamRefused {
        let Answer { status, retry_after, .. } = *answer;
        StreamRefused::Status { status, retry_after, body: self.without_key(read_refusal(line).await) }
    }

    fn not_answered(&self, path: &str, status: StatusCode, body: Bytes) -> AdapterError {
        let said = excerpt(&self.without_key(body));
        AdapterError::Unreachable { reason: format!("{path} answered {}: {said}", status.as_u16()) }
    }

    /// What an engine said, without its own key: one that was refused it may repeat it.
    //= AUTH-1007
    fn without_key(&self, said: Bytes) -> Bytes {
        let key = self.key.as_ref().and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        key.map_or(said.clone(), |key| without(key, said))
    }

    /// Host and port, as a request names them.
    fn host(&self) -> &str {
        &self.base[url::Position::BeforeHost..url::Position::AfterPort]
    }

    /// What stands before every path.
    fn prefix(&self) -> &str {
        self.base.path().trim_end_matches('/')
    }

    fn address(&self, path: &str) -> Url {
        let mut address = self.base.clone();
        let prefix = self.prefix();
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        address.set_path(&format!("{prefix}{path}"));
        address.set_query(query);
        address
    }
}

fn protocol(what: &str) -> StreamRefused {
    StreamRefused::Adapter(AdapterError::Protocol { what: what.to_owned() })
}

/// The cause of a failed question, without its URL.
fn unreachable(error: &reqwest::Error) -> AdapterError {
    let reason = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    };
    AdapterError::Unreachable { reason: reason.to_owned() }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Reads what came with a refusal, as far as it comes; the connection is not used again.
async fn read_refusal(mut line: Line) -> Bytes {
    let mut read = Vec::new();
    let all = poll_fn(|cx| {
        while let Poll::Ready(more) = line.poll_data(cx, |data| read.extend_from_slice(data)) {
            if !matches!(more, Ok(More::Comes)) || read.len() >= REFUSAL_BYTES_MAX {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    });
    // A refusal that is slow to explain itself is still a refusal.
    drop(timeout(REFUSAL_TIME_MAX, all).await);
    read.truncate(REFUSAL_BYTES_MAX);
    read.into()
}

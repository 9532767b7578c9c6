//! One download, from the first question to the file under its name.

use std::{fmt, fs, future::Future, io, path::PathBuf, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::{task::spawn_blocking, time::sleep};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    answer::{self, Answer, Asked, Known},
    digest::Digest,
    error::FetchError,
    line::{self, Line},
    partial::{self, Partial},
    policy::{Policy, host_of},
};

/// How many redirects are followed in a row.
const HOPS_MAX: usize = 3;
/// How much is gathered before it is written.
const WRITE_BYTES: usize = 1024 * 1024;
/// A try that brought the file so much further than any before earns the full number of tries again. So
/// neither one byte per connection nor beginning anew forever keeps a download alive.
const PROGRESS_BYTES: u64 = 1024 * 1024;

/// What to download.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// Where from.
    pub url: Url,
    /// The folder of the file. It is made if there is none.
    pub folder: PathBuf,
    /// The digest that the file must have.
    pub expected: Option<Digest>,
    /// The most bytes that the file may have.
    pub bytes_max: u64,
}

/// A file that came whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where it is: `sha256-<hex>` in the folder.
    pub path: PathBuf,
    /// Its digest.
    pub digest: Digest,
    /// How many bytes it has.
    pub bytes: u64,
}

/// How far a download has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many bytes are here. It falls when the file has to be begun anew.
    pub bytes: u64,
    /// How many there are, as far as the server said.
    pub total: Option<u64>,
}

/// How long a download waits, and how often it tries.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// For a connection to stand, TLS included.
    pub connect: Duration,
    /// For the next bytes.
    pub idle: Duration,
    /// Before the second try; it doubles with each further one, up to sixteen times.
    pub backoff: Duration,
    /// How often it tries without getting further.
    pub tries: u32,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            backoff: Duration::from_millis(500),
            tries: 5,
        }
    }
}

/// Downloads files.
pub struct Fetcher {
    tls: TlsConnector,
    timing: Timing,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("timing", &self.timing).finish_non_exhaustive()
    }
}

impl Fetcher {
    /// A fetcher that trusts the certificate authorities that Mozilla trusts, and `extra_roots`, which are
    /// certificates in DER.
    ///
    /// # Errors
    /// When one of `extra_roots` is no certificate.
    pub fn new(extra_roots: &[Vec<u8>], timing: Timing) -> Result<Self, FetchError> {
        Ok(Self { tls: line::tls(extra_roots)?, timing })
    }

    /// Downloads one file and goes on where an earlier download of the same URL into the same folder
    /// stopped. If the expected file is there already, nothing is asked of anybody.
    ///
    /// # Errors
    /// When the policy, the server, the digest, a bound, the disk or the caller ends it.
    //= ORCH-3417
    pub async fn fetch(
        &self,
        request: &Fetch,
        policy: &Policy<'_>,
        progress: &(dyn Fn(Progress) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<Fetched, FetchError> {
        policy.check(&request.url)?;
        let (wanted, token) = (request.clone(), cancel.clone());
        let opened = blocking(move || {
            fs::create_dir_all(&wanted.folder)
                .map_err(|error| FetchError::io("the folder could not be made", error))?;
            if let Some(digest) = wanted.expected
                && let Some(found) = partial::existing(&wanted.folder, digest, &token)?
            {
                return Ok(Opened::Existing(found));
            }
            Partial::open(&wanted.folder, &wanted.url, &token).map(Opened::Partial)
        });
        match opened.await? {
            Opened::Existing(found) => Ok(found),
            Opened::Partial(partial) => {
                let partial = Arc::new(Mutex::new(partial));
                Download { fetcher: self, request, policy, progress, cancel, partial }.run().await
            }
        }
    }
}

enum Opened {
    Existing(Fetched),
    Partial(Partial),
}

struct Download<'a> {
    fetcher: &'a Fetcher,
    request: &'a Fetch,
    policy: &'a Policy<'a>,
    progress: &'a (dyn Fn(Progress) + Send + Sync),
    cancel: &'a CancellationToken,
    /// Locked only by work on the disk and for a moment.
    partial: Arc<Mutex<Partial>>,
}

impl Download<'_> {
    async fn run(&self) -> Result<Fetched, FetchError> {
        let ended = self.try_often().await;
        let is_useless = |error: &FetchError| {
            matches!(error, FetchError::TooLarge { .. } | FetchError::Encoded(_)) || self.bytes() == 0
        };
        if ended.as_ref().is_err_and(is_useless) {
            self.on_disk(Partial::discard).await?;
        }
        ended
    }

    async fn try_often(&self) -> Result<Fetched, FetchError> {
        let timing = self.fetcher.timing;
        let (mut tries, mut furthest) = (1, self.bytes());
        loop {
            let error = match self.attempt().await {
                Ok(()) => {
                    let expected = self.request.expected;
                    return self.on_disk(move |partial| partial.finish(expected)).await;
                }
                Err(error) => error,
            };
            // A disk that is full may well be unable to note it; then the last note counts.
            let noted = self.on_disk(Partial::note).await;
            if self.bytes() >= furthest.saturating_add(PROGRESS_BYTES) {
                (tries, furthest) = (1, self.bytes());
            }
            if !error.may_pass() || tries >= timing.tries {
                return Err(error);
            }
            noted?;
            let pause = timing.backoff * 2_u32.pow((tries - 1).min(4));
            let wait = async {
                sleep(pause).await;
                Ok(())
            };
            self.unless_cancelled(wait).await?;
            tries += 1;
        }
    }

    /// One connection, or a few when it is redirected; it ends well when the file is whole.
    async fn attempt(&self) -> Result<(), FetchError> {
        if self.bytes() > self.request.bytes_max {
            self.on_disk(Partial::start_over).await?;
        }
        let mut url = self.request.url.clone();
        for _ in 0..=HOPS_MAX {
            match self.ask(&url).await? {
                Next::Done => return Ok(()),
                Next::Elsewhere(location) => {
                    url = url
                        .join(&location)
                        .map_err(|_no_url| FetchError::Url("of a redirect is malformed"))?;
                    self.policy.check_redirect(&url)?;
                }
            }
        }
        Err(FetchError::RedirectedTooOften { most: HOPS_MAX })
    }

    async fn ask(&self, url: &Url) -> Result<Next, FetchError> {
        let (known, offset) = {
            let partial = self.partial.lock();
            (partial.known(), partial.bytes())
        };
        let asked = match &known {
            Some(known) if offset > 0 => Asked::Rest { offset, known },
            _ => Asked::Whole,
        };
        let host = host_of(url);
        let timing = self.fetcher.timing;
        let open = Line::open(url, self.policy, &self.fetcher.tls);
        let mut line = self.unless_cancelled(line::within(timing.connect, &host, open)).await?;
        let ask = line.ask(question(url, asked)?);
        let response = self.unless_cancelled(line::within(timing.idle, &host, ask)).await?;
        let status = response.status().as_u16();
        match answer::read(status, response.headers(), asked) {
            Answer::Redirect(location) => return Ok(Next::Elsewhere(location)),
            Answer::Encoded(coding) => return Err(FetchError::Encoded(coding)),
            Answer::Refused => return Err(FetchError::Status { host, status }),
            Answer::Complete => return Ok(Next::Done),
            Answer::StartOver => {
                self.on_disk(Partial::start_over).await?;
                return Err(FetchError::Changed { host });
            }
            Answer::Whole { total, etag } => {
                self.on_disk(move |partial| {
                    partial.start_over()?;
                    partial.belongs_to(etag.map(|etag| Known { etag, total }));
                    Ok(())
                })
                .await?;
                self.receive((line, response), &host, total).await?;
            }
            Answer::Rest { total } => self.receive((line, response), &host, total).await?,
        }
        Ok(Next::Done)
    }

    /// Takes the body in until the file is whole.
    async fn receive(
        &self,
        (mut line, response): (Line, Response<Incoming>),
        host: &str,
        total: Option<u64>,
    ) -> Result<(), FetchError> {
        let most = self.request.bytes_max;
        if let Some(bytes) = total.filter(|total| *total > most) {
            return Err(FetchError::TooLarge { bytes, most });
        }
        if total.is_none() && self.request.expected.is_none() {
            return Err(FetchError::NoLength);
        }
        let mut body = response.into_body();
        let mut gathered = BytesMut::new();
        let mut bytes = self.bytes();
        (self.progress)(Progress { bytes, total });
        let ended = loop {
            let next = line::within(self.fetcher.timing.idle, host, line.next(&mut body));
            let data = match self.unless_cancelled(next).await {
                Ok(Some(data)) => data,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            bytes = bytes.saturating_add(data.len() as u64);
            //= ORCH-3417
            if bytes > most {
                return Err(FetchError::TooLarge { bytes, most });
            }
            gathered.extend_from_slice(&data);
            if gathered.len() >= WRITE_BYTES {
                self.write(gathered.split().freeze()).await?;
                (self.progress)(Progress { bytes, total });
            }
        };
        self.write(gathered.freeze()).await?;
        (self.progress)(Progress { bytes, total });
        ended?;
        match total {
            Some(total) if bytes != total => {
                let what = format!("{bytes} of {total} bytes came");
                if bytes > total {
                    self.on_disk(Partial::start_over).await?;
                }
                Err(FetchError::Broken { host: host.to_owned(), what })
            }
            _ => Ok(()),
        }
    }

    fn bytes(&self) -> u64 {
        self.partial.lock().bytes()
    }

    async fn write(&self, data: Bytes) -> Result<(), FetchError> {
        self.on_disk(move |partial| partial.write(&data)).await
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Partial) -> Result<T, FetchError> + Send + 'static,
    ) -> Result<T, FetchError> {
        let partial = Arc::clone(&self.partial);
        blocking(move || work(&mut partial.lock())).await
    }

    async fn unless_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        self.cancel.run_until_cancelled(work).await.unwrap_or(Err(FetchError::Cancelled))
    }
}

enum Next {
    Done,
    Elsewhere(String),
}

fn question(url: &Url, asked: Asked<'_>) -> Result<Request<Empty<Bytes>>, FetchError> {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let mut question = Request::get(target)
        .header(header::HOST, format!("{}{port}", url.host_str().unwrap_or_default()))
        .header(header::USER_AGENT, "llama-orch")
        .header(header::ACCEPT, "*/*")
        .header(header::ACCEPT_ENCODING, "identity");
    if let Asked::Rest { offset, known } = asked {
        question = question
            .header(header::RANGE, format!("bytes={offset}-"))
            .header(header::IF_RANGE, known.etag.as_str());
    }
    question.body(Empty::new()).map_err(|_unfit| FetchError::Url("cannot be asked over HTTP"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(FetchError::io("work on the disk was lost", io::Error::other(error))))
}

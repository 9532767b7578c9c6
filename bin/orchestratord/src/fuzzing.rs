//! Doors into the server for the fuzz targets in `fuzz/`: what takes in bytes from outside, without a network around it.
//!
//! It is compiled with the feature `fuzzing` alone, and no part of the product uses it. It decides nothing and checks
//! nothing: whether an answer is right is for the targets to say.

use std::{
    ffi::OsString,
    net::SocketAddr,
    task::{Context, Poll, Waker},
};

use adapter_api::{Route, TokenBatch};
use axum::{body::Body, extract::ConnectInfo};
use bytes::Bytes;
use config_schema::ExtraFields;
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    runtime::{Builder, Runtime},
};
use tower::ServiceExt;

use crate::{
    api, config,
    gate::Door,
    relay::{Cursor, Detail, Framing, JobLog, LastEvent, Part, Resume, ResumeError, Shown},
};

pub use crate::api::fuzzing::{Refused, Taken};

/// How many ids each life of a job has.
pub const IDS_PER_LIFE: u32 = crate::relay::IDS_PER_LIFE;

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);
/// The pipe holds less than most answers, so that the server meets a peer that reads slowly.
const PIPE_BYTES: usize = 4 * 1024;

/// A whole server that listens nowhere.
pub struct Server {
    runtime: Runtime,
    app: crate::App,
    router: Door,
}

impl Server {
    /// A server with these settings, by their environment names.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let env: Vec<_> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let config = config::load(Vec::<OsString>::new(), env)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let app = runtime.block_on(crate::App::build(&config))?;
        let router = api::router(app.state.clone());
        Ok(Self { runtime, app, router })
    }

    /// The body of `POST /v2/tasks`; and the same request as it comes back from the store, if it is kept.
    ///
    /// # Errors
    /// The refusal.
    pub fn task(&self, body: &[u8]) -> Result<(Option<Taken>, Option<Taken>), Refused> {
        api::fuzzing::task(body, &self.app.state.admission.models)
    }

    /// The body of a call under `/v1/`; and whether its answer is streamed.
    ///
    /// # Errors
    /// The refusal.
    pub fn call(
        &self,
        route: Route,
        body: &[u8],
        extras: ExtraFields,
    ) -> Result<(Option<Taken>, bool), Refused> {
        api::fuzzing::call(route, body, extras, &self.app.state.admission.models)
    }

    /// Runs something beside the server's own tasks.
    pub fn run<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }

    /// The answer to one request: its status and its whole body. `None` when the body breaks off.
    pub async fn ask(&self, mut request: http::Request<Bytes>) -> Option<(u16, Bytes)> {
        request.extensions_mut().insert(ConnectInfo(PEER));
        let Ok(response) = self.router.clone().oneshot(request.map(Body::from)).await;
        let status = response.status().as_u16();
        Some((status, response.into_body().collect().await.ok()?.to_bytes()))
    }

    /// Sends these bytes over one connection, in these parts, and gives what came back until the server closed it.
    pub async fn connection(&self, parts: &[&[u8]]) -> Vec<u8> {
        let (ours, theirs) = duplex(PIPE_BYTES);
        let (mut reading, mut writing) = tokio::io::split(ours);
        let send = async {
            for part in parts {
                // A server that has said enough may close before it has read everything.
                if writing.write_all(part).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            writing.shutdown().await.ok();
        };
        let mut answer = Vec::new();
        let read = async {
            reading.read_to_end(&mut answer).await.ok();
        };
        tokio::join!(self.app.server.speak(theirs, PEER), send, read);
        answer
    }
}

/// A job's log.
pub struct Log(JobLog);

/// A reader of a log.
pub struct Reader(Cursor);

/// How much a reader is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// What programs need.
    Plainly,
    /// With explanations.
    Verbosely,
}

/// What is there for a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// These bytes.
    Bytes(Bytes),
    /// Nothing more, for ever.
    End,
    /// Nothing yet.
    Wait,
}

/// Events of a log that were handed on to be kept.
#[derive(Debug, Clone)]
pub struct KeptPart {
    /// The id of the first.
    pub first_id: u32,
    /// How many they are.
    pub events: u32,
    /// Their frames.
    pub frames: Bytes,
}

impl Log {
    /// An empty log that is shown as it is written.
    pub fn of_memory() -> Self {
        Self(JobLog::new(Framing::Events, Shown::AtOnce))
    }

    /// An empty log that is shown only as far as it is said to be kept.
    pub fn durable() -> Self {
        Self(JobLog::new(Framing::Events, Shown::WhenKept))
    }

    /// A log that was kept; `None` when it has a hole.
    pub fn restored(parts: &[KeptPart], next_id: u32) -> Option<Self> {
        let part = |KeptPart { first_id, events, frames }: KeptPart| Part { first_id, events, frames };
        let parts: Vec<Part> = parts.iter().cloned().map(part).collect();
        JobLog::restored(&parts, next_id).ok().map(Self)
    }

    /// Appends tokens.
    pub fn say(&self, texts: &[&str]) -> bool {
        let mut batch = TokenBatch::new();
        for text in texts {
            batch.push(text);
        }
        self.0.append_tokens(&batch)
    }

    /// Appends an event.
    pub fn event(&self, data: &[u8]) -> bool {
        self.0.append("metrics", data)
    }

    /// The text begins anew.
    pub fn restart(&self) -> bool {
        self.0.restart("started", |id| format!("{{\"discard_before_id\":{id}}}").into_bytes())
    }

    /// Appends the last events, of which the first has a longer form for verbose readers.
    pub fn seal(&self) -> bool {
        let event = |name, data: &str, verbose: Option<&str>| LastEvent {
            name,
            data: data.as_bytes().to_vec(),
            verbose: verbose.map(|data| data.as_bytes().to_vec()),
        };
        self.0.seal(&[event("metrics", "{}", Some("{\"human\":\"all is well\"}")), event("end", "{}", None)])
    }

    /// Sends readers away; the job goes on in another process.
    pub fn suspend(&self) {
        self.0.suspend();
    }

    /// Shows so many events.
    pub fn show(&self, events: usize) {
        self.0.show(events);
    }

    /// Shows the last events, too.
    pub fn release(&self) {
        self.0.release();
    }

    /// Gives the frames up.
    pub fn expire(&self) {
        self.0.expire();
    }

    /// What is new to be kept.
    pub fn keep(&self) -> Option<KeptPart> {
        let mut kept = None;
        self.0.keep(|Part { first_id, events, frames }| kept = Some(KeptPart { first_id, events, frames }));
        kept
    }

    /// The text so far.
    pub fn text(&self) -> Option<(String, u32)> {
        self.0.said().map(|said| (said.text, said.tokens))
    }

    /// A reader that has everything up to this event. `None` where the log was given up.
    ///
    /// # Errors
    /// When the event is still to come; with the newest id, if there is one.
    pub fn open(&self, after: Option<u32>, told: Told) -> Result<Option<Reader>, Option<u32>> {
        let resume = after.map_or(Resume::FromStart, Resume::After);
        let detail = match told {
            Told::Plainly => Detail::Plain,
            Told::Verbosely => Detail::Verbose,
        };
        match self.0.open(resume, detail) {
            Ok(cursor) => Ok(Some(Reader(cursor))),
            Err(ResumeError::Expired) => Ok(None),
            Err(ResumeError::Future { last }) => Err(last),
        }
    }

    /// What is there for a reader now.
    pub fn read(&self, reader: &mut Reader) -> Next {
        match self.0.poll_read(&mut reader.0, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(bytes)) => Next::Bytes(bytes),
            Poll::Ready(None) => Next::End,
            Poll::Pending => Next::Wait,
        }
    }

    /// A reader leaves.
    pub fn close(&self, reader: &Reader) {
        self.0.close(&reader.0);
    }
}

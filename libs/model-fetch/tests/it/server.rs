//! A server that answers each connection as the test says, and what every test needs to ask it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use model_fetch::{Digest, Fetch, FetchError, Fetched, Fetcher, Policy, Progress, Timing, Transport};
use tokio_util::sync::CancellationToken;

/// What happens on one connection, once the request's head is here.
pub(crate) type Reply = Box<dyn FnOnce(&str, &mut TcpStream) + Send>;

/// A server that takes one connection per reply and then refuses further ones.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        let thread = thread::spawn(move || {
            for reply in replies {
                let (mut stream, _) = listener.accept().unwrap();
                let head = read_head(&mut stream);
                if head.is_empty() {
                    return;
                }
                seen.lock().unwrap().push(head.clone());
                reply(&head, &mut stream);
            }
        });
        Self { addr, heads, thread: Some(thread) }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The heads of all requests, in lower case.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A connection without a request ends the loop, if it still waits for one.
        drop(TcpStream::connect(self.addr));
        let ended = self.thread.take().map_or(Ok(()), JoinHandle::join);
        assert!(ended.is_ok() || thread::panicking(), "the server panicked");
    }
}

fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return String::new(),
        }
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

/// Sends a head and a body; it is no matter if the client has gone by then.
pub(crate) fn send(stream: &mut impl Write, head: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).ok();
    stream.flush().ok();
}

/// A fixed answer.
pub(crate) fn answer(head: &str, body: &[u8]) -> Reply {
    let (head, body) = (head.to_owned(), body.to_owned());
    Box::new(move |_, stream| send(stream, &head, &body))
}

/// The first byte that a request asks for.
pub(crate) fn offset(head: &str) -> Option<usize> {
    let range = head.split("range: bytes=").nth(1)?;
    range.split('-').next()?.parse().ok()
}

/// Gives out `file` as a proper server does, but breaks off after `bytes` bytes of body.
pub(crate) fn proper(file: &Arc<Vec<u8>>, etag: &str, bytes: usize) -> Reply {
    let (file, etag) = (Arc::clone(file), etag.to_owned());
    Box::new(move |head, stream| {
        let from = match offset(head) {
            Some(from) if head.contains(&format!("if-range: {etag}\r\n")) => from,
            _ => 0,
        };
        let rest = &file[from..];
        let total = file.len();
        let (length, sent) = (rest.len(), &rest[..bytes.min(rest.len())]);
        let status = if from == 0 {
            "200 OK".to_owned()
        } else {
            format!("206 Partial Content\r\ncontent-range: bytes {from}-{}/{total}", total - 1)
        };
        send(stream, &format!("{status}\r\netag: {etag}\r\ncontent-length: {length}"), sent);
    })
}

/// A file whose parts all differ.
pub(crate) fn file(bytes: usize) -> Arc<Vec<u8>> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_le_bytes()[3]
    };
    Arc::new((0..bytes).map(next).collect())
}

/// Tries follow at once, and silence is noticed soon.
pub(crate) const QUICK: Timing = Timing {
    connect: Duration::from_secs(10),
    idle: Duration::from_secs(10),
    backoff: Duration::from_millis(1),
    tries: 3,
};

pub(crate) fn anywhere() -> Policy<'static> {
    Policy {
        url: &|_| Ok(()),
        address: &|_| true,
        redirect_hosts: &[],
        transport: Transport::PlainOnLoopback,
    }
}

pub(crate) fn wanted(url: &str, folder: &Path, expected: Option<Digest>) -> Fetch {
    Fetch { url: url.parse().unwrap(), folder: folder.to_owned(), expected, bytes_max: 100_000_000 }
}

pub(crate) async fn fetch_under(policy: &Policy<'_>, request: &Fetch) -> Result<Fetched, FetchError> {
    let client = Fetcher::new(&[], QUICK).unwrap();
    client.fetch(request, policy, &|_: Progress| {}, &CancellationToken::new()).await
}

pub(crate) async fn fetch(request: &Fetch) -> Result<Fetched, FetchError> {
    fetch_under(&anywhere(), request).await
}

/// The names of what is in a folder, in order.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// That the file came whole, and that nothing else is left of the download.
#[track_caller]
pub(crate) fn assert_whole(fetched: &Fetched, folder: &Path, file: &[u8]) {
    assert_eq!(fetched.digest, Digest::of(file));
    assert_eq!(fetched.bytes, file.len() as u64);
    assert!(std::fs::read(&fetched.path).unwrap() == file, "the bytes differ");
    let left = names(folder);
    assert_eq!(left, [Digest::of(file).file_name()]);
}

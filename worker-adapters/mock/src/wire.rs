//! A server on loopback that plays byte-exact scripts of an engine.
//!
//! Adapters and the whole server are tested against it where a real engine cannot be made to fail in
//! just this way: garbage, endless lines, half characters, resets. It looks like llama.cpp's unless it
//! is given another [`Persona`].

mod bench;
mod harness;
mod persona;
mod voice;

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

pub use bench::{conversation, every_wish, order_of, plain_order, run_order, seen_of, wishing};
pub use harness::WireHarness;
pub use persona::Persona;
pub use voice::Voice;

/// One thing that the engine does while it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Sends these bytes as they are.
    Send(Vec<u8>),
    /// Sends these bytes as one chunk of a chunked body.
    Chunk(Vec<u8>),
    /// Sends the same bytes so many times.
    Repeat(Vec<u8>, usize),
    /// Does nothing for a while.
    Pause(Duration),
    /// Waits until the client is gone.
    UntilGone,
    /// Ends the connection properly.
    Close,
    /// Breaks the connection.
    Reset,
}

/// What the engine does with one request for work.
pub type Script = Vec<Act>;

/// A request that came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The request line and all headers.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Seen {
    /// The path that was asked for.
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// A header's value, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

#[derive(Debug, Default)]
struct State {
    scripts: Mutex<VecDeque<Script>>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicU32,
    completions: AtomicU32,
    gone: AtomicU32,
    persona: Mutex<Persona>,
}

/// The engine. It stops when it is dropped.
#[derive(Debug)]
pub struct ScriptedEngine {
    addr: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl ScriptedEngine {
    /// An engine with so many slots, on a free port of loopback.
    ///
    /// # Errors
    /// When loopback cannot be listened on.
    pub async fn start(slots: u32) -> io::Result<Self> {
        Self::start_as(Persona::llamacpp(slots)).await
    }

    /// An engine that looks like this, on a free port of loopback.
    ///
    /// # Errors
    /// When loopback cannot be listened on.
    pub async fn start_as(persona: Persona) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let state = Arc::new(State { persona: Mutex::new(persona), ..State::default() });
        let addr = listener.local_addr()?;
        let accepting = accept(listener, Arc::clone(&state));
        Ok(Self { addr, state, accepting })
    }

    /// Has it look otherwise from now on, as an engine that was started anew at the same address.
    pub fn becomes(&self, persona: Persona) {
        *lock(&self.state.persona) = persona;
    }

    /// Where it listens, as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What it does with the next completion that has no script yet.
    pub fn push(&self, script: Script) {
        lock(&self.state.scripts).push_back(script);
    }

    /// Requests for completions that came.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.state.seen).clone()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> u32 {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// How many completions it is asked for now.
    pub fn completions(&self) -> u32 {
        self.state.completions.load(Ordering::SeqCst)
    }

    /// How many clients left while it waited for that.
    pub fn gone(&self) -> u32 {
        self.state.gone.load(Ordering::SeqCst)
    }
}

impl Drop for ScriptedEngine {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test double has no tracker; it ends with its owner")]
fn accept(listener: TcpListener, state: Arc<State>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut serving = tokio::task::JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            state.connections.fetch_add(1, Ordering::SeqCst);
            let state = Arc::clone(&state);
            serving.spawn(async move {
                // A connection that breaks is what such an engine is for.
                drop(serve(socket, &state).await);
            });
        }
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(socket: TcpStream, state: &State) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut socket = BufReader::new(socket);
    loop {
        let Some(request) = read_request(&mut socket).await? else { return Ok(()) };
        let persona = lock(&state.persona).clone();
        if persona.works_on(&request.head) {
            lock(&state.seen).push(request);
            state.completions.fetch_add(1, Ordering::SeqCst);
            let script = lock(&state.scripts).pop_front().unwrap_or_else(|| persona.voice().good());
            let on = play(socket.get_mut(), script, state).await;
            state.completions.fetch_sub(1, Ordering::SeqCst);
            if !on? {
                return Ok(());
            }
        } else {
            let answer = persona.answer(&request.head);
            socket.get_mut().write_all(answer.as_bytes()).await?;
        }
    }
}

async fn read_request(socket: &mut BufReader<TcpStream>) -> io::Result<Option<Seen>> {
    let mut seen = Seen::default();
    loop {
        let start = seen.head.len();
        if socket.read_line(&mut seen.head).await? == 0 {
            return Ok(None);
        }
        if seen.head[start..].trim_end().is_empty() {
            break;
        }
    }
    let length = seen.head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap_or(0))
    });
    let mut body = vec![0; length.unwrap_or(0)];
    socket.read_exact(&mut body).await?;
    seen.body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(seen))
}

/// Plays a script. False when the connection is over.
async fn play(socket: &mut TcpStream, script: Script, state: &State) -> io::Result<bool> {
    for act in script {
        match act {
            Act::Send(bytes) => socket.write_all(&bytes).await?,
            Act::Chunk(bytes) => socket.write_all(&chunk(&bytes)).await?,
            Act::Repeat(bytes, times) => {
                for _ in 0..times {
                    socket.write_all(&bytes).await?;
                }
            }
            Act::Pause(time) => sleep(time).await,
            Act::UntilGone => {
                // Nothing more is sent to us, so the first thing to read is the end.
                let read = socket.read(&mut [0; 64]).await;
                if matches!(read, Ok(0) | Err(_)) {
                    state.gone.fetch_add(1, Ordering::SeqCst);
                }
                return Ok(false);
            }
            Act::Close => return Ok(false),
            Act::Reset => {
                socket.set_zero_linger()?;
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Bytes as one chunk of a chunked body.
fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    framed
}

/// A whole JSON answer.
pub fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// The head of an event stream.
pub fn stream_head() -> Act {
    Act::Send(
        b"HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec(),
    )
}

/// A token event. `text` stands inside a JSON string, escapes and all.
pub fn token(text: &str, count: usize) -> Act {
    Act::Chunk(token_bytes(text.as_bytes(), count))
}

/// A token event whose text may be any bytes.
pub fn token_bytes(text: &[u8], count: usize) -> Vec<u8> {
    let mut event = br#"data: {"index":0,"content":""#.to_vec();
    event.extend_from_slice(text);
    event.extend_from_slice(
        format!(r#"","tokens":[{count}],"stop":false,"id_slot":-1,"tokens_predicted":{count},"tokens_evaluated":2}}"#)
            .as_bytes(),
    );
    event.extend_from_slice(b"\n\n");
    event
}

/// Why a scripted answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The model ended its text.
    Eos,
    /// The token limit was reached.
    Limit,
}

/// The last event, with so many tokens counted.
pub fn last(ending: Ending, count: usize) -> Act {
    let stop_type = match ending {
        Ending::Eos => "eos",
        Ending::Limit => "limit",
    };
    let event = format!(
        "data: {{\"index\":0,\"content\":\"\",\"tokens\":[],\"stop\":true,\"stop_type\":\"{stop_type}\",\"tokens_predicted\":{count},\"tokens_evaluated\":2,\"timings\":{{\"cache_n\":1,\"predicted_ms\":12.5}}}}\n\n"
    );
    Act::Chunk(event.into_bytes())
}

/// The end of a chunked body.
pub fn body_end() -> Act {
    Act::Send(b"0\r\n\r\n".to_vec())
}

/// A whole good answer.
pub fn completion(texts: &[&str], ending: Ending) -> Script {
    let mut script = vec![stream_head()];
    script.extend(texts.iter().enumerate().map(|(index, text)| token(text, index + 1)));
    script.extend([last(ending, texts.len()), body_end()]);
    script
}

/// An answer that stays open after these texts, until the client leaves.
pub fn open_ended(texts: &[&str]) -> Script {
    let mut script = vec![stream_head()];
    script.extend(texts.iter().enumerate().map(|(index, text)| token(text, index + 1)));
    script.push(Act::UntilGone);
    script
}

//! Clients of the task API, and what each of them saw.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    net::SocketAddr,
    ops::ControlFlow,
    rc::Rc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::{
    task::{JoinHandle, spawn_local},
    time::{Instant, timeout},
};

use crate::chaos::{
    client::{Client, Heard},
    frames::Frame,
};

/// The file that the engines load, by which requests name the model.
pub(super) const MODEL_FILE: &str = "tiny-counter.gguf";
/// The model counts so far, then from 0 again.
const NUMBERS: u32 = 500;
/// Nobody waits longer for a stream.
const PATIENCE: Duration = Duration::from_mins(2);

/// How a task ended for its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// Not yet.
    Open,
    /// With all of its text.
    Whole,
    /// With an `end`, but another text.
    Wrong(String),
    /// With an `error`: its code, and whether it may be tried again.
    Failed(String, bool),
    /// It was not accepted: the status and the code.
    Refused(u16, String),
    /// The connection broke.
    Broken(String),
}

/// What a client saw of its task.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) id: String,
    /// The pool of the newest `started`.
    pub(super) pool: String,
    pub(super) tokens: u32,
    pub(super) started: Option<Instant>,
    pub(super) terminals: u32,
    pub(super) ended: Option<Instant>,
    pub(super) ending: Ending,
    text: String,
}

impl Seen {
    fn new() -> Self {
        Self {
            id: String::new(),
            pool: String::new(),
            tokens: 0,
            started: None,
            terminals: 0,
            ended: None,
            ending: Ending::Open,
            text: String::new(),
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.ending == Ending::Whole && self.terminals == 1
    }

    fn take(&mut self, frame: &Frame, wanted: u32) {
        let data = frame.data();
        match frame.name() {
            "started" => {
                data["pool_id"].as_str().unwrap_or_default().clone_into(&mut self.pool);
                self.started = Some(Instant::now());
            }
            "token" => {
                self.tokens += 1;
                self.text.push_str(data["t"].as_str().unwrap_or_default());
            }
            "end" if self.text == text(wanted) => self.end(Ending::Whole),
            "end" => self.end(Ending::Wrong(self.text.chars().take(80).collect())),
            "error" => {
                let code = data["code"].as_str().unwrap_or_default().to_owned();
                self.end(Ending::Failed(code, data["retriable"] == true));
            }
            _ => {}
        }
    }

    fn end(&mut self, ending: Ending) {
        self.terminals += u32::from(matches!(ending, Ending::Whole | Ending::Wrong(_) | Ending::Failed(..)));
        (self.ending, self.ended) = (ending, Some(Instant::now()));
    }
}

/// What the model says when it counts so many numbers.
fn text(tokens: u32) -> String {
    (0..tokens).map(|number| format!(" {}", number % NUMBERS)).collect::<Vec<_>>().concat()
}

/// How a task is under way, for whoever looks while it is.
pub(super) type Flight = Rc<RefCell<Seen>>;

/// All clients.
#[derive(Debug, Clone)]
pub(super) struct Crowd {
    target: SocketAddr,
    token: Rc<str>,
    number: Rc<Cell<u64>>,
}

impl Crowd {
    pub(super) fn new(target: SocketAddr, token: &str) -> Self {
        Self { target, token: token.into(), number: Rc::default() }
    }

    pub(super) fn client(&self) -> Client {
        Client::with_token(self.target, &self.token)
    }

    /// Submits a task and reads its stream to the end.
    pub(super) async fn one(&self, tokens: u32) -> Seen {
        let seen = Rc::new(RefCell::new(Seen::new()));
        self.fly(tokens, &seen).await;
        seen.borrow().clone()
    }

    /// The same beside the caller.
    pub(super) fn launch(&self, tokens: u32) -> (Flight, JoinHandle<()>) {
        let seen = Rc::new(RefCell::new(Seen::new()));
        let (crowd, flight) = (self.clone(), Rc::clone(&seen));
        (seen, spawn_local(async move { crowd.fly(tokens, &flight).await }))
    }

    async fn fly(&self, tokens: u32, seen: &Flight) {
        let flown = timeout(PATIENCE, self.submit_and_read(tokens, seen)).await;
        let flown = flown.context("its stream does not end").and_then(|flown| flown);
        let is_open = seen.borrow().ending == Ending::Open;
        match flown {
            Err(error) => seen.borrow_mut().end(Ending::Broken(format!("{error:#}"))),
            Ok(()) if is_open => seen.borrow_mut().end(Ending::Broken("a stream without an end".to_owned())),
            Ok(()) => {}
        }
    }

    async fn submit_and_read(&self, tokens: u32, seen: &Flight) -> Result<()> {
        // Alike prompts whose engines are lost are kept from further ones, and nothing here is their fault.
        let number = self.number.get();
        self.number.set(number + 1);
        let body = json!({
            "model_ref": MODEL_FILE, "prompt": format!("Task {number} Count:"), "max_tokens": tokens,
            "temperature": 0,
        });
        let mut client = self.client();
        let answer = client.call("POST", "/v2/tasks", &body.to_string()).await?;
        let told = answer.json();
        if answer.status != 202 {
            let code = told["code"].as_str().unwrap_or_default().to_owned();
            seen.borrow_mut().end(Ending::Refused(answer.status, code));
            return Ok(());
        }
        let id = told["job_id"].as_str().unwrap_or_default().to_owned();
        seen.borrow_mut().id.clone_from(&id);
        let each = |frame: Frame| {
            seen.borrow_mut().take(&frame, tokens);
            Ok(ControlFlow::Continue(()))
        };
        match client.events(&id, None, each).await? {
            Heard::Refused(answer) => bail!("its stream: {}", answer.shown()),
            Heard::All | Heard::Left => Ok(()),
        }
    }

    /// So many tasks over so many lanes.
    pub(super) async fn wave(&self, tasks: usize, lanes: usize, tokens: u32) -> Result<Vec<Seen>> {
        let left = Rc::new(Cell::new(tasks));
        let more = move || {
            let before = left.get();
            left.set(before.saturating_sub(1));
            before > 0
        };
        self.lanes(lanes, tokens, more).land().await
    }

    /// Lanes that submit one task after the other as long as `more` says so.
    pub(super) fn lanes(&self, lanes: usize, tokens: u32, more: impl Fn() -> bool + 'static) -> Lanes {
        let (more, all) = (Rc::new(more), Rc::new(RefCell::new(Vec::new())));
        let lane = |_| {
            let (crowd, more, all) = (self.clone(), Rc::clone(&more), Rc::clone(&all));
            spawn_local(async move {
                while more() {
                    let seen = crowd.one(tokens).await;
                    let is_over = matches!(seen.ending, Ending::Refused(..) | Ending::Broken(_));
                    all.borrow_mut().push(seen);
                    if is_over {
                        return;
                    }
                }
            })
        };
        Lanes { running: (0..lanes).map(lane).collect(), all }
    }
}

/// Clients at work.
pub(super) struct Lanes {
    running: Vec<JoinHandle<()>>,
    all: Rc<RefCell<Vec<Seen>>>,
}

impl Lanes {
    /// How many tasks have ended.
    pub(super) fn ended(&self) -> usize {
        self.all.borrow().len()
    }

    /// Waits for all lanes, and gives what they saw.
    pub(super) async fn land(self) -> Result<Vec<Seen>> {
        for lane in self.running {
            lane.await?;
        }
        Ok(self.all.take())
    }
}

/// How many ran in each pool.
pub(super) fn by_pool(all: &[Seen]) -> BTreeMap<&str, usize> {
    let mut pools = BTreeMap::new();
    for seen in all {
        *pools.entry(seen.pool.as_str()).or_default() += 1;
    }
    pools
}

/// The first that did not end whole, in words.
pub(super) fn not_whole(all: &[Seen]) -> (usize, String) {
    let mut bad = all.iter().filter(|seen| !seen.is_whole());
    let first = bad.next();
    let shown = first.map(|it| format!("task {} in pool {:?}: {:?}", it.id, it.pool, it.ending));
    (usize::from(first.is_some()) + bad.count(), shown.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str, data: &str) -> Frame {
        let bytes = format!("id: 1\nevent: {name}\ndata: {data}\n\n").into_bytes().into();
        Frame { id: 1, bytes }
    }

    #[test]
    fn counting_starts_over_behind_the_last_number() {
        assert_eq!(text(3), " 0 1 2");
        assert!(text(502).ends_with(" 498 499 0 1"));
    }

    #[test]
    fn a_stream_is_whole_with_its_text_and_one_end() {
        let mut seen = Seen::new();
        seen.take(&frame("started", r#"{"pool_id":"a"}"#), 2);
        seen.take(&frame("token", r#"{"t":" 0","i":0}"#), 2);
        let mut short = seen.clone();
        short.take(&frame("end", "{}"), 2);
        assert!(matches!(short.ending, Ending::Wrong(_)) && !short.is_whole());
        seen.take(&frame("token", r#"{"t":" 1","i":1}"#), 2);
        seen.take(&frame("end", "{}"), 2);
        assert!(seen.is_whole());
        seen.take(&frame("end", "{}"), 2);
        assert!(!seen.is_whole(), "it ended twice");
        assert_eq!(by_pool(&[seen]), [("a", 1)].into());
    }

    #[test]
    fn an_error_keeps_its_code() {
        let mut seen = Seen::new();
        seen.take(&frame("error", r#"{"code":"WORKER_RESET","retriable":true}"#), 2);
        assert_eq!(seen.ending, Ending::Failed("WORKER_RESET".to_owned(), true));
        assert_eq!(not_whole(&[seen]).0, 1);
    }
}

//! What one scenario has: its server, its engines and nodes, a folder of its own, and what it has seen so far.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    net::{IpAddr, Ipv4Addr, TcpListener},
    path::PathBuf,
    process::Command,
    sync::{Arc, LazyLock},
};

use mock::wire::{ScriptedEngine, Voice};
use regex::{Captures, Regex};
use reqwest::{Client, Response};
use serde_json::Value;
use tempfile::TempDir;
use trace_export::sink::Sink;
use uuid::Uuid;

use crate::{node::Node, process::Process, support::PATIENCE};

/// Characters of an answer that are shown when a scenario fails.
const ANSWER_SHOWN: usize = 1_000;

static NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{([a-zA-Z][\w/-]*(?: [\w/.-]+)?)\}").expect("a pattern"));

/// What came back for a request.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let headers = headers.collect();
        Self { status, headers, text: response.text().await.unwrap_or_default() }
    }

    /// The body; null when it is no JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// An engine that plays what it is told, and how its kind writes.
pub(crate) struct Engine {
    pub(crate) wire: Arc<ScriptedEngine>,
    pub(crate) kind: String,
    pub(crate) voice: Voice,
}

/// Everything of one scenario.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) server: Option<Process>,
    /// Servers that ran when a further one was started.
    pub(crate) earlier: Vec<Process>,
    pub(crate) agent: Option<Process>,
    pub(crate) client: Client,
    /// What each request carries.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) engines: BTreeMap<String, Engine>,
    pub(crate) nodes: BTreeMap<String, Node>,
    /// Tasks and whatever else got a name.
    pub(crate) names: BTreeMap<String, String>,
    pub(crate) answer: Answer,
    /// What was read of streams, by the name of their task.
    pub(crate) read: BTreeMap<String, String>,
    /// Streams that are being read.
    pub(crate) open: BTreeMap<String, Response>,
    /// The address of this machine that is called, where it is not loopback.
    pub(crate) calls: Option<IpAddr>,
    /// What this machine has not, so that the scenario shows nothing on it.
    pub(crate) lacks: Option<&'static str>,
    pub(crate) collector: Option<Sink>,
    /// Tasks of a crowd that were accepted.
    pub(crate) accepted: Vec<String>,
    /// Ports that somebody else has.
    pub(crate) taken: Vec<TcpListener>,
    /// A disk of the scenario's own.
    pub(crate) mounted: Option<PathBuf>,
    /// What a file held.
    pub(crate) kept: Vec<u8>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("names", &self.names)
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}

impl cucumber::World for World {
    type Error = Infallible;

    async fn new() -> Result<Self, Infallible> {
        // A kept connection may be closed in the very moment in which it is used again.
        let client = Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE);
        let client = client.build().expect("a client");
        Ok(Self {
            folder: TempDir::new().expect("a folder"),
            settings: BTreeMap::new(),
            server: None,
            earlier: Vec::new(),
            agent: None,
            client,
            headers: Vec::new(),
            engines: BTreeMap::new(),
            nodes: BTreeMap::new(),
            names: BTreeMap::new(),
            answer: Answer::default(),
            read: BTreeMap::new(),
            open: BTreeMap::new(),
            calls: None,
            lacks: None,
            collector: None,
            accepted: Vec::new(),
            taken: Vec::new(),
            mounted: None,
            kept: Vec::new(),
        })
    }
}

impl World {
    /// A text with what its names in braces stand for: tasks, `{folder}`, `{server}`, `{engine a}`, `{uuid x}`.
    pub(crate) fn fill(&mut self, text: &str) -> String {
        let filled = NAME.replace_all(text, |found: &Captures<'_>| {
            self.meaning(&found[1]).unwrap_or_else(|| found[0].to_owned())
        });
        filled.into_owned()
    }

    fn meaning(&mut self, name: &str) -> Option<String> {
        if let Some(known) = self.names.get(name) {
            return Some(known.clone());
        }
        match name.split_once(' ') {
            None if name == "folder" => Some(self.folder.path().display().to_string()),
            None if name == "server" => self.server.as_ref()?.address.map(|address| address.to_string()),
            Some(("engine", engine)) => Some(self.engines.get(engine)?.wire.url()),
            Some(("node", node)) => Some(self.nodes.get(node)?.addr.to_string()),
            // The same one whenever the scenario says it again.
            Some(("uuid", _)) => {
                let fresh = Uuid::now_v7().to_string();
                self.names.insert(name.to_owned(), fresh.clone());
                Some(fresh)
            }
            _ => None,
        }
    }

    pub(crate) fn running(&mut self) -> &mut Process {
        self.server.as_mut().expect("the scenario has a server")
    }

    pub(crate) fn base(&mut self) -> String {
        let calls = self.calls.unwrap_or(Ipv4Addr::LOCALHOST.into());
        let mut address = self.running().address.expect("the server listens");
        if address.ip().is_unspecified() {
            address.set_ip(calls);
        }
        format!("http://{address}")
    }

    pub(crate) fn engine(&self, name: &str) -> &Engine {
        self.engines.get(name).unwrap_or_else(|| panic!("the scenario has no engine {name}"))
    }

    pub(crate) fn node(&self, name: &str) -> &Node {
        self.nodes.get(name).unwrap_or_else(|| panic!("the scenario has no node {name}"))
    }

    /// The id of a task.
    pub(crate) fn task(&self, name: &str) -> String {
        self.names.get(name).unwrap_or_else(|| panic!("there is no task {name}")).clone()
    }

    /// What explains a scenario that failed.
    pub(crate) fn last_words(&self, scenario: &str) -> String {
        let answer: String = self.answer.text.chars().take(ANSWER_SHOWN).collect();
        let answer = format!("{} {answer}", self.answer.status);
        let mut words = format!("--- `{scenario}` failed. The last answer was: {answer}");
        for (name, process) in [("server", &self.server), ("agent", &self.agent)] {
            if let Some(process) = process {
                words.extend(["\n--- The last lines of the ", name, ":\n", &process.tail()]);
            }
        }
        words
    }

    /// Stops what the scenario started.
    pub(crate) fn end(&mut self) {
        self.open.clear();
        self.agent = None;
        self.server = None;
        self.earlier.clear();
        self.nodes.clear();
        self.engines.clear();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mounted) = &self.mounted {
            drop(Command::new("umount").arg("-l").arg(mounted).status());
        }
    }
}

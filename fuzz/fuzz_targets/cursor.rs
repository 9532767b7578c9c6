//! Readers of a job's log get the model's bytes, each from where it stands, through appends, crashes and resumed reads;
//! and no id is ever given to a second event.
#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use orchestratord::fuzzing::{IDS_PER_LIFE, KeptPart, Log, Next, Reader, Told};

const OPS_MAX: usize = 120;
const READERS_MAX: usize = 8;
const LIVES_MAX: u32 = 5;

fuzz_target!(|input: (bool, Vec<Op>)| {
    let (durable, ops) = input;
    let mut run = Run {
        log: if durable { Log::durable() } else { Log::of_memory() },
        model: Model { durable, shown: if durable { 0 } else { usize::MAX }, ..Model::default() },
        readers: Vec::new(),
        committed: 0,
        parts: Vec::new(),
        seen: BTreeMap::new(),
        life: 0,
    };
    for op in ops.into_iter().take(OPS_MAX) {
        run.apply(op);
    }
    run.end();
});

#[derive(Debug, Arbitrary)]
enum Op {
    Say(Vec<String>),
    Event(u16),
    Restart,
    Seal,
    Suspend,
    Expire,
    /// Events up to here are shown, counted from those that are.
    Show(u8),
    ShowAll,
    Release,
    Keep,
    /// The store has written so many more parts.
    Commit(u8),
    Open {
        after: Option<u32>,
        verbose: bool,
    },
    /// After an event that there is, or nearly.
    OpenNear {
        index: u8,
        beyond: u8,
        verbose: bool,
    },
    Read(u8),
    Close(u8),
    /// The process dies, and the next one reads what was written.
    Crash,
}

/// An event as anybody would write it down.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: u32,
    frame: String,
    verbose: String,
}

/// A list of events, and how many of them readers may have.
#[derive(Debug, Default)]
struct Model {
    durable: bool,
    events: Vec<Event>,
    next_id: u32,
    tokens: u32,
    text: String,
    shown: usize,
    held: Option<usize>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Phase {
    #[default]
    Open,
    Sealed,
    Suspended,
    Expired,
}

impl Model {
    fn push(&mut self, name: &str, data: &str, verbose: &str) {
        let frame = |data| format!("id: {}\nevent: {name}\ndata: {data}\n\n", self.next_id);
        self.events.push(Event { id: self.next_id, frame: frame(data), verbose: frame(verbose) });
        self.next_id += 1;
    }

    fn visible(&self) -> usize {
        self.shown.min(self.held.unwrap_or(usize::MAX)).min(self.events.len())
    }

    /// What a reader gets that has every event up to this id.
    fn rest(&self, after: Option<u32>, verbose: bool) -> String {
        let new =
            self.events[..self.visible()].iter().filter(|event| after.is_none_or(|after| event.id > after));
        new.map(|event| if verbose { event.verbose.as_str() } else { event.frame.as_str() }).collect()
    }

    /// Whether there is an event of this id or a later one, or was in an earlier life, for a reader to have.
    fn may_be_known(&self, id: u32, life: u32) -> bool {
        self.events[..self.visible()].last().is_some_and(|last| id <= last.id) || id < life * IDS_PER_LIFE
    }
}

struct Watched {
    reader: Reader,
    after: Option<u32>,
    verbose: bool,
    got: Vec<u8>,
}

struct Run {
    log: Log,
    model: Model,
    readers: Vec<Watched>,
    parts: Vec<KeptPart>,
    /// How many of the parts are written.
    committed: usize,
    /// Every event that any reader ever got, by its id.
    seen: BTreeMap<u32, String>,
    life: u32,
}

impl Run {
    fn apply(&mut self, op: Op) {
        let is_open = self.model.phase == Phase::Open;
        match op {
            Op::Say(texts) => self.say(&texts, is_open),
            Op::Event(number) => self.event(number, is_open),
            Op::Restart => self.restart(is_open),
            Op::Seal => self.seal(is_open),
            Op::Suspend => {
                self.log.suspend();
                if is_open {
                    self.model.phase = Phase::Suspended;
                }
            }
            Op::Expire => {
                // Only what has ended is given up.
                if self.model.phase == Phase::Sealed && self.model.held.is_none() {
                    self.log.expire();
                    self.model.phase = Phase::Expired;
                }
            }
            Op::Show(more) => {
                self.show(self.model.shown.saturating_add(more.into()).min(self.model.events.len()));
            }
            Op::ShowAll => self.show(usize::MAX),
            Op::Release => {
                self.log.release();
                (self.model.shown, self.model.held) = (usize::MAX, None);
            }
            Op::Keep => self.parts.extend(self.log.keep()),
            Op::Commit(more) => self.committed = self.parts.len().min(self.committed + usize::from(more)),
            Op::Open { after, verbose } => self.open(after, verbose),
            Op::OpenNear { index, beyond, verbose } => {
                let near = self.model.events.get(usize::from(index)).or(self.model.events.last());
                self.open(near.map(|event| event.id + u32::from(beyond % 4)), verbose);
            }
            Op::Read(which) => {
                let Some(which) = usize::from(which).checked_rem(self.readers.len()) else { return };
                self.read(which);
            }
            Op::Close(which) => {
                let Some(which) = usize::from(which).checked_rem(self.readers.len()) else { return };
                self.log.close(&self.readers.swap_remove(which).reader);
            }
            Op::Crash => self.crash(),
        }
        let text = (self.model.phase != Phase::Expired).then(|| (self.model.text.clone(), self.model.tokens));
        assert_eq!(self.log.text(), text);
    }

    fn say(&mut self, texts: &[String], is_open: bool) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        assert_eq!(self.log.say(&texts), is_open);
        for text in texts.into_iter().filter(|_| is_open) {
            let data = format!("{{\"t\":{},\"i\":{}}}", escaped(text), self.model.tokens);
            self.model.push("token", &data, &data);
            self.model.tokens += 1;
            self.model.text.push_str(text);
        }
    }

    fn event(&mut self, number: u16, is_open: bool) {
        let data = format!("{{\"queue_depth\":{number}}}");
        assert_eq!(self.log.event(data.as_bytes()), is_open);
        if is_open {
            self.model.push("metrics", &data, &data);
        }
    }

    fn restart(&mut self, is_open: bool) {
        assert_eq!(self.log.restart(), is_open);
        if is_open {
            let data = format!("{{\"discard_before_id\":{}}}", self.model.next_id);
            self.model.push("started", &data, &data);
            (self.model.tokens, self.model.text) = (0, String::new());
        }
    }

    fn seal(&mut self, is_open: bool) {
        assert_eq!(self.log.seal(), is_open);
        if is_open {
            self.model.held = self.model.durable.then_some(self.model.events.len());
            self.model.push("metrics", "{}", "{\"human\":\"all is well\"}");
            self.model.push("end", "{}", "{}");
            self.model.phase = Phase::Sealed;
        }
    }

    fn show(&mut self, events: usize) {
        self.log.show(events);
        self.model.shown = self.model.shown.max(events);
    }

    fn open(&mut self, after: Option<u32>, verbose: bool) {
        if self.readers.len() >= READERS_MAX {
            return;
        }
        let opened = self.log.open(after, if verbose { Told::Verbosely } else { Told::Plainly });
        if self.model.phase == Phase::Expired {
            assert!(matches!(opened, Ok(None)), "it was given up");
            return;
        }
        match (opened, after) {
            (Ok(Some(reader)), _) => {
                let fits = after.is_none_or(|after| self.model.may_be_known(after, self.life));
                assert!(fits, "a reader of the future: {after:?}");
                self.readers.push(Watched { reader, after, verbose, got: Vec::new() });
            }
            (Err(last), Some(after)) => {
                let visible = self.model.events[..self.model.visible()].last().map(|event| event.id);
                assert_eq!(last, visible);
                assert!(!self.model.may_be_known(after, self.life), "refused: {after}");
            }
            (opened, after) => panic!("{:?} for {after:?}", opened.map(|it| it.is_some())),
        }
    }

    /// One step of a reader. What it has is always a beginning of what it may have.
    fn read(&mut self, which: usize) {
        let watched = &mut self.readers[which];
        let rest = self.model.rest(watched.after, watched.verbose);
        match self.log.read(&mut watched.reader) {
            Next::Bytes(bytes) => {
                assert!(!bytes.is_empty());
                watched.got.extend_from_slice(&bytes);
                assert!(
                    rest.as_bytes().starts_with(&watched.got),
                    "{:?}\nis no beginning of\n{rest:?}",
                    lossy(&watched.got)
                );
            }
            ended => {
                if self.model.phase != Phase::Expired {
                    assert_eq!(lossy(&watched.got), rest, "it waits or ended, and there is more");
                }
                let all_shown = self.model.visible() == self.model.events.len();
                let over = match self.model.phase {
                    Phase::Open => false,
                    Phase::Sealed => all_shown,
                    Phase::Suspended | Phase::Expired => true,
                };
                assert_eq!(ended == Next::End, over, "{:?}", self.model.phase);
            }
        }
        let (got, verbose) = (lossy(&watched.got), watched.verbose);
        self.remember(&got, verbose);
    }

    /// An id stands for one event for ever.
    fn remember(&mut self, got: &str, verbose: bool) {
        if verbose {
            return;
        }
        for frame in got.split_inclusive("\n\n").filter(|frame| frame.ends_with("\n\n")) {
            let id = frame
                .strip_prefix("id: ")
                .and_then(|rest| rest.split('\n').next())
                .and_then(|id| id.parse().ok());
            let id: u32 = id.expect("each frame has its id");
            let known = self.seen.entry(id).or_insert_with(|| frame.to_owned());
            assert_eq!(known, frame, "two events of one id");
        }
    }

    fn crash(&mut self) {
        let went_on = matches!(self.model.phase, Phase::Open | Phase::Suspended) && self.model.durable;
        if !went_on || self.life + 1 >= LIVES_MAX {
            return;
        }
        self.readers.clear();
        self.life += 1;
        self.parts.truncate(self.committed);
        let next_id = self.life * IDS_PER_LIFE;
        self.log = Log::restored(&self.parts, next_id).expect("what was written in its order has no hole");
        let kept = self.parts.iter().map(|part| part.events as usize).sum();
        let model = &mut self.model;
        model.events.truncate(kept);
        let written: String = model.events.iter().map(|event| event.frame.as_str()).collect();
        let frames: Vec<u8> = self.parts.iter().flat_map(|part| part.frames.to_vec()).collect();
        assert_eq!(lossy(&frames), written, "what was kept is not what was said");
        (model.next_id, model.shown, model.held, model.phase) = (next_id, kept, None, Phase::Open);
        // What the text was is read off the events.
        (model.tokens, model.text) = (0, String::new());
        for event in &model.events {
            if event.frame.contains("\nevent: started\n") {
                (model.tokens, model.text) = (0, String::new());
            }
            if let Some((_, data)) = event.frame.split_once("\nevent: token\ndata: ") {
                let token: serde_json::Value =
                    serde_json::from_str(data.trim_end_matches('\n')).expect("JSON");
                model.text.push_str(token["t"].as_str().expect("a text"));
                model.tokens += 1;
            }
        }
    }

    /// Everybody reads to the end.
    fn end(&mut self) {
        self.apply(Op::Seal);
        self.apply(Op::Release);
        for verbose in [false, true] {
            self.open(None, verbose);
        }
        for which in 0..self.readers.len() {
            let mut got = usize::MAX;
            // Each step checks what it gives.
            while std::mem::replace(&mut got, self.readers[which].got.len()) != got {
                self.read(which);
            }
        }
    }
}

/// A text in JSON, as the log writes it: only what must be escaped is.
fn escaped(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => out.extend(format!("\\u{:04x}", u32::from(c)).chars()),
            c => out.push(c),
        }
    }
    out + "\""
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

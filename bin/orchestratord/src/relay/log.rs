//! The event log of one job.
//!
//! The bytes stand in one piece, and a reader copies what is new to it. Sharing frozen segments instead
//! was tried: a token is some fifty bytes, and the bookkeeping of a segment was twice that. A reader
//! that is at the end leaves its waker under the same lock under which the writer appends, so no
//! wake-up can be lost.
//!
//! A log whose job must survive a crash shows an event only when what has to be known of it is on the disk; what is
//! shown and what is written are two marks in the same bytes.
//!
//! Invariant: ids count up from 0 without a gap, except where a crash took events that may have been read.
//! Invariant: after the terminal event nothing is appended, whoever tries.

use std::{
    future::poll_fn,
    task::{Context, Poll, Waker},
};

use adapter_api::TokenBatch;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use smallvec::SmallVec;

use super::{
    frame::{
        DATA_FRAMING_BYTES, TOKEN_FRAMING_BYTES, decode_last, decode_text, push_data, push_event, push_token,
    },
    ids::Ids,
    stored::{self, Hole, Kind, Part},
};
use crate::sync::{AtomicU64, Mutex, Ordering};

/// The most that a reader takes at once, so that one that is far behind does not hold much.
const READ_BYTES_MAX: usize = 64 * 1024;

/// Where a reader stands: how many bytes of the log it has taken.
#[derive(Debug)]
pub(crate) struct Cursor {
    offset: usize,
    reader: u64,
    detail: Detail,
}

/// How much a reader wants to be told. Ids and order are the same for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What programs need.
    Plain,
    /// With explanations for people.
    Verbose,
}

/// An event that is written at the end of a job.
#[derive(Debug)]
pub(crate) struct LastEvent {
    pub(crate) name: &'static str,
    pub(crate) data: Vec<u8>,
    /// What verbose readers get in its place.
    pub(crate) verbose: Option<Vec<u8>>,
}

/// Where a reader wants to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resume {
    /// With the first event.
    FromStart,
    /// With the event after this id.
    After(u32),
}

/// From when on events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Shown {
    /// As they are written.
    #[default]
    AtOnce,
    /// As far as [`JobLog::show`] says.
    WhenKept,
}

/// What readers have of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) tokens: u32,
}

/// Why a reader cannot start where it wants to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResumeError {
    /// No event has this id yet.
    Future {
        /// The id of the newest event.
        last: Option<u32>,
    },
    /// The log was given up.
    Expired,
}

/// What an event looks like on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Framing {
    /// With its id and its name; a token as JSON.
    #[default]
    Events,
    /// As data alone; a token is a document of the engine's own.
    Data,
}

/// The log. Cheap to append to, cheap to read from, bounded by what its job may say.
#[derive(Debug, Default)]
pub(crate) struct JobLog {
    inner: Mutex<Inner>,
    readers: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    framing: Framing,
    bytes: Vec<u8>,
    ids: Ids,
    /// For each event, the offset at which it ends.
    ends: Vec<u32>,
    /// Tokens of the text, which begins there.
    tokens: u32,
    text_from: usize,
    phase: Phase,
    policy: Shown,
    /// How many events may be read.
    shown: Mark,
    /// The first of the last events, while they are held back.
    held: Mark,
    /// How many events were handed on to be kept.
    kept: usize,
    waiting: SmallVec<[(u64, Waker); 2]>,
    /// What verbose readers get in place of some events: where each starts and ends, and its frame.
    told_more: Vec<ToldMore>,
}

#[derive(Debug)]
struct ToldMore {
    start: usize,
    end: usize,
    frame: Bytes,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    /// The terminal event is in.
    Sealed,
    /// The server goes down, and the job goes on when it comes back.
    Suspended,
    /// The frames are where they were kept.
    Stored(usize),
    /// The frames were given up after their retention.
    Expired,
}

/// A number of events; by default all that there are or will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Mark(usize);

impl Default for Mark {
    fn default() -> Self {
        Self(usize::MAX)
    }
}

impl JobLog {
    pub(crate) fn new(framing: Framing, shown: Shown) -> Self {
        let log = Self::default();
        {
            let mut inner = log.inner.lock();
            inner.framing = framing;
            inner.policy = shown;
            if shown == Shown::WhenKept {
                inner.shown = Mark(0);
            }
        }
        log
    }

    /// The log of an ended job, whose frames are still where they were kept.
    pub(crate) fn stored(bytes: usize) -> Self {
        let log = Self::default();
        log.inner.lock().phase = Phase::Stored(bytes);
        log
    }

    /// A log that was kept, to which a further life of its job may append.
    pub(crate) fn restored(parts: &[Part], next_id: u32) -> Result<Self, Hole> {
        let log = Self::default();
        {
            let mut inner = log.inner.lock();
            for event in stored::events(parts)? {
                if event.id != inner.next_seq() {
                    let index = inner.ends.len();
                    inner.ids.begin(event.id, index);
                }
                inner.bytes.extend_from_slice(event.frame);
                inner.close_event();
                match event.kind {
                    Kind::Token => inner.tokens += 1,
                    Kind::Restart => (inner.text_from, inner.tokens) = (inner.len(), 0),
                    Kind::Other => {}
                }
            }
            let count = inner.ends.len();
            inner.policy = Shown::WhenKept;
            (inner.shown, inner.kept) = (Mark(count), count);
            if next_id > inner.next_seq() {
                inner.ids.begin(next_id, count);
            }
        }
        Ok(log)
    }

    /// The whole log of an ended job, that was kept.
    pub(crate) fn whole_of(parts: &[Part]) -> Result<Self, Hole> {
        let log = Self::restored(parts, 0)?;
        {
            let mut inner = log.inner.lock();
            (inner.phase, inner.shown) = (Phase::Sealed, Mark::default());
        }
        Ok(log)
    }

    /// Lets readers have so many events, and not fewer than before.
    pub(crate) fn show(&self, events: usize) {
        self.change(|inner| inner.shown = inner.shown.max(Mark(events)));
    }

    /// Lets readers have every event but the last ones, which come when they are kept.
    pub(crate) fn show_all(&self) {
        self.show(usize::MAX);
    }

    /// Lets readers have the last events too.
    pub(crate) fn release(&self) {
        self.change(|inner| (inner.shown, inner.held) = Default::default());
    }

    /// Sends readers away without a last event: the job goes on when the server is back.
    pub(crate) fn suspend(&self) {
        self.change(|inner| {
            if inner.phase == Phase::Open {
                inner.phase = Phase::Suspended;
            }
        });
    }

    /// Hands on what is to be kept, if there is anything, under the lock: parts come in their order. The last events
    /// wait for the end of their job: kept without it, they would be followed by others.
    pub(crate) fn keep(&self, hand_on: impl FnOnce(Part)) {
        self.keep_below(|inner| inner.held, hand_on);
    }

    /// Hands on all of it, the last events too, for whoever keeps the end of the job together with them.
    pub(crate) fn keep_all(&self, hand_on: impl FnOnce(Part)) {
        self.keep_below(|_| Mark::default(), hand_on);
    }

    fn keep_below(&self, below: impl FnOnce(&Inner) -> Mark, hand_on: impl FnOnce(Part)) {
        let mut inner = self.inner.lock();
        let Mark(below) = below(&inner);
        let (from, count) = (inner.kept, inner.ends.len().min(below));
        let events = u32::try_from(count.saturating_sub(from)).unwrap_or(u32::MAX);
        if events == 0 {
            return;
        }
        let start = inner.end_of(from);
        let frames = Bytes::copy_from_slice(&inner.bytes[start..inner.end_of(count)]);
        let first_id = inner.ids.newest(from);
        inner.kept = count;
        hand_on(Part { first_id, events, frames });
    }

    /// Whether the frames are somewhere else.
    pub(crate) fn is_stored(&self) -> bool {
        matches!(self.inner.lock().phase, Phase::Stored(_))
    }

    /// The id of the newest event.
    pub(crate) fn last_id(&self) -> Option<u32> {
        let inner = self.inner.lock();
        Some(inner.ids.of_kept(inner.ends.len().checked_sub(1)?))
    }

    /// How many events there are.
    pub(crate) fn events(&self) -> usize {
        self.inner.lock().ends.len()
    }

    /// Appends a token event per piece. False when the log is sealed: nothing was appended.
    pub(crate) fn append_tokens(&self, batch: &TokenBatch) -> bool {
        self.write(|inner| {
            let framing = match inner.framing {
                Framing::Events => TOKEN_FRAMING_BYTES,
                Framing::Data => DATA_FRAMING_BYTES,
            };
            inner.bytes.reserve(batch.text_len() + batch.len() * framing);
            inner.ends.reserve(batch.len());
            for piece in batch.pieces() {
                match inner.framing {
                    Framing::Events => {
                        let seq = inner.next_seq();
                        push_token(&mut inner.bytes, seq, inner.tokens, piece);
                    }
                    Framing::Data => push_data(&mut inner.bytes, piece.text.as_bytes()),
                }
                inner.tokens += 1;
                inner.close_event();
            }
        })
    }

    /// Appends the event behind which the text starts anew. `data` is told the event's id.
    pub(crate) fn restart(&self, event: &str, data: impl FnOnce(u32) -> Vec<u8>) -> bool {
        self.write(|inner| {
            let data = data(inner.next_seq());
            inner.push(event, &data);
            (inner.text_from, inner.tokens) = (inner.len(), 0);
        })
    }

    /// Appends one event. False when the log is sealed: nothing was appended.
    pub(crate) fn append(&self, event: &str, data: &[u8]) -> bool {
        self.write(|inner| inner.push(event, data))
    }

    /// Appends the last events of the job, the terminal one last, and seals the log.
    //= ORCH-2002
    pub(crate) fn seal(&self, events: &[LastEvent]) -> bool {
        self.write(|inner| {
            if inner.policy == Shown::WhenKept {
                inner.held = Mark(inner.ends.len());
            }
            for event in events {
                inner.push_last(event);
            }
            inner.bytes.shrink_to_fit();
            inner.ends.shrink_to_fit();
            inner.phase = Phase::Sealed;
        })
    }

    fn write(&self, append: impl FnOnce(&mut Inner)) -> bool {
        let waiting = {
            let mut inner = self.inner.lock();
            if inner.phase != Phase::Open {
                return false;
            }
            append(&mut inner);
            std::mem::take(&mut inner.waiting)
        };
        for (_, waker) in waiting {
            waker.wake();
        }
        true
    }

    /// Gives up the frames. Readers that are at it get the end of the stream.
    pub(crate) fn expire(&self) {
        self.change(|inner| {
            inner.phase = Phase::Expired;
            inner.bytes = Vec::new();
            inner.ends = Vec::new();
            inner.told_more = Vec::new();
        });
    }

    /// Changes what readers can have.
    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let waiting = {
            let mut inner = self.inner.lock();
            change(&mut inner);
            std::mem::take(&mut inner.waiting)
        };
        for (_, waker) in waiting {
            waker.wake();
        }
    }

    /// A new reader.
    pub(crate) fn open(&self, resume: Resume, detail: Detail) -> Result<Cursor, ResumeError> {
        let inner = self.inner.lock();
        if inner.phase == Phase::Expired {
            return Err(ResumeError::Expired);
        }
        let offset = match resume {
            Resume::FromStart => 0,
            Resume::After(id) => {
                let shown = inner.shown();
                match inner.ids.after(id, shown) {
                    Some(index) => inner.end_of(index),
                    None if shown == 0 => return Err(ResumeError::Future { last: None }),
                    None => return Err(ResumeError::Future { last: Some(inner.ids.of_kept(shown - 1)) }),
                }
            }
        };
        Ok(Cursor { offset, reader: self.readers.fetch_add(1, Ordering::Relaxed), detail })
    }

    /// The next bytes for this reader. `None` after the last ones.
    pub(crate) fn poll_read(&self, cursor: &mut Cursor, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut inner = self.inner.lock();
        if inner.phase == Phase::Expired {
            return Poll::Ready(None);
        }
        let shown = inner.shown_len();
        if cursor.offset < shown {
            return Poll::Ready(Some(inner.read(cursor, shown)));
        }
        if inner.phase == Phase::Suspended || (inner.phase == Phase::Sealed && shown == inner.len()) {
            return Poll::Ready(None);
        }
        match inner.waiting.iter_mut().find(|(reader, _)| *reader == cursor.reader) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => inner.waiting.push((cursor.reader, cx.waker().clone())),
        }
        Poll::Pending
    }

    /// Forgets a reader that waits.
    pub(crate) fn close(&self, cursor: &Cursor) {
        self.inner.lock().waiting.retain(|(reader, _)| *reader != cursor.reader);
    }

    /// All that is said, once nothing more will be.
    pub(crate) async fn whole(&self, mut cursor: Cursor) -> Vec<u8> {
        let mut whole = Vec::new();
        while let Some(bytes) = poll_fn(|cx| self.poll_read(&mut cursor, cx)).await {
            whole.extend_from_slice(&bytes);
        }
        whole
    }

    /// The text so far; `None` once it was given up.
    pub(crate) fn said(&self) -> Option<Said> {
        let (frames, tokens) = {
            let inner = self.inner.lock();
            (inner.frames_from(inner.text_from)?, inner.tokens)
        };
        Some(Said { text: decode_text(&frames), tokens })
    }

    /// The data of the last event; `None` once it was given up, or when it does not fit.
    pub(crate) fn last_event<T: DeserializeOwned>(&self) -> Option<T> {
        let frames = {
            let inner = self.inner.lock();
            inner.frames_from(inner.last_start())?
        };
        decode_last(&frames)
    }

    /// All frames so far; `None` once they were given up.
    pub(crate) fn frames(&self) -> Option<Bytes> {
        self.inner.lock().frames_from(0)
    }

    /// How many bytes the log holds.
    pub(crate) fn len(&self) -> usize {
        self.inner.lock().len()
    }

    /// How many tokens the text has.
    pub(crate) fn tokens(&self) -> u32 {
        self.inner.lock().tokens
    }
}

impl Inner {
    fn next_seq(&self) -> u32 {
        self.ids.newest(self.ends.len())
    }

    fn len(&self) -> usize {
        match self.phase {
            Phase::Stored(bytes) => bytes,
            _ => self.bytes.len(),
        }
    }

    /// How many events readers may have now.
    fn shown(&self) -> usize {
        let Mark(shown) = self.shown.min(self.held);
        shown.min(self.ends.len())
    }

    /// How many bytes readers may have now.
    fn shown_len(&self) -> usize {
        self.end_of(self.shown())
    }

    /// Where the first `events` events end.
    fn end_of(&self, events: usize) -> usize {
        events.checked_sub(1).and_then(|index| self.ends.get(index)).map_or(0, |end| *end as usize)
    }

    /// A copy of the frames from `start` on.
    fn frames_from(&self, start: usize) -> Option<Bytes> {
        let here = !matches!(self.phase, Phase::Expired | Phase::Stored(_));
        here.then(|| Bytes::copy_from_slice(&self.bytes[start..]))
    }

    /// Where the last event starts.
    fn last_start(&self) -> usize {
        self.ends.iter().rev().nth(1).map_or(0, |end| *end as usize)
    }

    fn push(&mut self, event: &str, data: &[u8]) {
        match self.framing {
            Framing::Events => {
                let seq = self.next_seq();
                push_event(&mut self.bytes, seq, event, data);
            }
            Framing::Data => push_data(&mut self.bytes, data),
        }
        self.close_event();
    }

    fn push_last(&mut self, event: &LastEvent) {
        let (seq, start) = (self.next_seq(), self.len());
        self.push(event.name, &event.data);
        if let Some(data) = &event.verbose {
            let mut frame = Vec::new();
            push_event(&mut frame, seq, event.name, data);
            self.told_more.push(ToldMore { start, end: self.len(), frame: frame.into() });
        }
    }

    /// The next bytes for a cursor that is not at the end.
    fn read(&self, cursor: &mut Cursor, shown: usize) -> Bytes {
        let mut end = shown.min(cursor.offset + READ_BYTES_MAX);
        if cursor.detail == Detail::Verbose
            && let Some(more) = self.told_more.iter().find(|more| more.end > cursor.offset)
        {
            if more.start <= cursor.offset {
                cursor.offset = more.end;
                return more.frame.clone();
            }
            end = end.min(more.start);
        }
        let bytes = Bytes::copy_from_slice(&self.bytes[cursor.offset..end]);
        cursor.offset = end;
        bytes
    }

    fn close_event(&mut self) {
        let end = u32::try_from(self.len()).unwrap_or(u32::MAX);
        self.ends.push(end);
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
#[path = "log_tests.rs"]
mod tests;

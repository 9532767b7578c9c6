//! One task as its clients know it: what was asked, what was answered, every event that anybody saw.

use std::{collections::BTreeMap, fmt};

use serde_json::json;

use super::{dice::Dice, engine, frames::Frame};
use crate::load::DEFAULT_MODEL;

/// A promise that was not kept, told so that it can be looked into.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Breach(pub(crate) String);

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BREACH: {}", self.0)
    }
}

impl std::error::Error for Breach {}

/// What was asked of a task.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) id: String,
    pub(crate) salt: u32,
    pub(crate) tokens: u32,
    pub(crate) body: String,
    pub(crate) promise: Promise,
}

/// Whether a task has to outlive its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promise {
    Kept,
    MemoryOnly,
}

impl Asked {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let (id, salt) = (dice.uuid(), dice.below(100_000));
        // Some last longer than the time between two kills.
        let tokens = if dice.happens(8) { 150 + dice.below(100) } else { 1 + dice.below(40) };
        let mut body = json!({
            "task_id": id, "model_ref": DEFAULT_MODEL, "prompt": engine::prompt(salt), "max_tokens": tokens,
            "priority": if dice.happens(50) { "batch" } else { "interactive" },
        });
        if let Some(way) = dice.pick(&[None, Some("restart"), Some("continue")]).flatten() {
            body["on_engine_loss"] = way.into();
            body["determinism"] = "best_effort".into();
        }
        let promise = if dice.happens(8) { Promise::MemoryOnly } else { Promise::Kept };
        if promise == Promise::MemoryOnly {
            body["durability"] = "memory".into();
        }
        Self { id, salt, tokens, body: body.to_string(), promise }
    }
}

/// What was answered to a cancel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Cancel {
    #[default]
    Unanswered,
    /// 204.
    Done,
    /// 409: it had ended otherwise.
    TooLate,
}

/// How a task stands between its clients and the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody knows whether it came in.
    #[default]
    Unanswered,
    /// Its 202, or its 200, was received.
    Accepted,
    /// It went with its server, as it was allowed to.
    GivenUp,
}

/// A task, and all that is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) asked: Asked,
    pub(crate) standing: Standing,
    /// How many times it was answered with 202.
    pub(crate) fresh: u32,
    pub(crate) cancel: Cancel,
    /// The state that a view has shown at the end.
    pub(crate) over: Option<String>,
    /// Each event that any reader ever saw.
    pub(crate) seen: BTreeMap<u32, Box<[u8]>>,
    /// The id of the last event, once anybody saw it.
    pub(crate) terminal: Option<u32>,
}

impl Task {
    pub(crate) fn new(asked: Asked) -> Self {
        Self {
            asked,
            standing: Standing::Unanswered,
            fresh: 0,
            cancel: Cancel::Unanswered,
            over: None,
            seen: BTreeMap::new(),
            terminal: None,
        }
    }

    /// Whether it is accepted and nobody has seen its end.
    pub(crate) fn is_open(&self) -> bool {
        self.standing == Standing::Accepted && self.terminal.is_none()
    }

    /// An answer to its submission; `before` is how it stood when the request went out.
    pub(crate) fn answered(
        &mut self,
        status: u16,
        job_id: Option<&str>,
        before: Standing,
    ) -> Result<(), Breach> {
        if job_id != Some(self.asked.id.as_str()) {
            return Err(self.breach(&format!("the answer {status} names another job, {job_id:?}")));
        }
        self.fresh += u32::from(status == 202);
        if status == 202 && (before == Standing::Accepted || self.fresh > 1) {
            return Err(self.breach("a duplicate: it was accepted again with 202 after it had been accepted"));
        }
        self.standing = Standing::Accepted;
        Ok(())
    }

    /// A reader got an event; `last` is the id of the one that it got before.
    pub(crate) fn saw(&mut self, last: Option<u32>, frame: &Frame) -> Result<(), Breach> {
        let shown = || frame.shown();
        if last.is_some_and(|last| frame.id <= last) {
            return Err(self.breach(&format!("a reader got {} behind the event {last:?}", shown())));
        }
        if let Some(known) = self.seen.get(&frame.id).filter(|known| **known != frame.bytes) {
            let known = String::from_utf8_lossy(known);
            return Err(self.breach(&format!("one id with two events: {} was {known:?}", shown())));
        }
        match self.terminal {
            Some(terminal) if frame.id > terminal || (frame.is_terminal() && frame.id != terminal) => {
                return Err(self.breach(&format!("a reader got {} though {terminal} was the last", shown())));
            }
            None if frame.is_terminal() => self.terminal = Some(frame.id),
            _ => {}
        }
        self.seen.entry(frame.id).or_insert_with(|| frame.bytes.clone());
        Ok(())
    }

    /// An answer to a cancel.
    pub(crate) fn cancel_answered(&mut self, answer: Cancel) -> Result<(), Breach> {
        if self.cancel != Cancel::Unanswered && self.cancel != answer {
            return Err(self.breach(&format!("a cancel was answered {:?}, then {answer:?}", self.cancel)));
        }
        self.cancel = answer;
        Ok(())
    }

    /// A view showed this state.
    pub(crate) fn viewed(&mut self, state: &str) -> Result<(), Breach> {
        if let Some(over) = self.over.as_deref().filter(|over| *over != state) {
            return Err(self.breach(&format!("it was shown as {over}, then as {state}")));
        }
        if matches!(state, "completed" | "canceled" | "failed") {
            self.over = Some(state.to_owned());
        }
        Ok(())
    }

    /// The breach, and what is known of the task.
    pub(crate) fn breach(&self, what: &str) -> Breach {
        let Self { asked, standing, fresh, cancel, over, terminal, .. } = self;
        let ids: Vec<_> = self.seen.keys().copied().collect();
        let spans = spans(&ids);
        Breach(format!(
            "task {}: {what}\n  body {}\n  {standing:?}, 202s {fresh}, cancel {cancel:?}, shown as {over:?}, \
             terminal {terminal:?}, ids seen {spans}",
            asked.id, asked.body
        ))
    }
}

/// Numbers in a row, shortly.
pub(crate) fn spans(ids: &[u32]) -> String {
    let mut spans: Vec<(u32, u32)> = Vec::new();
    for &id in ids {
        match spans.last_mut() {
            Some((_, end)) if *end + 1 == id => *end = id,
            _ => spans.push((id, id)),
        }
    }
    spans.iter().map(|(start, end)| format!("{start}-{end}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: u32, name: &str, data: &str) -> Frame {
        let bytes = format!("id: {id}\nevent: {name}\ndata: {data}\n\n").into_bytes().into();
        Frame { id, bytes }
    }

    fn task() -> Task {
        Task::new(Asked::new(&mut Dice::new(1)))
    }

    #[test]
    fn one_id_has_one_event() {
        let mut task = task();
        task.saw(None, &frame(0, "started", "{}")).unwrap();
        task.saw(None, &frame(0, "started", "{}")).unwrap();
        let error = task.saw(None, &frame(0, "started", "{\"a\":1}")).unwrap_err();
        assert!(error.0.contains("one id with two events"), "{error}");
    }

    #[test]
    fn ids_of_a_reader_rise() {
        let mut task = task();
        task.saw(Some(3), &frame(4, "token", "{}")).unwrap();
        task.saw(Some(4), &frame(4, "token", "{}")).unwrap_err();
    }

    #[test]
    fn nothing_comes_behind_the_end_and_there_is_no_second_one() {
        let mut task = task();
        task.saw(None, &frame(5, "end", "{}")).unwrap();
        task.saw(None, &frame(4, "metrics", "{}")).unwrap();
        task.saw(Some(5), &frame(6, "token", "{}")).unwrap_err();
        task.saw(None, &frame(3, "error", "{}")).unwrap_err();
    }

    #[test]
    fn a_second_202_is_a_duplicate_and_an_overtaken_one_is_not() {
        let mut one = task();
        let id = one.asked.id.clone();
        one.answered(202, Some(&id), Standing::Unanswered).unwrap();
        one.answered(200, Some(&id), Standing::Accepted).unwrap();
        assert!(one.answered(202, Some(&id), Standing::Unanswered).unwrap_err().0.contains("duplicate"));
        let mut two = task();
        two.answered(200, Some(&id), Standing::Unanswered).unwrap();
        two.answered(202, Some(&id), Standing::Unanswered).unwrap();
        let mut three = task();
        three.answered(200, Some(&id), Standing::Unanswered).unwrap();
        three.answered(202, Some(&id), Standing::Accepted).unwrap_err();
        task().answered(202, Some("other"), Standing::Unanswered).unwrap_err();
    }

    #[test]
    fn answers_do_not_change_their_mind() {
        let mut task = task();
        task.cancel_answered(Cancel::Done).unwrap();
        task.cancel_answered(Cancel::TooLate).unwrap_err();
        task.viewed("running").unwrap();
        task.viewed("canceled").unwrap();
        task.viewed("running").unwrap_err();
    }

    #[test]
    fn spans_are_short() {
        assert_eq!(spans(&[0, 1, 2, 7, 9, 10]), "0-2 7-7 9-10");
    }
}

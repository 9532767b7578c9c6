//! What of a relayed event matters to the relay.
//!
//! It is read in one of two ways: by a scanner, which takes events as engines nearly always write them, or by the
//! parser, which takes all that fit and says of the rest that they do not.

use adapter_api::{AdapterError, FinishReason};
use serde::Deserialize;

use super::{
    refusal::failure,
    wire::{Seen, SeenDelta, Timings, Usage},
};
use crate::scan::{Member, Scanner};

/// No delta of an engine has more members.
const DELTA_MEMBERS_MAX: usize = 8;

/// What of a relayed event matters.
#[derive(Debug, Default)]
pub(super) struct Summary<'a> {
    /// How many answers end with it.
    pub(super) ended: u32,
    /// Why the last of those ended.
    pub(super) reason: Option<FinishReason>,
    /// How many answers it has a part of.
    pub(super) choices: usize,
    pub(super) usage: Option<Usage>,
    /// The engine's own time, in milliseconds.
    pub(super) decode_ms: Option<f64>,
    /// Whether it says something; `None` where that was not looked at.
    pub(super) says: Option<Says>,
    /// The only thing that it says, where that is a text in which nothing is escaped. The parser does not tell.
    pub(super) lone_text: Option<&'a str>,
}

/// Whether an event is more than the announcement of a speaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    Something,
    Nothing,
}

impl<'a> Summary<'a> {
    /// Reads an event of the usual kind. `None` for any other, and for one that is an error.
    pub(super) fn scanned(event: &'a str) -> Option<Self> {
        let mut choices = Member::default();
        let (mut usage, mut timings) = (Member::default(), Member::default());
        let mut error = Member::<()>::default();
        Scanner::read(event, |scanner| {
            scanner.object(|name, scanner| match name {
                "choices" => choices.read(scanner, Choices::scanned),
                "usage" => usage.read_unless_null(scanner, Usage::scanned),
                "timings" => timings.read_unless_null(scanner, Timings::scanned),
                "error" => error.read_unless_null(scanner, |_| None),
                _ => scanner.skip(),
            })
        })?;
        let (choices, usage, timings) = (choices.value(), usage.value(), timings.value());
        let says = match &choices {
            Some(choices) if choices.said == Says::Nothing && choices.ended == 0 => Says::Nothing,
            _ => Says::Something,
        };
        let choices = choices.unwrap_or_default();
        let alone = choices.count == 1 && choices.ended == 0 && usage.is_none() && timings.is_none();
        Some(Self {
            ended: choices.ended,
            reason: choices.reason,
            choices: choices.count,
            usage,
            decode_ms: timings.and_then(|timings| timings.predicted_ms),
            says: Some(says),
            lone_text: choices.text.filter(|_| alone),
        })
    }

    /// Reads any event.
    pub(super) fn parsed(event: &[u8]) -> Result<Self, AdapterError> {
        let seen: Seen<'_> = serde_json::from_slice(event)
            .map_err(|_json| AdapterError::Protocol { what: "an event is not JSON that fits".to_owned() })?;
        if let Some(error) = &seen.error {
            return Err(failure(error));
        }
        let mut summary = Self { choices: seen.choices.len(), ..Self::default() };
        for choice in &seen.choices {
            match Ending::of(choice.finish_reason.as_deref()) {
                Ending::None => {}
                Ending::Aborted => return Err(AdapterError::Lost),
                Ending::Good(reason) => summary.end(reason),
            }
        }
        if summary.ended > 0 {
            summary.says = Some(Says::Something);
        }
        summary.usage = seen.usage;
        summary.decode_ms = seen.timings.and_then(|timings| timings.predicted_ms);
        Ok(summary)
    }

    fn end(&mut self, reason: FinishReason) {
        self.ended = self.ended.saturating_add(1);
        self.reason = Some(reason);
    }
}

/// What the parts of answers in one event say.
struct Choices<'a> {
    count: usize,
    ended: u32,
    reason: Option<FinishReason>,
    said: Says,
    /// The text of the last part, if that says only a text.
    text: Option<&'a str>,
}

impl Default for Choices<'_> {
    fn default() -> Self {
        Self { count: 0, ended: 0, reason: None, said: Says::Nothing, text: None }
    }
}

impl<'a> Choices<'a> {
    fn scanned(scanner: &mut Scanner<'a>) -> Option<Self> {
        let mut choices = Self::default();
        scanner.array(|scanner| choices.add(scanner))?;
        Some(choices)
    }

    fn add(&mut self, scanner: &mut Scanner<'a>) -> Option<()> {
        let (mut finish_reason, mut text, mut delta) =
            (Member::default(), Member::default(), Member::default());
        scanner.object(|name, scanner| match name {
            "finish_reason" => finish_reason.read_unless_null(scanner, Scanner::string_as_written),
            "text" => text.read_unless_null(scanner, Scanner::raw),
            "delta" => delta.read(scanner, Delta::scanned),
            _ => scanner.skip(),
        })?;
        let (text, delta) = (text.value(), delta.value().unwrap_or_default());
        self.count += 1;
        if delta.says_more || says_something(delta.content) || says_something(text) {
            self.said = Says::Something;
        }
        self.text = match (text, delta.content) {
            (Some(text), None) | (None, Some(text)) => unescaped(text),
            _ => None,
        };
        match Ending::of(finish_reason.value()) {
            Ending::None => {}
            // An error, which is for the parser to tell.
            Ending::Aborted => return None,
            Ending::Good(reason) => {
                self.ended = self.ended.saturating_add(1);
                self.reason = Some(reason);
            }
        }
        Some(())
    }
}

/// What a message grows by.
#[derive(Default)]
struct Delta<'a> {
    /// As it is written; `None` for `null`.
    content: Option<&'a str>,
    /// Whether there is more than the content and the speaker.
    says_more: bool,
}

impl<'a> Delta<'a> {
    fn scanned(scanner: &mut Scanner<'a>) -> Option<Self> {
        let mut delta = Self::default();
        let mut names = [""; DELTA_MEMBERS_MAX];
        let mut count = 0;
        scanner.object(|name, scanner| {
            // To the parser, the last one of a name counts.
            if names.iter().take(count).any(|known| *known == name) {
                return None;
            }
            *names.get_mut(count)? = name;
            count += 1;
            let value = Some(scanner.raw()?).filter(|value| *value != "null");
            match name {
                "content" => delta.content = value,
                "role" => {}
                _ => delta.says_more |= says_something(value),
            }
            Some(())
        })?;
        Some(delta)
    }
}

/// Whether a value, as it is written, is there and no empty text.
fn says_something(value: Option<&str>) -> bool {
    value.is_some_and(|value| value != "\"\"")
}

/// The inside of a string in which nothing is escaped.
fn unescaped(value: &str) -> Option<&str> {
    let inside = value.strip_prefix('"')?.strip_suffix('"')?;
    (!inside.contains('\\')).then_some(inside)
}

/// What a finish reason says.
enum Ending {
    None,
    /// The engine was told to stop, and the answer is only a part.
    Aborted,
    Good(FinishReason),
}

impl Ending {
    fn of(reason: Option<&str>) -> Self {
        match reason {
            None | Some("") => Self::None,
            Some("abort") => Self::Aborted,
            Some("length") => Self::Good(FinishReason::Length),
            // Whatever else it says is for the client to judge.
            Some(_) => Self::Good(FinishReason::Stop),
        }
    }
}

/// Whether an event in which no answer ends says something, by the parser.
pub(super) fn said_by_the_parser(event: &[u8]) -> Says {
    #[derive(Deserialize)]
    struct Deltas<'a> {
        #[serde(borrow)]
        choices: Vec<SeenDelta<'a>>,
    }
    let deltas = serde_json::from_slice::<Deltas<'_>>(event);
    let silent = deltas.is_ok_and(|deltas| deltas.choices.iter().all(SeenDelta::is_silent));
    if silent { Says::Nothing } else { Says::Something }
}

#[cfg(test)]
mod tests;

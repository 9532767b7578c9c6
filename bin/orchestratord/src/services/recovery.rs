//! How a job goes on whose engine was lost after readers have seen tokens.
//!
//! The scheduler only tries again what its client allows to be tried again; here it is decided how. Text
//! that readers have is never taken back silently: it starts anew behind an event that says so, or it is
//! gone on with. Going on is exact when another engine says the same from the start, which is checked
//! byte by byte before a new one is let through; else it is a good continuation, and the end says that.

use adapter_api::{
    AdapterError, Finish, FinishReason, Generate, GoesOnWith, Input, Prompt, TokenBatch, Usage, Work,
    WorkOrder,
};
use api_types::{ErrorBody, Recovery, RecoveryMode};

use super::job::{JobEntry, OnEngineLoss};
use crate::relay::Said;

/// What an attempt has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Readers have no tokens yet.
    Fresh,
    /// Readers forget what they have.
    Restart,
    /// The engine has to say this again, which is checked, and goes on.
    Replay(Said),
    /// The engine goes on behind this.
    Continue(Said),
}

impl Plan {
    //= ORCH-3030
    pub(super) fn of(entry: &JobEntry) -> Self {
        let said = match entry.log.said() {
            Some(said) if said.tokens > 0 => said,
            // Readers may have what a crash took.
            Some(_) if entry.has_spoken() && entry.facts.on_engine_loss == OnEngineLoss::Restart => {
                return Self::Restart;
            }
            _ => return Self::Fresh,
        };
        let inexact = entry.status().recovery.is_some_and(|recovery| !recovery.exact);
        match entry.facts.on_engine_loss {
            // The scheduler tries no such job again once it has tokens.
            OnEngineLoss::Fail => Self::Fresh,
            OnEngineLoss::Restart => Self::Restart,
            OnEngineLoss::Replay if !inexact => Self::Replay(said),
            OnEngineLoss::Replay | OnEngineLoss::Continue => Self::Continue(said),
        }
    }

    /// What readers are told of it.
    pub(super) fn recovery(&self) -> Option<Recovery> {
        let (mode, exact) = match self {
            Self::Fresh => return None,
            Self::Restart => (RecoveryMode::Restart, true),
            Self::Replay(_) => (RecoveryMode::Replay, true),
            Self::Continue(_) => (RecoveryMode::Continue, false),
        };
        Some(Recovery { mode, exact })
    }

    /// Tokens that readers keep.
    pub(super) fn tokens_kept(&self) -> u32 {
        match self {
            Self::Fresh | Self::Restart => 0,
            Self::Replay(said) | Self::Continue(said) => said.tokens,
        }
    }
}

/// What is to be done to go on behind a text.
#[derive(Debug)]
pub(super) enum Next {
    /// An engine gets this.
    Order(WorkOrder),
    /// All is said that may be said.
    End(Finish),
    /// This engine cannot be told to go on.
    Nothing,
}

pub(super) fn going_on(order: &WorkOrder, said: &Said, can: GoesOnWith) -> Next {
    let Work::Generate(generate) = &order.work else { return Next::Nothing };
    let left = generate.max_tokens.saturating_sub(said.tokens);
    if left == 0 {
        let usage = Usage { prompt: 0, generated: said.tokens, cached: None };
        return Next::End(Finish { reason: FinishReason::Length, usage, ..Finish::default() });
    }
    if matches!((&generate.input, can), (Input::Chat(_), GoesOnWith::Text)) {
        return Next::Nothing;
    }
    let so_far = Some(Prompt::new(said.text.as_str()));
    let work = Work::Generate(Generate { so_far, max_tokens: left, ..generate.clone() });
    Next::Order(WorkOrder { work, ..order.clone() })
}

/// What the engine counted, as if it had said everything itself.
pub(super) fn with_said(mut finish: Finish, said: &Said) -> Finish {
    finish.usage.prompt = finish.usage.prompt.saturating_sub(said.tokens);
    finish.usage.generated = finish.usage.generated.saturating_add(said.tokens);
    finish
}

/// Why a stream gave no answer.
#[derive(Debug)]
pub(super) enum Broken {
    /// The engine failed.
    Engine(AdapterError),
    /// The engine says something else than what readers have.
    Differs,
    /// The engine cannot be told to go on behind what readers have.
    CannotGoOn,
    /// Its model may not be used.
    Unfit(Box<ErrorBody>),
}

impl From<AdapterError> for Broken {
    fn from(error: AdapterError) -> Self {
        Self::Engine(error)
    }
}

/// Holds what an engine says against what readers have.
#[derive(Debug)]
pub(super) struct Check {
    text: String,
    matched: usize,
}

impl Check {
    pub(super) fn new(said: Said) -> Self {
        Self { text: said.text, matched: 0 }
    }

    /// Whether readers have nothing that the engine has not said again.
    pub(super) fn is_done(&self) -> bool {
        self.matched == self.text.len()
    }

    /// What of `batch` readers do not have yet.
    pub(super) fn beyond(&mut self, batch: &TokenBatch) -> Result<TokenBatch, Broken> {
        let mut beyond = TokenBatch::new();
        for piece in batch.pieces() {
            let expected = &self.text.as_bytes()[self.matched..];
            let same = expected.len().min(piece.text.len());
            if piece.text.as_bytes()[..same] != expected[..same] {
                return Err(Broken::Differs);
            }
            self.matched += same;
            // What readers have is whole characters, so this is a boundary.
            if let Some(rest) = piece.text.get(same..).filter(|rest| !rest.is_empty()) {
                beyond.push(rest);
            }
        }
        Ok(beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(texts: &[&str]) -> TokenBatch {
        let mut batch = TokenBatch::new();
        for text in texts {
            batch.push(text);
        }
        batch
    }

    fn said(text: &str, tokens: u32) -> Said {
        Said { text: text.to_owned(), tokens }
    }

    fn texts(batch: &TokenBatch) -> Vec<&str> {
        batch.pieces().map(|piece| piece.text).collect()
    }

    #[test]
    fn only_what_is_beyond_the_same_text_passes_however_it_is_cut() {
        let mut check = Check::new(said("one zwei 三", 3));
        assert!(texts(&check.beyond(&batch(&["on", "e zw"])).unwrap()).is_empty());
        assert!(!check.is_done());
        assert_eq!(texts(&check.beyond(&batch(&["ei", " 三 four", " five"])).unwrap()), [" four", " five"]);
        assert!(check.is_done());
        assert_eq!(texts(&check.beyond(&batch(&[" six"])).unwrap()), [" six"]);
    }

    #[test]
    fn another_text_is_noticed_at_its_first_byte() {
        let mut check = Check::new(said("one two", 2));
        assert!(check.beyond(&batch(&["one", " t"])).is_ok());
        assert!(matches!(check.beyond(&batch(&["o"])), Err(Broken::Differs)));
        // The same first byte of another character is another character.
        let mut check = Check::new(said("é", 1));
        assert!(matches!(check.beyond(&batch(&["è"])), Err(Broken::Differs)));
    }

    fn order(input: Input) -> WorkOrder {
        WorkOrder {
            request_id: "r".into(),
            model: "m".into(),
            work: Work::Generate(Generate::from(input, 8)),
            trace: None,
        }
    }

    #[test]
    fn an_order_to_go_on_asks_for_the_tokens_that_are_left() {
        let order = order(Input::text("Count:"));
        let Next::Order(WorkOrder { work: Work::Generate(on), .. }) =
            going_on(&order, &said(" 1 2 3", 3), GoesOnWith::Text)
        else {
            panic!("no order")
        };
        assert_eq!((on.max_tokens, on.so_far), (5, Some(Prompt::new(" 1 2 3"))));
        let Next::End(end) = going_on(&order, &said("all", 8), GoesOnWith::Text) else { panic!("no end") };
        assert_eq!((end.reason, end.usage.generated), (FinishReason::Length, 8));
    }

    #[test]
    fn an_engine_that_cannot_go_on_in_a_conversation_is_not_asked_to() {
        let order = order(Input::Chat(Vec::new()));
        let next = |can| going_on(&order, &said("Hel", 1), can);
        assert!(matches!(next(GoesOnWith::Text), Next::Nothing));
        assert!(matches!(next(GoesOnWith::TextAndChat), Next::Order(_)));
    }

    #[test]
    fn counts_are_those_of_one_answer() {
        let usage = Usage { prompt: 13, generated: 5, cached: None };
        let finish = with_said(Finish { usage, ..Finish::default() }, &said(" 1 2 3", 3));
        assert_eq!((finish.usage.prompt, finish.usage.generated), (10, 8));
    }
}

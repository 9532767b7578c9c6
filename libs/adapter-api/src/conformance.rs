//! The suite that every adapter runs as its one mandatory test.
//!
//! The code above the seam trusts an adapter blindly: it relays what comes, counts on one end, and
//! frees a slot when it drops a stream. So each of those promises is checked here, once for all
//! engines. An adapter brings a [`Harness`]: its engine, made to behave in a given way. A broken
//! promise panics with a sentence that names it.

mod check;
mod listen;
#[cfg(test)]
mod tests;

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;

use crate::{FinishReason, Generate, Input, Sampling, Work, WorkOrder, WorkerAdapter};

/// The prompt of every order of the suite. No error and no adapter may ever show it.
pub const PROMPT: &str = "conformance-prompt-4b1d: tell me nothing";
/// The API key that a harness gives to its adapter. No error and no adapter may ever show it.
pub const API_KEY: &str = "conformance-key-93c7";
/// The token limit of every order of the suite.
pub const MAX_TOKENS: u32 = 6;

/// How the engine behind an adapter behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Sends its texts and ends well.
    Good,
    /// Sends texts that need escaping on nearly every wire.
    Escapes,
    /// Sends a text whose characters are cut between two events, where its wire can do so.
    CutCharacters,
    /// Stops because the token limit was reached.
    Limit,
    /// Ends well, then goes on with another text and another end.
    TalksOn,
    /// Takes the work and breaks the connection before a token.
    DiesBeforeFirstToken,
    /// Breaks the connection after its texts.
    DiesAfterTokens,
    /// Ends its answer properly after its texts, but without the mark of a good end.
    EndsWithoutMarker,
    /// Sends something that its own protocol does not allow after its texts, and stays.
    Garbage,
    /// Sends a line without an end after its texts: more than any buffer should hold.
    EndlessLine,
    /// Sends its texts, then nothing more, with the connection open.
    Stalls,
    /// Says that the request is wrong.
    Refuses,
    /// Says that it has no room.
    Busy,
    /// Says that its model is still loading.
    Loading,
}

impl Behaviour {
    /// All of them, in the order in which they are checked.
    pub const ALL: [Self; 14] = [
        Self::Good,
        Self::Escapes,
        Self::CutCharacters,
        Self::Limit,
        Self::TalksOn,
        Self::DiesBeforeFirstToken,
        Self::DiesAfterTokens,
        Self::EndsWithoutMarker,
        Self::Garbage,
        Self::EndlessLine,
        Self::Stalls,
        Self::Refuses,
        Self::Busy,
        Self::Loading,
    ];

    /// The texts that a scripted engine sends, one token each. An engine that makes up its own says so
    /// in [`Harness::texts`].
    pub fn texts(self) -> &'static [&'static str] {
        match self {
            Self::Good | Self::TalksOn => &[" one", " two", " three"],
            Self::Escapes => &[
                "\"quoted\"",
                "back\\slash \\n \\u0041",
                "line\r\nline\rline\n",
                "nul\0bell\u{7}",
                "\u{2028}\u{2029}",
                "data: 😀\n\n",
            ],
            Self::CutCharacters => &["a", "é日😀", "z"],
            Self::Limit => &[" 1", " 2", " 3", " 4", " 5", " 6"],
            Self::DiesAfterTokens | Self::EndsWithoutMarker => &[" one", " two"],
            Self::Garbage | Self::EndlessLine | Self::Stalls => &[" one"],
            Self::DiesBeforeFirstToken | Self::Refuses | Self::Busy | Self::Loading => &[],
        }
    }

    /// How a good answer ends; `None` when this behaviour is not one.
    pub fn finish(self) -> Option<FinishReason> {
        match self {
            Self::Good | Self::Escapes | Self::CutCharacters | Self::TalksOn => Some(FinishReason::Stop),
            Self::Limit => Some(FinishReason::Length),
            _ => None,
        }
    }
}

/// An engine that can be made to behave, and the adapter that speaks with it.
#[async_trait]
pub trait Harness: Debug + Send + Sync {
    /// An adapter whose engine treats the next order in this way. It holds [`API_KEY`] if it can hold one.
    async fn adapter(&self, behaviour: Behaviour) -> Arc<dyn WorkerAdapter>;

    /// Whether its engine can behave so.
    fn can_show(&self, behaviour: Behaviour) -> bool;

    /// Whether the engine of the adapter that was made last works on an order now.
    async fn is_generating(&self) -> bool;

    /// The texts that its engine sends, one token each.
    fn texts(&self, behaviour: Behaviour) -> Vec<String> {
        behaviour.texts().iter().map(|text| (*text).to_owned()).collect()
    }

    /// How a good answer of its engine ends.
    fn finish(&self, behaviour: Behaviour) -> Option<FinishReason> {
        behaviour.finish()
    }

    /// Whether the adapter itself gives up on an engine that has gone silent, within seconds. If not,
    /// a stalled stream must wait for ever, since its caller has a clock of its own.
    fn watches_silence(&self) -> bool {
        true
    }
}

/// Runs every check that the harness can show.
///
/// # Panics
/// When the adapter breaks a rule of the seam; the message names the rule and the behaviour.
pub async fn run(harness: &dyn Harness) {
    let mut shown = 0;
    for behaviour in Behaviour::ALL {
        if harness.can_show(behaviour) {
            check::behaviour(harness, behaviour).await;
            shown += 1;
        }
    }
    check::rule(shown > 0, "a harness must show at least one behaviour", Behaviour::Good, harness);
    check::rule(
        harness.can_show(Behaviour::Good),
        "a harness must show a good answer",
        Behaviour::Good,
        harness,
    );
}

/// The order that every check submits.
fn order() -> Arc<WorkOrder> {
    Arc::new(WorkOrder {
        request_id: "conformance-1".into(),
        model: "conformance".into(),
        work: Work::Generate(Generate {
            sampling: Sampling { seed: Some(7), ..Sampling::default() },
            ..Generate::from(Input::text(PROMPT), MAX_TOKENS)
        }),
        trace: None,
    })
}

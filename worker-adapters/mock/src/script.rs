//! What goes wrong with one answer of the mock.

use std::time::Duration;

/// A way to fail. Each is taken by one submit.
//= ORCH-3058
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// Nothing: as without a script.
    Good,
    /// Says that the request is wrong.
    Refuse,
    /// Says that it has no room.
    Busy,
    /// Cannot be reached.
    Unreachable,
    /// Dies after so many tokens, without an end.
    DieAfter(u32),
    /// Says something that its dialect does not allow, after so many tokens.
    GarbageAfter(u32),
    /// Says nothing more after so many tokens.
    StallAfter(u32),
    /// Takes this long for each token, so that it is never idle and never done.
    Trickle(Duration),
    /// Goes on for ever, whatever was asked.
    TooMany,
    /// Keeps its slot for so long after its stream was dropped, as an engine that overlooks a cancel.
    IgnoreCancel(Duration),
}

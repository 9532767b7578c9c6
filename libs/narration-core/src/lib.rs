//! Plain sentences for the moments that matter in a job's life.
//!
//! Log fields are for machines. Someone who reads a log at night wants to be told what happens, so
//! each moment also has a sentence. A [`Narration`] is built from counts, durations and closed enums
//! only: no constructor takes a string, so no id, no secret and no prompt can find its way in.
//!
//! [`narrate!`] writes the sentence into the caller's own log line, beside the caller's fields, so
//! that one moment is one line. [`Capture`] lets a test see what was narrated.
//!
//! Invariant: `human` is one sentence in the present tense of at most [`HUMAN_CHARS_MAX`] characters.
#![warn(missing_docs)]

mod capture;
mod moment;
mod narration;
mod wording;

pub use capture::{Capture, record};
pub use moment::{Class, Ending, EngineMoment, NodeMoment, Phase, PoolMoment, Refusal};
pub use narration::{HUMAN_CHARS_MAX, Narration};

#[doc(hidden)]
pub mod macro_support {
    //! What [`narrate!`](crate::narrate) needs at its call sites.
    pub use crate::capture::record;
    pub use tracing::info;
}

/// Writes one log line at `info` that carries a [`Narration`] beside the caller's own fields.
///
/// Takes what `tracing::info!` takes, after the narration. The line's `target` is the log's own, so
/// what the moment is about is called `target_kind`.
///
/// ```
/// use std::time::Duration;
/// use narration_core::{Narration, narrate};
///
/// let placed = Narration::placement_decided(1, Duration::from_millis(45));
/// narrate!(placed, target: "orchestratord::dispatch", pool_id = "default", "task dispatched");
/// narrate!(placed, "task dispatched");
/// ```
//= ORCH-3305
#[macro_export]
macro_rules! narrate {
    ($narration:expr, target: $target:expr, $($line:tt)+) => {{
        let narration: $crate::Narration = $narration;
        $crate::macro_support::record(narration);
        $crate::macro_support::info!(
            target: $target,
            actor = narration.actor(),
            action = narration.action(),
            target_kind = narration.target(),
            human = %narration,
            $($line)+
        );
    }};
    ($narration:expr, $($line:tt)+) => {
        $crate::narrate!($narration, target: ::core::module_path!(), $($line)+)
    };
}

//! Which traces are recorded.
//!
//! The rule is the usual one, so that all systems through which a trace goes come to the same answer: what a
//! caller has decided holds, and without a caller the id of the trace decides.

use opentelemetry::trace::TraceId;

use crate::context::{Sampled, TraceContext};

/// What becomes of the decision of whoever called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfParent {
    /// It holds.
    Heeded,
    /// It does not count.
    Ignored,
}

/// Which traces are recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// What becomes of the caller's decision.
    pub parent: OfParent,
    /// Which part of the others, from 0 to 1.
    pub ratio: f64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { parent: OfParent::Heeded, ratio: 1.0 }
    }
}

impl Sampling {
    //= ORCH-3332
    pub(crate) fn decide(&self, parent: Option<&TraceContext>, trace_id: TraceId) -> Sampled {
        let taken = match parent.filter(|_| self.parent == OfParent::Heeded) {
            Some(parent) => parent.is_sampled(),
            None => is_within(trace_id, self.ratio),
        };
        if taken { Sampled::Yes } else { Sampled::No }
    }
}

/// The lower half of the id as a part of 1, as other systems reckon it.
fn is_within(trace_id: TraceId, ratio: f64) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "the upper half does not count")]
    let lower = u128::from_be_bytes(trace_id.to_bytes()) as u64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 and 2^63")]
    let bound = (ratio.clamp(0.0, 1.0) * 9_223_372_036_854_775_808.0) as u64;
    (lower >> 1) < bound
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(flags: &str) -> TraceContext {
        let text = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
        TraceContext::parse(text.as_bytes()).unwrap()
    }

    fn id(lower: u64) -> TraceId {
        TraceId::from((7 << 64) | u128::from(lower))
    }

    //= ORCH-3332 type=test
    #[test]
    fn a_caller_that_has_decided_is_heeded_unless_it_is_not_to_count() {
        let decide = |sampling: Sampling, flags| sampling.decide(Some(&parent(flags)), id(0));
        let (all, none) = (Sampling::default(), Sampling { ratio: 0.0, ..Sampling::default() });
        assert_eq!([decide(all, "00"), decide(none, "00")], [Sampled::No; 2]);
        assert_eq!([decide(all, "01"), decide(none, "03")], [Sampled::Yes; 2]);
        let alone = |ratio| Sampling { parent: OfParent::Ignored, ratio };
        assert_eq!((decide(alone(1.0), "00"), decide(alone(0.0), "01")), (Sampled::Yes, Sampled::No));
    }

    //= ORCH-3332 type=test
    #[test]
    fn without_a_caller_the_id_decides() {
        let taken = |ratio, lower| Sampling { ratio, ..Sampling::default() }.decide(None, id(lower));
        for lower in [0, 1, 1 << 63, u64::MAX] {
            assert_eq!((taken(1.0, lower), taken(0.0, lower)), (Sampled::Yes, Sampled::No), "{lower}");
        }
        assert_eq!((taken(0.5, (1 << 63) - 1), taken(0.5, 1 << 63)), (Sampled::Yes, Sampled::No));
    }
}

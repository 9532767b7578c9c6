//! Which traces are recorded.
//!
//! The rule is the usual one, so that all systems through which a trace goes come to the same answer: what a
//! caller has decided holds, and without a caller the id of the trace decides.

use config_schema::{TraceSampler, TracesConfig};
use opentelemetry::trace::TraceId;

use crate::context::{Sampled, TraceContext};

/// What becomes of the decision of whoever called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfParent {
    /// It holds.
    Heeded,
    /// It does not count.
    Ignored,
}

/// Which traces are recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sampling {
    /// What becomes of the caller's decision.
    pub(crate) parent: OfParent,
    /// Which part of the others, from 0 to 1.
    pub(crate) ratio: f64,
}

impl Sampling {
    pub(crate) fn of(config: &TracesConfig) -> Self {
        let (parent, ratio) = match config.sampler {
            TraceSampler::ParentBasedAlwaysOn => (OfParent::Heeded, 1.0),
            TraceSampler::ParentBasedAlwaysOff => (OfParent::Heeded, 0.0),
            TraceSampler::ParentBasedRatio => (OfParent::Heeded, config.ratio),
            TraceSampler::AlwaysOn => (OfParent::Ignored, 1.0),
            TraceSampler::AlwaysOff => (OfParent::Ignored, 0.0),
            TraceSampler::Ratio => (OfParent::Ignored, config.ratio),
        };
        Self { parent, ratio }
    }

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

    fn sampling(sampler: TraceSampler, ratio: f64) -> Sampling {
        Sampling::of(&TracesConfig { sampler, ratio, ..TracesConfig::default() })
    }

    //= ORCH-3332 type=test
    #[test]
    fn a_caller_that_has_decided_is_heeded_unless_it_is_not_to_count() {
        use TraceSampler::{AlwaysOff, AlwaysOn, ParentBasedAlwaysOff, ParentBasedAlwaysOn};
        let decide = |sampler, flags| sampling(sampler, 0.5).decide(Some(&parent(flags)), id(0));
        assert_eq!([ParentBasedAlwaysOn, ParentBasedAlwaysOff].map(|it| decide(it, "00")), [Sampled::No; 2]);
        assert_eq!([ParentBasedAlwaysOn, ParentBasedAlwaysOff].map(|it| decide(it, "03")), [Sampled::Yes; 2]);
        assert_eq!((decide(AlwaysOn, "00"), decide(AlwaysOff, "01")), (Sampled::Yes, Sampled::No));
    }

    //= ORCH-3332 type=test
    #[test]
    fn without_a_caller_the_id_decides() {
        use TraceSampler::{ParentBasedAlwaysOff, ParentBasedAlwaysOn, ParentBasedRatio, Ratio};
        let taken = |sampler, ratio, lower| sampling(sampler, ratio).decide(None, id(lower));
        for lower in [0, 1, 1 << 63, u64::MAX] {
            assert_eq!(taken(ParentBasedAlwaysOn, 0.0, lower), Sampled::Yes, "{lower}");
            assert_eq!(taken(ParentBasedAlwaysOff, 1.0, lower), Sampled::No, "{lower}");
            assert_eq!((taken(Ratio, 1.0, lower), taken(Ratio, 0.0, lower)), (Sampled::Yes, Sampled::No));
        }
        for sampler in [Ratio, ParentBasedRatio] {
            let both = (taken(sampler, 0.5, (1 << 63) - 1), taken(sampler, 0.5, 1 << 63));
            assert_eq!(both, (Sampled::Yes, Sampled::No));
        }
    }
}

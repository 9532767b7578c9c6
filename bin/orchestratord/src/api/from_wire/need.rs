//! How much of an engine a task takes, before an engine has seen it.

/// A token is at least this many bytes of text, on average, in every common vocabulary.
const BYTES_PER_TOKEN: usize = 4;
/// What a template puts around a turn is never longer than so many tokens.
const TURN_TOKENS_MAX: usize = 64;

/// How much of an engine a task takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) struct Need {
    /// Tokens of the prompt, or of all inputs, about.
    pub(in crate::api) prompt: u32,
    /// Tokens that one stream holds at once, about.
    pub(in crate::api) ctx: u32,
    /// Tokens of the answer, at most.
    pub(in crate::api) answer: u32,
    /// Tokens in all, at most: one byte is one token in the worst vocabulary.
    pub(in crate::api) at_most: u64,
}

impl Need {
    /// Of texts which an engine sees at once, or one by one.
    pub(in crate::api) fn of(lengths: impl Iterator<Item = usize>, seen: Seen, answer: u32) -> Self {
        let (mut all, mut longest, mut parts) = (0, 0, 0);
        for bytes in lengths {
            all += bytes;
            longest = longest.max(bytes);
            parts += 1;
        }
        let held = match seen {
            Seen::AtOnce => all,
            Seen::OneByOne => longest,
        };
        Self {
            prompt: estimate(all),
            ctx: estimate(held).saturating_add(answer),
            answer,
            at_most: (all + parts * TURN_TOKENS_MAX) as u64 + u64::from(answer),
        }
    }
}

/// Whether the parts of a prompt share the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Seen {
    AtOnce,
    OneByOne,
}

fn estimate(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_share_the_context_and_inputs_have_it_one_by_one() {
        let lengths = || [400, 40].into_iter();
        let turns = Need::of(lengths(), Seen::AtOnce, 10);
        assert_eq!(turns, Need { prompt: 110, ctx: 120, answer: 10, at_most: 440 + 128 + 10 });
        let inputs = Need::of(lengths(), Seen::OneByOne, 0);
        assert_eq!(inputs, Need { prompt: 110, ctx: 100, answer: 0, at_most: 440 + 128 });
    }
}

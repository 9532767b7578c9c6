//! The text of the mock: words that follow from a prompt and a seed.
//!
//! The text is endless and a copy of its state replays it, so that a stop text can be looked for ahead
//! of what was sent, and not a byte of it has to be taken back.

use std::borrow::Cow;

/// Plain words; 32 of them, so that five bits choose one.
const WORDS: [&str; 32] = [
    " the", " a", " small", " bright", " robot", " river", " walks", " sings", " under", " over", " old",
    " tree", " bird", " finds", " keeps", " song", " door", " opens", " quiet", " morning", " counts",
    " waves", " hill", " and", " then", " light", " house", " by", " sea", " friend", " waits", " home",
];
/// A sentence ends after so many words.
const SENTENCE: u64 = 9;

/// An endless text.
#[derive(Debug, Clone)]
pub(crate) struct Words {
    state: u64,
    count: u64,
}

impl Words {
    /// The text for a prompt and a seed.
    pub(crate) fn of(prompt: &str, seed: u64) -> Self {
        // FNV-1a spreads the prompt over the state.
        let hash = prompt.bytes().fold(0xCBF2_9CE4_8422_2325 ^ seed, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
        Self { state: hash, count: 0 }
    }

    /// Goes to where the text stands behind what was said already, as far as that is this text's beginning.
    pub(crate) fn skip_said(&mut self, said: &str) {
        let mut rest = said;
        loop {
            let mut ahead = self.clone();
            let Some(left) = ahead.next().and_then(|word| rest.strip_prefix(&*word)) else { return };
            rest = left;
            *self = ahead;
        }
    }
}

impl Iterator for Words {
    type Item = Cow<'static, str>;

    /// The next word, with its full stop where a sentence ends.
    fn next(&mut self) -> Option<Self::Item> {
        // SplitMix64: every state gives another well mixed number.
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let index = usize::try_from(mixed >> 59).unwrap_or(0);
        self.count += 1;
        let word = WORDS[index];
        let ends = self.count.is_multiple_of(SENTENCE);
        Some(if ends { Cow::Owned(format!("{word}.")) } else { Cow::Borrowed(word) })
    }
}

//! Chance that can be repeated: the same seed throws the same numbers.

/// `SplitMix64`.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice of their own, so that what one part throws does not change what another gets.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.throw())
    }

    pub(crate) fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, and without, `end`.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        let scaled = ((self.throw() >> 32) * u64::from(end)) >> 32;
        u32::try_from(scaled).unwrap_or_default()
    }

    /// One of them; `None` when there are none.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let index = self.below(u32::try_from(from.len()).unwrap_or(u32::MAX));
        from.get(index as usize).copied()
    }

    /// True in so many of a hundred cases.
    pub(crate) fn happens(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// An id as clients choose them: a UUID.
    pub(crate) fn uuid(&mut self) -> String {
        let (high, low) = (self.throw(), self.throw());
        format!(
            "{:08x}-{:04x}-7{:03x}-8{:03x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 52,
            low & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_throws_the_same_and_stays_in_its_bounds() {
        let (mut one, mut other) = (Dice::new(7), Dice::new(7));
        let mut faces = [0; 6];
        for _ in 0..600 {
            let face = one.below(6);
            assert_eq!(face, other.below(6));
            faces[face as usize] += 1;
        }
        assert!(faces.iter().all(|count| *count > 50), "{faces:?}");
        assert_eq!((one.pick::<u8>(&[]), one.pick(&[3])), (None, Some(3)));
        assert_eq!(one.uuid().len(), 36);
        assert_ne!(one.uuid(), one.split().uuid());
    }
}

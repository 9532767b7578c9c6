//! The seats of a line, so that those who stand before somebody are counted without a walk along the line.
//!
//! Each job in a line has a number, in the order of the line. The seats are a ring with a bit for each number
//! that is taken, and a count for each few thousand bits: taking and leaving a seat are two writes, and
//! counting those in between adds up one number per few thousand seats and the bits at both ends.

/// Bits of a word.
const WORD: usize = 64;
/// Words that are counted together.
const BLOCK: usize = 64;

/// A ring of seats. Numbers that are further apart than [`Self::capacity`] share a seat.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    words: Vec<u64>,
    /// How many bits are set in each block of words.
    blocks: Vec<u32>,
}

impl Seats {
    /// Empty seats, at least twice as many as are needed now.
    pub(crate) fn for_twice(needed: u32) -> Self {
        let words = (needed as usize / WORD + 1).next_power_of_two() * 2;
        Self { words: vec![0; words], blocks: vec![0; words.div_ceil(BLOCK)] }
    }

    /// How many seats there are: none, or a power of two.
    pub(crate) fn capacity(&self) -> u64 {
        (self.words.len() * WORD) as u64
    }

    pub(crate) fn take(&mut self, number: u64) {
        let seat = self.seat(number);
        if let (Some(word), Some(block)) = self.at(seat) {
            *word |= 1 << (seat % WORD);
            *block += 1;
        }
    }

    pub(crate) fn leave(&mut self, number: u64) {
        let seat = self.seat(number);
        if let (Some(word), Some(block)) = self.at(seat) {
            *word &= !(1 << (seat % WORD));
            *block -= 1;
        }
    }

    /// How many numbers are taken from `first` up to and without `end`, of at most [`Self::capacity`].
    pub(crate) fn taken(&self, first: u64, end: u64) -> u32 {
        let (from, to) = (self.seat(first), self.seat(end));
        let (from, to) = (self.taken_before(from), self.taken_before(to));
        if self.seat(first) <= self.seat(end) {
            to - from
        } else {
            self.blocks.iter().sum::<u32>() - from + to
        }
    }

    fn taken_before(&self, seat: usize) -> u32 {
        let (word, block) = (seat / WORD, seat / (WORD * BLOCK));
        let blocks: u32 = self.blocks.iter().take(block).sum();
        let words = self.words.iter().take(word).skip(block * BLOCK);
        let words: u32 = words.map(|word| word.count_ones()).sum();
        let bits = self.words.get(word).map_or(0, |word| (word & ((1 << (seat % WORD)) - 1)).count_ones());
        blocks + words + bits
    }

    fn at(&mut self, seat: usize) -> (Option<&mut u64>, Option<&mut u32>) {
        (self.words.get_mut(seat / WORD), self.blocks.get_mut(seat / (WORD * BLOCK)))
    }

    fn seat(&self, number: u64) -> usize {
        // The mask is shorter than the list of words is long in bits, so it is an index.
        usize::try_from(number & self.capacity().wrapping_sub(1)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_counted_over_words_blocks_and_the_end_of_the_ring() {
        let mut seats = Seats::for_twice(5000);
        let capacity = seats.capacity();
        assert_eq!(capacity, 16_384);
        // Begins shortly before the end of the ring.
        let first = capacity * 9 - 3000;
        let is_taken = |number: u64| (number * number) % 7 < 3;
        (first..first + 10_000).filter(|number| is_taken(*number)).for_each(|number| seats.take(number));
        (first..first + 10_000).step_by(14).filter(|number| is_taken(*number)).for_each(|number| {
            seats.leave(number);
        });
        let mut counted = 0;
        for number in first..first + 10_000 {
            assert_eq!(seats.taken(first, number), counted, "{}", number - first);
            counted += u32::from(is_taken(number) && !(number - first).is_multiple_of(14));
        }
    }
}

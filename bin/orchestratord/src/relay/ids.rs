//! The ids of a log's events: they count up from 0, and behind a crash they go on at a higher number.
//!
//! What a crash took may have been read, so none of its ids is given to another event. Each life of a job, from
//! a start of the server to its end, has a range of ids that is longer than any log.

use smallvec::SmallVec;

/// How many ids each life has. A log of the largest size has fewer events.
pub(crate) const IDS_PER_LIFE: u32 = 1 << 21;

/// From which index on ids go on at another number. The first life begins at 0 and is not listed.
#[derive(Debug, Default)]
pub(super) struct Ids {
    later: SmallVec<[Life; 1]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Life {
    first_id: u32,
    index: usize,
}

impl Ids {
    /// The event at `index`, and those behind it, count from `first_id`.
    pub(super) fn begin(&mut self, first_id: u32, index: usize) {
        // A life without an event leaves no trace.
        self.later.retain(|life| life.index < index);
        self.later.push(Life { first_id, index });
    }

    /// The id of the event at `index`, behind which there is no later life.
    pub(super) fn newest(&self, index: usize) -> u32 {
        let Life { first_id, index: from } = self.later.last().copied().unwrap_or_default();
        first_id.saturating_add(u32::try_from(index - from).unwrap_or(u32::MAX))
    }

    /// The id of the event at `index`, whichever life it is of.
    pub(super) fn of_kept(&self, index: usize) -> u32 {
        let life = self.later.iter().rfind(|life| life.index <= index).copied().unwrap_or_default();
        life.first_id.saturating_add(u32::try_from(index - life.index).unwrap_or(u32::MAX))
    }

    /// The index of the first event whose id is higher, of `count` events; `None` when no event has had this
    /// id yet.
    pub(super) fn after(&self, id: u32, count: usize) -> Option<usize> {
        let lives = self.later.iter().rposition(|life| life.first_id <= id);
        let (life, next) = match lives {
            Some(at) => (self.later[at], self.later.get(at + 1)),
            None => (Life::default(), self.later.first()),
        };
        let next_index = life.index + (id - life.first_id) as usize + 1;
        match next {
            // Its event may be one of those that a crash took.
            Some(next) => Some(next_index.min(next.index)),
            None => Some(next_index).filter(|index| *index <= count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_life_are_indices() {
        let ids = Ids::default();
        assert_eq!((ids.newest(0), ids.newest(7)), (0, 7));
        assert_eq!((ids.after(0, 3), ids.after(2, 3), ids.after(3, 3)), (Some(1), Some(3), None));
    }

    #[test]
    fn a_reader_of_an_id_that_a_crash_took_goes_on_at_the_next_life() {
        let mut ids = Ids::default();
        ids.begin(100, 3);
        assert_eq!((ids.newest(3), ids.newest(5)), (100, 102));
        // Events 0, 1, 2 were kept; a reader may have seen up to 99.
        assert_eq!((ids.after(1, 5), ids.after(2, 5), ids.after(57, 5)), (Some(2), Some(3), Some(3)));
        assert_eq!((ids.after(100, 5), ids.after(101, 5), ids.after(102, 5)), (Some(4), Some(5), None));
        // Nothing was said since.
        assert_eq!((ids.after(57, 3), ids.after(100, 3)), (Some(3), None));
        ids.begin(200, 5);
        assert_eq!((ids.after(57, 5), ids.after(150, 5), ids.after(200, 5)), (Some(3), Some(5), None));
    }

    #[test]
    fn a_life_in_which_nothing_was_said_leaves_no_trace() {
        let mut ids = Ids::default();
        ids.begin(100, 3);
        ids.begin(200, 3);
        assert_eq!((ids.newest(3), ids.after(150, 3)), (200, Some(3)));
    }
}

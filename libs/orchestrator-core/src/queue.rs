//! Live jobs, and the lines in which they wait.
//!
//! Every live job has one place in a table. A line is a doubly linked list through those places, so
//! that joining it, leaving it from the front and leaving it from the middle cost the same few
//! writes, however long it is; how many stand before a job is told by their seats. Ids are found by hashing; the hash map is never iterated, so its
//! random order can decide nothing.

use std::{
    collections::HashMap,
    ops::{Index, IndexMut},
    sync::Arc,
};

use smallvec::SmallVec;

use crate::{
    fit::Tried,
    ids::{JobId, LeaseId},
    job::{JobState, NewJob},
    seats::Seats,
    sessions::Held,
};

/// Where a job stands in the table.
pub(crate) type Place = u32;

/// Whether a job may count on a replica that fits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prospect {
    /// One was there when it came in, and is waited for should it leave.
    Seen,
    /// It comes from an earlier process, its replica went away, or its pool serves something else since:
    /// it waits only as long as there is somewhere to go.
    Doubtful,
}

/// A live job.
#[derive(Debug)]
pub(crate) struct JobRecord {
    pub(crate) job: NewJob,
    pub(crate) state: JobState,
    /// Its rank by acceptance. A job that waits again keeps it.
    pub(crate) rank: u64,
    /// The pool in whose line it waits or waited.
    pub(crate) pool: usize,
    pub(crate) attempts: u32,
    pub(crate) prospect: Prospect,
    /// Replicas on which it was lost.
    pub(crate) tried: Vec<Tried>,
    /// What it holds of its session while it waits; while it runs, its lease holds that.
    pub(crate) held: Option<Held>,
    before: Option<Place>,
    behind: Option<Place>,
    /// Its seat in its line, by which those before it are counted.
    seat: u64,
}

/// The first seat of a line, with as much room before it as behind it.
const FIRST_SEAT: u64 = 1 << 63;

/// A first-in-first-out line of places.
#[derive(Debug, Default)]
pub(crate) struct Line {
    front: Option<Place>,
    back: Option<Place>,
    pub(crate) len: u32,
    size: u64,
    seats: Seats,
    /// The models that its jobs have asked for since it was empty: the first [`MODELS`] of them.
    models: SmallVec<[Arc<str>; 1]>,
}

/// Models of a line that are remembered.
const MODELS: usize = 8;

impl Line {
    /// The sizes of all its jobs together.
    pub(crate) fn size_as_float(&self) -> f64 {
        const HIGH: f64 = 4_294_967_296.0;
        let (high, low) = (self.size >> 32, self.size & u64::from(u32::MAX));
        let float = |half: u64| f64::from(u32::try_from(half).unwrap_or(u32::MAX));
        float(high) * HIGH + float(low)
    }

    pub(crate) fn front(&self) -> Option<Place> {
        self.front
    }

    /// Whether a job in it may ask for one of these models. False only if none does, so that a long line for
    /// another pool's model is not walked along.
    pub(crate) fn may_ask_for(&self, models: &[Arc<str>]) -> bool {
        self.len > 0
            && (self.models.len() == MODELS || models.iter().any(|model| self.models.contains(model)))
    }

    fn note_model(&mut self, model: &Arc<str>) {
        if self.models.len() < MODELS && !self.models.contains(model) {
            self.models.push(Arc::clone(model));
        }
    }
}

/// The table of live jobs.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    places: Vec<Option<JobRecord>>,
    free: Vec<Place>,
    by_id: HashMap<JobId, Place>,
    ranks: u64,
}

impl Jobs {
    pub(crate) fn insert(&mut self, job: NewJob, pool: usize) -> Place {
        self.ranks += 1;
        let id = job.id;
        let record = JobRecord {
            job,
            state: JobState::Queued,
            rank: self.ranks,
            pool,
            attempts: 0,
            prospect: Prospect::Seen,
            tried: Vec::new(),
            held: None,
            before: None,
            behind: None,
            seat: FIRST_SEAT,
        };
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            Place::try_from(self.places.len() - 1).unwrap_or(Place::MAX)
        });
        self.places[place as usize] = Some(record);
        self.by_id.insert(id, place);
        place
    }

    /// Takes a job out of the table. It must stand in no line.
    pub(crate) fn remove(&mut self, place: Place) {
        if let Some(held) = self.places.get_mut(place as usize)
            && let Some(record) = held
        {
            self.by_id.remove(&record.job.id);
            *held = None;
            self.free.push(place);
        }
    }

    pub(crate) fn find(&self, id: JobId) -> Option<Place> {
        self.by_id.get(&id).copied()
    }

    /// Whether the job still stands there that got this lease: a place is used again, a lease is not.
    pub(crate) fn holds(&self, place: Place, lease: LeaseId) -> bool {
        let record = self.places.get(place as usize).and_then(Option::as_ref);
        record.is_some_and(|record| record.state == JobState::Running(lease))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// All places in use, in the order of the table.
    pub(crate) fn all(&self) -> impl Iterator<Item = Place> {
        (0..).zip(&self.places).filter(|(_, record)| record.is_some()).map(|(place, _)| place)
    }

    /// The line from its front.
    pub(crate) fn in_line<'a>(&'a self, line: &Line) -> impl Iterator<Item = Place> + use<'a> {
        std::iter::successors(line.front, |place| self[*place].behind)
    }

    /// How many jobs of a line stand before one of it.
    pub(crate) fn ahead(&self, line: &Line, place: Place) -> u32 {
        line.front.map_or(0, |front| line.seats.taken(self[front].seat, self[place].seat))
    }

    /// Puts a job into its line: at the back, or, when it waits again, at its old rank.
    pub(crate) fn join(&mut self, line: &mut Line, place: Place) {
        let before = self.predecessor(line, self[place].rank);
        let behind = match before {
            Some(other) => self[other].behind,
            None => line.front,
        };
        self[place].before = before;
        self[place].behind = behind;
        match before {
            Some(other) => self[other].behind = Some(place),
            None => line.front = Some(place),
        }
        match behind {
            Some(other) => self[other].before = Some(place),
            None => line.back = Some(place),
        }
        line.len += 1;
        line.size += u64::from(self[place].job.size);
        line.note_model(&self[place].job.requirements.model);
        self.seat(line, place);
    }

    /// Behind whom a rank belongs. It is looked for from both ends: a new job belongs to the back, and one that
    /// waits again to the front, mostly.
    fn predecessor(&self, line: &Line, rank: u64) -> Option<Place> {
        let (mut from_back, mut from_front) = (line.back, line.front);
        while let (Some(back), Some(front)) = (from_back, from_front) {
            if self[back].rank < rank {
                return Some(back);
            }
            if self[front].rank > rank {
                return self[front].before;
            }
            (from_back, from_front) = (self[back].before, self[front].behind);
        }
        None
    }

    /// Gives a job that stands in its line a seat between its neighbours. Where there is none, all get new ones.
    fn seat(&mut self, line: &mut Line, place: Place) {
        let seat_of = |other: Option<Place>| other.map(|other| self[other].seat);
        let seat = match (seat_of(self[place].before), seat_of(self[place].behind)) {
            (None, None) => Some(FIRST_SEAT),
            (Some(before), None) => Some(before + 1),
            (None, Some(behind)) => Some(behind - 1),
            (Some(before), Some(behind)) => (behind - before > 1).then(|| before + (behind - before) / 2),
        };
        if let Some(seat) = seat {
            self[place].seat = seat;
            if let (Some(front), Some(back)) = (line.front, line.back)
                && self[back].seat - self[front].seat < line.seats.capacity()
            {
                return line.seats.take(seat);
            }
        }
        self.seat_all(line);
    }

    fn seat_all(&mut self, line: &mut Line) {
        line.seats = Seats::for_twice(line.len);
        let (mut next, mut seat) = (line.front, FIRST_SEAT);
        while let Some(place) = next {
            self[place].seat = seat;
            line.seats.take(seat);
            seat += 1;
            next = self[place].behind;
        }
    }

    /// Takes a job out of its line, wherever it stands in it.
    pub(crate) fn leave(&mut self, line: &mut Line, place: Place) {
        let (before, behind) = (self[place].before.take(), self[place].behind.take());
        match before {
            Some(other) => self[other].behind = behind,
            None => line.front = behind,
        }
        match behind {
            Some(other) => self[other].before = before,
            None => line.back = before,
        }
        line.len -= 1;
        line.size -= u64::from(self[place].job.size);
        line.seats.leave(self[place].seat);
        if line.len == 0 {
            line.models.clear();
        }
    }
}

// A place is only ever held by a line, a lease or the id map, and all three are cleared before the
// place is given up; a wrong one is a bug in this crate, and going on with it would be worse.
impl Index<Place> for Jobs {
    type Output = JobRecord;
    fn index(&self, place: Place) -> &JobRecord {
        match &self.places[place as usize] {
            Some(record) => record,
            None => unreachable!("place {place} holds no job"),
        }
    }
}

impl IndexMut<Place> for Jobs {
    fn index_mut(&mut self, place: Place) -> &mut JobRecord {
        match &mut self.places[place as usize] {
            Some(record) => record,
            None => unreachable!("place {place} holds no job"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fit::Requirements, job::Priority};

    fn jobs(count: u128) -> (Jobs, Line) {
        let (mut jobs, mut line) = (Jobs::default(), Line::default());
        for number in 0..count {
            let requirements = Requirements::of("m", 1);
            let job =
                NewJob { size: 3, ..NewJob::of(JobId::from_u128(number), Priority::Batch, requirements) };
            let place = jobs.insert(job, 0);
            jobs.join(&mut line, place);
        }
        (jobs, line)
    }

    fn order(jobs: &Jobs, line: &Line) -> Vec<u128> {
        jobs.in_line(line).map(|place| jobs[place].job.id.as_u128()).collect()
    }

    #[test]
    fn a_line_keeps_its_order_when_jobs_leave_from_anywhere() {
        let (mut jobs, mut line) = jobs(5);
        for number in [0, 4, 2] {
            let place = jobs.find(JobId::from_u128(number)).unwrap();
            jobs.leave(&mut line, place);
        }
        assert_eq!(order(&jobs, &line), [1, 3]);
        assert_eq!(line.len, 2);
    }

    #[test]
    fn a_job_that_waits_again_gets_its_old_place() {
        let (mut jobs, mut line) = jobs(5);
        for number in [1, 0, 3] {
            let place = jobs.find(JobId::from_u128(number)).unwrap();
            jobs.leave(&mut line, place);
        }
        for number in [3, 0, 1] {
            let place = jobs.find(JobId::from_u128(number)).unwrap();
            jobs.join(&mut line, place);
        }
        assert_eq!(order(&jobs, &line), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn places_are_used_again() {
        let (mut jobs, mut line) = jobs(3);
        for number in 0..3 {
            let place = jobs.find(JobId::from_u128(number)).unwrap();
            jobs.leave(&mut line, place);
            jobs.remove(place);
        }
        assert_eq!((jobs.len(), jobs.places.len(), line.front()), (0, 3, None));
        let (front, back) = (line.front, line.back);
        assert_eq!((front, back), (None, None));
    }

    #[test]
    fn a_line_knows_who_stands_before_whom_like_a_plain_list_does() {
        let (mut jobs, mut line) = jobs(0);
        let (mut list, mut out): (Vec<Place>, Vec<Place>) = (Vec::new(), Vec::new());
        let mut draw = 362_436_069_u32;
        for turn in 0..6000_u32 {
            draw ^= draw << 13;
            draw ^= draw >> 17;
            draw ^= draw << 5;
            let at = (draw / 8) as usize;
            // It grows for a while, shrinks for a while, and its oldest job stays.
            let grows = turn / 1500 % 2 == 0;
            match draw % 8 {
                0 if !out.is_empty() => {
                    let place = out.swap_remove(at % out.len());
                    jobs.join(&mut line, place);
                    let rank = jobs[place].rank;
                    list.insert(list.partition_point(|other| jobs[*other].rank < rank), place);
                }
                1 | 2 if grows && list.len() > 1 => out.push(list.remove(1)),
                1..=5 if !grows && list.len() > 1 => out.push(list.remove(1 + at % (list.len() - 1))),
                _ => {
                    let new = NewJob::of(
                        JobId::from_u128(u128::from(turn)),
                        Priority::Batch,
                        Requirements::of("m", 1),
                    );
                    let place = jobs.insert(new, 0);
                    jobs.join(&mut line, place);
                    list.push(place);
                }
            }
            if list.len() < line.len as usize
                && let Some(place) = out.last()
            {
                jobs.leave(&mut line, *place);
            }
            assert!(turn % 64 != 0 || jobs.in_line(&line).eq(list.iter().copied()), "turn {turn}");
            for (number, place) in (0..).zip(&list).skip(at % 16).step_by(16) {
                assert_eq!(jobs.ahead(&line, *place), number, "turn {turn}");
            }
        }
        assert!(list.len() > 500, "{}", list.len());
    }

    #[test]
    fn a_line_rules_out_no_model_that_one_of_its_jobs_asks_for() {
        let (mut jobs, mut line) = jobs(0);
        let all: Vec<Arc<str>> = (0..12).map(|number| Arc::from(format!("m{number}"))).collect();
        assert!(!line.may_ask_for(&all), "it is empty");
        let mut places = Vec::new();
        for (number, model) in (0..).zip(&all) {
            let requirements = Requirements::of(Arc::clone(model), 1);
            let place = jobs.insert(NewJob::of(JobId::from_u128(number), Priority::Batch, requirements), 0);
            jobs.join(&mut line, place);
            places.push(place);
            let (own, other) = ([Arc::from(&**model)], [Arc::from("other")]);
            assert!(line.may_ask_for(&own) && line.may_ask_for(&all));
            assert_eq!(line.may_ask_for(&other), places.len() >= MODELS, "it remembers {MODELS} at most");
        }
        for place in &places {
            jobs.leave(&mut line, *place);
        }
        assert!(!line.may_ask_for(&all));
        jobs.join(&mut line, places[3]);
        assert!(line.may_ask_for(&all[3..4]) && !line.may_ask_for(&all[4..]), "what left is forgotten");
    }
}

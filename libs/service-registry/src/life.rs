//! Which life of a node's agent speaks, and how far it has come.

use pool_registry_types::Heartbeat;

/// The numbers by which a message is known to be new.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) incarnation: Option<u64>,
    pub(crate) seq: Option<u64>,
}

/// How a heartbeat stands to what was heard before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// It is new.
    New,
    /// It is no later than another that was heard.
    Stale,
    /// It is of a later life, which has not registered.
    Later,
}

impl Life {
    /// The life that a registration begins.
    pub(crate) fn begin(incarnation: Option<u64>) -> Self {
        Self { incarnation, seq: None }
    }

    /// How `beat` stands to what was heard before.
    //= ORCH-3427
    pub(crate) fn age_of(self, beat: &Heartbeat) -> Age {
        match (beat.incarnation, self.incarnation) {
            (Some(told), Some(known)) if told > known => return Age::Later,
            (Some(told), Some(known)) if told < known => return Age::Stale,
            // Who has numbered its heartbeats does not stop: one without numbers is somebody else's.
            (None, Some(_)) if self.seq.is_some() => return Age::Stale,
            _ => {}
        }
        match (beat.seq, self.seq) {
            (_, None) => Age::New,
            (Some(told), Some(known)) if told > known => Age::New,
            _ => Age::Stale,
        }
    }

    /// Nothing up to `beat` is new any more.
    pub(crate) fn advance(&mut self, beat: &Heartbeat) {
        self.incarnation = beat.incarnation.or(self.incarnation);
        self.seq = beat.seq.or(self.seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(incarnation: Option<u64>, seq: Option<u64>) -> Heartbeat {
        Heartbeat { timestamp: "t".into(), incarnation, seq, ..Default::default() }
    }

    // N02
    //= ORCH-3427 type=test
    #[test]
    fn only_what_grows_is_new() {
        let life = Life { incarnation: Some(7), seq: Some(3) };
        let table = [
            (Some(7), Some(4), Age::New),
            (Some(7), Some(900), Age::New),
            (Some(7), Some(3), Age::Stale),
            (Some(7), Some(2), Age::Stale),
            (Some(6), Some(9), Age::Stale),
            (Some(8), Some(1), Age::Later),
            (None, Some(4), Age::Stale),
            (Some(7), None, Age::Stale),
            (None, None, Age::Stale),
        ];
        for (incarnation, seq, age) in table {
            assert_eq!(life.age_of(&beat(incarnation, seq)), age, "{incarnation:?} {seq:?}");
        }
    }

    //= ORCH-3427 type=test
    #[test]
    fn an_agent_that_numbers_nothing_is_heard_until_it_numbers_something() {
        let mut life = Life::begin(None);
        assert_eq!(life.age_of(&beat(None, None)), Age::New);
        life.advance(&beat(None, None));
        assert_eq!(life.age_of(&beat(None, None)), Age::New);
        life.advance(&beat(Some(1), Some(1)));
        assert_eq!(life.age_of(&beat(None, None)), Age::Stale);
        assert_eq!(life.age_of(&beat(Some(1), Some(2))), Age::New);
    }
}

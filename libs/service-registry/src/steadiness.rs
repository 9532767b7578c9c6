//! A node that comes and goes gets work only after it has stayed.

use std::{collections::VecDeque, time::Duration};

/// How far back falls count.
const WINDOW: Duration = Duration::from_hours(1);
/// What the second fall costs is twice this, and each further one twice as much again.
const UNIT: Duration = Duration::from_secs(10);
const DAMPED_MAX: Duration = Duration::from_mins(5);
/// Falls beyond these cost no more.
const FALLS_MAX: usize = 8;

/// How often a node fell silent lately, and until when it is held back for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Steadiness {
    falls: VecDeque<Duration>,
    is_down: bool,
    steady_at: Option<Duration>,
}

impl Steadiness {
    /// The node fell silent.
    pub(crate) fn fell(&mut self, at: Duration) {
        self.is_down = true;
        self.falls.push_back(at);
        if self.falls.len() > FALLS_MAX {
            self.falls.pop_front();
        }
    }

    /// The node is heard again; says how long it must stay before it gets work.
    //= ORCH-3428
    pub(crate) fn returned(&mut self, at: Duration) -> Duration {
        if self.is_down {
            self.is_down = false;
            self.falls.retain(|fell| at.saturating_sub(*fell) < WINDOW);
            let again = self.falls.len().saturating_sub(1);
            let doubled = (0..again).fold(UNIT, |pause, _| pause.saturating_mul(2));
            self.steady_at = (again > 0).then(|| at + doubled.min(DAMPED_MAX));
        }
        self.steady_at.map_or(Duration::ZERO, |steady| steady.saturating_sub(at))
    }

    /// Whether it is not held back.
    pub(crate) fn is_steady(&self, at: Duration) -> bool {
        self.steady_at.is_none_or(|steady| steady <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    // N03
    //= ORCH-3428 type=test
    #[test]
    fn each_fall_within_an_hour_doubles_the_wait_up_to_five_minutes() {
        let mut node = Steadiness::default();
        for (turn, pause) in (0..).zip([0, 20, 40, 80, 160, 300, 300, 300, 300, 300]) {
            let at = s(100 * turn);
            node.fell(at);
            assert_eq!(node.returned(at), s(pause), "turn {turn}");
            assert_eq!(node.is_steady(at), pause == 0);
            assert!(node.is_steady(at + s(pause)));
        }
    }

    //= ORCH-3428 type=test
    #[test]
    fn falls_of_more_than_an_hour_ago_are_forgotten() {
        let mut node = Steadiness::default();
        node.fell(s(0));
        node.returned(s(0));
        node.fell(s(3_599));
        assert_eq!(node.returned(s(3_599)), s(20));
        node.fell(s(3_600));
        assert_eq!(node.returned(s(3_600)), s(20));
        node.fell(s(7_300));
        assert_eq!(node.returned(s(7_300)), s(0));
        assert!(node.is_steady(s(7_300)));
    }

    #[test]
    fn whoever_did_not_fall_does_not_wait_longer() {
        let mut node = Steadiness::default();
        node.fell(s(0));
        node.fell(s(1));
        assert_eq!(node.returned(s(2)), s(20));
        assert_eq!(node.returned(s(12)), s(10));
    }
}

//! Many nodes that fall silent together: more likely the fault is here, or on the way, than at each of them.

use std::time::Duration;

use crate::{
    change::{AlarmEnd, Change, MassSilence},
    node::{Node, Presence},
    registry::Registry,
};

/// How long an alarm stands, and how close together nodes must fall silent to raise it.
const WINDOW: Duration = Duration::from_mins(1);
/// Of fewer nodes the silence of most says nothing.
const NODES_MIN: usize = 3;

/// The alarm, if it stands.
#[derive(Debug, Default)]
pub(super) struct Mass {
    until: Option<Duration>,
    /// When the last alarm ran out. Who fell silent before is no reason for another.
    ran_out: Duration,
}

impl Registry {
    /// Sets nodes offline that are silent for too long, unless too many are.
    //= ORCH-3430
    pub(super) fn fall_silent(&mut self, at: Duration, changes: &mut Vec<Change>) {
        let offline_after = self.rules.offline_after;
        if self.mass.until.is_none()
            && let Some(mass) = self.mass_silence(at)
        {
            self.mass.until = Some(at + WINDOW);
            changes.push(Change::Alarm(mass));
        }
        let is_frozen = self.mass.until.is_some_and(|until| at < until);
        for node in self.nodes.values_mut().filter(|node| node.is_due(at, offline_after)) {
            match node.presence {
                Presence::Online if is_frozen => node.presence = Presence::Suspect,
                _ if is_frozen => {}
                _ => node.fall(at, changes),
            }
        }
        if !is_frozen && self.mass.until.take().is_some() {
            self.mass.ran_out = at;
            changes.push(Change::AlarmOver(AlarmEnd::TimedOut));
        }
        self.settle_alarm(changes);
    }

    /// Ends an alarm when nobody is under suspicion any more.
    pub(super) fn settle_alarm(&mut self, changes: &mut Vec<Change>) {
        if self.mass.until.is_some() && !self.nodes.values().any(Node::is_suspect) {
            self.mass.until = None;
            changes.push(Change::AlarmOver(AlarmEnd::Returned));
        }
    }

    /// Whether a node would go offline now, and most would soon, or did in the last minute.
    ///
    /// They do not fall silent at the same moment, since their heartbeats are spread. So whoever has been silent for
    /// half of the time counts when the first one has been for all of it.
    fn mass_silence(&self, at: Duration) -> Option<MassSilence> {
        let half = self.rules.offline_after / 2;
        let since = self.mass.ran_out.max(at.saturating_sub(WINDOW));
        let online = || self.nodes.values().filter(|node| node.is_online());
        if !online().any(|node| node.is_due(at, self.rules.offline_after)) {
            return None;
        }
        let has_fallen =
            |node: &&Node| matches!(node.presence, Presence::Offline { fell: Some(fell) } if fell > since);
        let fallen = self.nodes.values().filter(has_fallen).count();
        let silent = online().filter(|node| node.silence(at) >= half).count() + fallen;
        let of = online().count() + fallen;
        (of >= NODES_MIN && silent * 2 > of).then_some(MassSilence { silent, of })
    }
}

//! One narrated moment: who does what to what, and the sentence that says so.
//!
//! The sentence is kept as its numbers and becomes text only when a line is really written, so a
//! narration costs nothing where the log level hides it.

use std::{fmt, time::Duration};

use crate::{
    moment::{Class, Ending, EngineMoment, NodeMoment, Phase, PoolMoment, Refusal},
    wording::{Count, Spoken},
};

/// The most characters of a sentence.
//= ORCH-3301
pub const HUMAN_CHARS_MAX: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Accepted { class: Class, ahead: u32, start_in: Duration },
    Refused { refusal: Refusal, retry_after: Option<Duration> },
    Placed { attempt: u32, waited: Duration },
    StreamStarted { after: Duration },
    StreamEnded { ending: Ending, tokens: u64, took: Duration },
    Canceled { phase: Phase },
    DrainStarted { running: u64, queued: u64, grace: Duration },
    DrainEnded { aborted: u64, took: Duration },
    PoolDrains { within: Duration },
    Pool(PoolMoment),
    Node(NodeMoment),
    Engine(EngineMoment),
    NodesSilent { silent: u64, of: u64 },
    NodesHeard,
}

/// A moment, ready to be told. Made only by the functions below, none of which takes text.
//= ORCH-3303
//= ORCH-3304
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Narration(Moment);

impl Narration {
    /// A job gets a place: how many are ahead of it, and when it probably starts.
    //= ORCH-3307
    pub const fn admission_accepted(class: Class, ahead: u32, start_in: Duration) -> Self {
        Self(Moment::Accepted { class, ahead, start_in })
    }

    /// A job gets none: why, and when trying again makes sense.
    //= ORCH-3307
    pub const fn admission_refused(refusal: Refusal, retry_after: Option<Duration>) -> Self {
        Self(Moment::Refused { refusal, retry_after })
    }

    /// A job gets a slot: on which attempt, and how long it waited.
    //= ORCH-3308
    pub const fn placement_decided(attempt: u32, waited: Duration) -> Self {
        Self(Moment::Placed { attempt, waited })
    }

    /// The first piece of text is there, so long after the dispatch.
    //= ORCH-3309
    pub const fn stream_started(after: Duration) -> Self {
        Self(Moment::StreamStarted { after })
    }

    /// The stream is over: how, after how many tokens, after how long.
    //= ORCH-3309
    pub const fn stream_ended(ending: Ending, tokens: u64, took: Duration) -> Self {
        Self(Moment::StreamEnded { ending, tokens, took })
    }

    /// The client takes its job back.
    //= ORCH-3310
    pub const fn job_canceled(phase: Phase) -> Self {
        Self(Moment::Canceled { phase })
    }

    /// The server stops taking work and lets what runs go on for a while.
    //= ORCH-3311
    pub const fn drain_started(running: u64, queued: u64, grace: Duration) -> Self {
        Self(Moment::DrainStarted { running, queued, grace })
    }

    /// Nothing runs any more: how many jobs had to be cut off, and how long it took.
    //= ORCH-3311
    pub const fn drain_ended(aborted: u64, took: Duration) -> Self {
        Self(Moment::DrainEnded { aborted, took })
    }

    /// A pool takes nothing new, and what it still runs ends within this.
    //= ORCH-3312
    pub const fn pool_drains(within: Duration) -> Self {
        Self(Moment::PoolDrains { within })
    }

    /// Something else happens to a pool as a whole.
    //= ORCH-3312
    pub const fn pool(moment: PoolMoment) -> Self {
        Self(Moment::Pool(moment))
    }

    /// Something happens to a node.
    //= ORCH-3312
    pub const fn node(moment: NodeMoment) -> Self {
        Self(Moment::Node(moment))
    }

    /// Something happens to an engine that an agent runs.
    //= ORCH-3316
    pub const fn engine(moment: EngineMoment) -> Self {
        Self(Moment::Engine(moment))
    }

    /// So many nodes went silent at once that the network is suspected and not they.
    //= ORCH-3312
    pub const fn nodes_silent(silent: u64, of: u64) -> Self {
        Self(Moment::NodesSilent { silent, of })
    }

    /// The nodes that went silent at once are heard of again, or are given up.
    //= ORCH-3312
    pub const fn nodes_heard() -> Self {
        Self(Moment::NodesHeard)
    }

    /// Who acts.
    //= ORCH-3300
    pub const fn actor(&self) -> &'static str {
        match self.0 {
            Moment::Accepted { .. } | Moment::Refused { .. } => "admission",
            Moment::Placed { .. } => "placement",
            Moment::StreamStarted { .. } | Moment::StreamEnded { .. } => "engine",
            Moment::Canceled { .. } => "client",
            Moment::DrainStarted { .. } | Moment::DrainEnded { .. } => "server",
            Moment::PoolDrains { .. } | Moment::Pool(_) => "operator",
            Moment::Node(_) => "node",
            Moment::Engine(_) => "agent",
            Moment::NodesSilent { .. } | Moment::NodesHeard => "registry",
        }
    }

    /// What it does.
    pub const fn action(&self) -> &'static str {
        match self.0 {
            Moment::Accepted { .. } => "accept",
            Moment::Refused { .. } => "refuse",
            Moment::Placed { .. } => "place",
            Moment::StreamStarted { .. } => "start",
            Moment::StreamEnded { .. } => "end",
            Moment::Canceled { .. } => "cancel",
            Moment::DrainStarted { .. } => "drain_start",
            Moment::DrainEnded { .. } => "drain_end",
            Moment::PoolDrains { .. } => "drain",
            Moment::Pool(moment) => moment.action(),
            Moment::Node(moment) => moment.action(),
            Moment::Engine(moment) => moment.action(),
            Moment::NodesSilent { .. } => "alarm",
            Moment::NodesHeard => "alarm_end",
        }
    }

    /// What kind of thing it does it to. Log lines call it `target_kind`.
    pub const fn target(&self) -> &'static str {
        match self.0 {
            Moment::Accepted { .. }
            | Moment::Refused { .. }
            | Moment::Placed { .. }
            | Moment::Canceled { .. } => "job",
            Moment::StreamStarted { .. } | Moment::StreamEnded { .. } => "stream",
            Moment::DrainStarted { .. } | Moment::DrainEnded { .. } => "pools",
            Moment::PoolDrains { .. } | Moment::Pool(_) => "pool",
            Moment::Node(_) => "node",
            Moment::Engine(_) => "engine",
            Moment::NodesSilent { .. } | Moment::NodesHeard => "nodes",
        }
    }

    /// The sentence.
    pub fn human(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Narration {
    //= ORCH-3302
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Moment::Accepted { class, ahead, start_in } => {
                let class = match class {
                    Class::Interactive => "an interactive",
                    Class::Batch => "a batch",
                };
                let (ahead, start_in) = (Count(ahead.into(), "job"), Spoken(start_in));
                write!(f, "Admission accepts {class} job with {ahead} ahead; it starts in {start_in}.")
            }
            Moment::Refused { refusal, retry_after: None } => {
                write!(f, "Admission refuses a job because {}.", refusal.phrase())
            }
            Moment::Refused { refusal, retry_after: Some(wait) } => {
                let (why, wait) = (refusal.phrase(), Spoken(wait));
                write!(f, "Admission refuses a job because {why}; it suggests a retry in {wait}.")
            }
            Moment::Placed { attempt: 0 | 1, waited } => {
                write!(f, "Placement gives a job a slot after {} of waiting.", Spoken(waited))
            }
            Moment::Placed { attempt, waited } => {
                let waited = Spoken(waited);
                write!(f, "Placement gives a job a slot on attempt {attempt}, after {waited} of waiting.")
            }
            Moment::StreamStarted { after } => {
                write!(f, "The engine sends its first text {} after dispatch.", Spoken(after))
            }
            Moment::StreamEnded { ending, tokens, took } => {
                let (why, tokens, took) = (ending.phrase(), Count(tokens, "token"), Spoken(took));
                write!(f, "The stream ends because {why}, after {tokens} in {took}.")
            }
            Moment::Canceled { phase: Phase::Queued } => {
                f.write_str("A client cancels a job that is still queued.")
            }
            Moment::Canceled { phase: Phase::Running } => {
                f.write_str("A client cancels a job that is running.")
            }
            Moment::DrainStarted { running, queued, grace } => {
                let (running, queued, grace) = (Count(running, "job"), Count(queued, "job"), Spoken(grace));
                write!(f, "The server drains {running} running and {queued} queued within {grace}.")
            }
            Moment::DrainEnded { aborted, took } => {
                let (aborted, took) = (Count(aborted, "job"), Spoken(took));
                write!(f, "The server is empty after {took}; it cuts off {aborted}.")
            }
            Moment::PoolDrains { within } => {
                write!(f, "The pool takes nothing new; what it runs ends within {}.", Spoken(within))
            }
            Moment::Pool(moment) => f.write_str(moment.sentence()),
            Moment::Node(moment) => f.write_str(moment.sentence()),
            Moment::Engine(moment) => f.write_str(moment.sentence()),
            Moment::NodesSilent { silent, of } => {
                let (silent, of) = (Count(silent, "node"), Count(of, "node"));
                write!(f, "The registry misses {silent} at once, of {of}; it gives up none yet.")
            }
            Moment::NodesHeard => f.write_str("The alarm about silent nodes is over."),
        }
    }
}

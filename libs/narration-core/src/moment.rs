//! The closed words that a narration may use.
//!
//! They mirror the core's reasons without depending on it: the shell translates, and a reason that the
//! core gains does not compile until somebody has chosen a phrase for it.

/// Who waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// A person.
    Interactive,
    /// A program that has time.
    Batch,
}

/// Why a job is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// There is no pool at all.
    NoPool,
    /// No pool is called like the pin.
    UnknownPin,
    /// No pool serves the model.
    NoSuchModel,
    /// No pool that serves the model does this kind of work.
    NoSuchWorkload,
    /// No pool has room for so much context.
    Context,
    /// The policy or the request rules out every device.
    Device,
    /// No allowed device has the memory for it.
    Vram,
    /// The node that it is pinned to is not there.
    Node,
    /// No pool is Ready yet.
    Unready,
    /// The pool cannot be reached.
    Unreachable,
    /// The job would start after its deadline.
    Deadline,
    /// The queue is full.
    QueueFull,
    /// The queue is full, and nothing in it may be dropped.
    NothingToDrop,
    /// Another job has this id.
    DuplicateId,
    /// Requests like it broke the engines that they met.
    Poisoned,
    /// Its session may have no further job.
    Turns,
    /// Its session's budget does not cover it.
    Budget,
    /// There are too many sessions.
    Sessions,
    /// The server is going down.
    ShuttingDown,
}

impl Refusal {
    pub(crate) const fn phrase(self) -> &'static str {
        match self {
            Self::NoPool => "there is no pool",
            Self::UnknownPin => "the pinned pool is unknown",
            Self::NoSuchModel => "no pool serves the model",
            Self::NoSuchWorkload => "no pool does this work",
            Self::Context => "it does not fit the context",
            Self::Device => "no allowed device serves it",
            Self::Vram => "no GPU has the memory",
            Self::Node => "its node is not there",
            Self::Unready => "no pool is ready",
            Self::Unreachable => "the pool is unreachable",
            Self::Deadline => "its deadline is too near",
            Self::QueueFull => "the queue is full",
            Self::NothingToDrop => "the queue is full of equals",
            Self::DuplicateId => "its id is in use",
            Self::Poisoned => "its like broke engines",
            Self::Turns => "its session is at its end",
            Self::Budget => "its budget is too small",
            Self::Sessions => "there are too many sessions",
            Self::ShuttingDown => "the server is shutting down",
        }
    }
}

/// How a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The engine came to its own end.
    Stop,
    /// The most tokens that the client wanted are there.
    Length,
    /// The client took the job back.
    Canceled,
    /// The deadline passed.
    DeadlinePassed,
    /// A newcomer took the job's place in a full queue.
    Dropped,
    /// The engine was lost.
    EngineLost,
    /// The engine went silent, or took too long as a whole.
    TimedOut,
    /// The engine refused the request.
    Refused,
    /// It broke the engines that it met.
    Poisoned,
    /// Its session's time is used up.
    BudgetSpent,
    /// Its pool is drained.
    Drained,
    /// The server is going down.
    ShuttingDown,
}

impl Ending {
    pub(crate) const fn phrase(self) -> &'static str {
        match self {
            Self::Stop => "the engine is done",
            Self::Length => "the token limit is reached",
            Self::Canceled => "the client cancels",
            Self::DeadlinePassed => "the deadline passes",
            Self::Dropped => "a newer job takes its place",
            Self::EngineLost => "the engine is lost",
            Self::TimedOut => "the engine takes too long",
            Self::Refused => "the engine refuses it",
            Self::Poisoned => "it breaks its engines",
            Self::BudgetSpent => "its time budget is spent",
            Self::Drained => "its pool is drained",
            Self::ShuttingDown => "the server shuts down",
        }
    }
}

/// Where a job stands when its client takes it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It waits.
    Queued,
    /// It holds a slot.
    Running,
}

/// What happens to a pool as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolMoment {
    /// Nothing runs there any more.
    Drained,
    /// It changes to another model, replica by replica.
    Reloads,
    /// Its engines stop, and what they left goes.
    Purged,
    /// It takes work again.
    Resumes,
}

impl PoolMoment {
    pub(crate) const fn action(self) -> &'static str {
        match self {
            Self::Drained => "drain_end",
            Self::Reloads => "reload",
            Self::Purged => "purge",
            Self::Resumes => "resume",
        }
    }

    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::Drained => "The pool is drained and takes nothing new.",
            Self::Reloads => "The pool changes to another model, one engine after the other.",
            Self::Purged => "The pool stops its engines and removes what they left.",
            Self::Resumes => "The pool takes work again.",
        }
    }
}

/// What happens to an engine that an agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EngineMoment {
    /// Its process begins.
    Starts,
    /// It has made its first token.
    Ready,
    /// It was told to end, and has.
    Stops,
    /// It ended by itself.
    Lost,
}

impl EngineMoment {
    pub(crate) const fn action(self) -> &'static str {
        match self {
            Self::Starts => "start",
            Self::Ready => "ready",
            Self::Stops => "stop",
            Self::Lost => "lose",
        }
    }

    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::Starts => "The agent starts an engine.",
            Self::Ready => "The engine is ready and takes work.",
            Self::Stops => "The agent stops its engine.",
            Self::Lost => "The engine ends by itself; the agent starts it again when its rest is over.",
        }
    }
}

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeMoment {
    /// It says that it is there.
    Registers,
    /// It is heard of, for the first time or again.
    Online,
    /// It has been silent for too long.
    Offline,
    /// It leaves, or was silent for so long that it is forgotten.
    Leaves,
    /// What it says cannot be true.
    Quarantined,
}

impl NodeMoment {
    pub(crate) const fn action(self) -> &'static str {
        match self {
            Self::Registers => "register",
            Self::Online => "return",
            Self::Offline => "fall_silent",
            Self::Leaves => "leave",
            Self::Quarantined => "quarantine",
        }
    }

    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::Registers => "A node registers.",
            Self::Online => "A node is heard of and its engines may take work.",
            Self::Offline => "A node is silent for too long; its engines get nothing new.",
            Self::Leaves => "A node leaves; what runs there goes elsewhere or ends.",
            Self::Quarantined => "A node reports what cannot be true and is left out.",
        }
    }
}

//! What a run met: counts of what happened, and of states that are seldom reached.
//!
//! A check that is never put to the test proves nothing. So the run counts the states in which
//! schedulers of this kind are known to fail, and a test fails when one of them was never reached.

use std::{collections::BTreeMap, fmt};

use crate::{JobEnd, Outcome, RejectReason, SessionRefusal};

macro_rules! rare {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A state in which a mistake would hide.
        #[derive(Debug, Clone, Copy)]
        pub(super) enum Rare { $($(#[$doc])* $name,)* }

        const RARE: &[&str] = &[$($text,)*];
    };
}

rare! {
    EndWhileAborting = "cancel races with end: ended by itself while its abort was pending",
    CancelWhileAborting = "cancel of a job whose slot is still held",
    RequeueAheadOfOthers = "waits again at its old rank, ahead of others",
    DropInteractive = "an interactive job is dropped for an interactive one",
    DropBatch = "a batch job is dropped",
    RecoveredAboveCapacity = "a recovered job waits above the bound",
    Steal = "a slot goes to a job of another pool's line",
    StrandedByLoss = "lost once, and the last replica left goes away",
    StrandedByChange = "lost once, and the last replica left changes",
    BusyRest = "a busy replica rests",
    RestEndsIntoWork = "a rested replica takes a waiting job",
    DeadlineWhileRunning = "a deadline passes while the job runs",
    DuplicateEnd = "the end of an attempt is told twice",
    ShutdownUnderLoad = "shutdown with queued and running jobs",
    ShrunkBelowUse = "a replica comes back smaller than its use",
    Retry = "a lost job starts on another replica",
    CircuitOpens = "a replica fails so many requests that it gets no more",
    TrialFails = "the single trial of a replica fails",
    CircuitCloses = "the single trial of a replica succeeds",
    Poisoned = "a request breaks a second replica",
    PoisonedInLine = "a waiting job ends because its like broke two replicas",
    PromiseKept = "a client comes back when it was told to, and comes in",
    RetryAfterTokens = "a job that was lost after a token starts again, as it wished",
    AffinityKept = "a session's job starts where the session was last",
    AffinityMoved = "a session's job starts elsewhere",
    TimeExtended = "a running job takes more of its session's time",
    TimeUsedUp = "a job is stopped because its session's time is used up",
    SessionShort = "a job is refused because its session's budget is used or held",
    SessionExceeded = "a job is refused that asks for more than its session's whole budget",
    SessionTurns = "a job is refused because its session had all of its turns",
    SessionCrowd = "a job is refused because there are too many sessions",
    SessionEndedInUse = "a session is given up while its jobs are live",
    OperationBusy = "an operation is refused because another is under way",
    DrainAgain = "a drain begins again while it is under way",
    PurgeWhileRunning = "a purge is refused because something runs",
    ShutOut = "a waiting job ends because its pools were drained",
    SavedByAnother = "a job of a drained pool waits for another pool",
    StrandedByReload = "a waiting job ends because its pool serves another model now",
    EvictedWaitsAgain = "an evicted job waits again",
    EvictedElsewhere = "an evicted job starts on another replica at once",
    EvictedAfterTokens = "an evicted attempt may have shown tokens",
    EvictedTooLate = "an eviction is answered when its replica is open again",
    BackBeforeEvicted = "a replica that was gone is back before its evictions are answered",
    EvictionRaced = "an attempt that is evicted ends by itself",
    CancelWhileEvicted = "a job ends otherwise while its attempt is evicted",
    DrainedByLast = "the last slot of a closed scope is given back",
    OpenedIntoWork = "what is opened takes a waiting job",
    NodeLost = "several replicas of a node go silent or away at once",
    PinnedNodeStart = "a job that is pinned to a node starts there",
    NeedStart = "a job with a known need of memory starts where the memory is told",
    IdUsedAgain = "the id of an ended job is used again",
}

/// Numbers by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    pub(super) fn add(&mut self, name: &'static str, count: u64) {
        *self.0.entry(name).or_default() += count;
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            self.add(name, *count);
        }
    }

    pub(super) fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    pub(super) fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, count)| writeln!(f, "  {count:>9}  {name}"))
    }
}

/// What one world met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) rejected: Counts,
    pub(super) ended: Counts,
    pub(super) faults: Counts,
    pub(super) rare: Counts,
    pub(super) accepted: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let mut rare = Counts::default();
        // Those never reached are shown too.
        for name in RARE {
            rare.add(name, 0);
        }
        let none = Counts::default();
        Self { rejected: none.clone(), ended: none.clone(), faults: none, rare, accepted: 0 }
    }
}

impl Tally {
    pub(super) fn add_all(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.rejected.add_all(&other.rejected);
        self.ended.add_all(&other.ended);
        self.faults.add_all(&other.faults);
        self.rare.add_all(&other.rare);
    }

    pub(super) fn reach(&mut self, rare: Rare) {
        if let Some(name) = RARE.get(rare as usize) {
            self.rare.add(name, 1);
        }
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "like assert!, it takes a condition")]
    pub(super) fn reach_if(&mut self, reached: bool, rare: Rare) {
        if reached {
            self.reach(rare);
        }
    }

    pub(super) fn never_reached(&self) -> Vec<&'static str> {
        RARE.iter().copied().filter(|name| self.rare.of(name) == 0).collect()
    }

    pub(super) fn reject(&mut self, reason: &RejectReason) {
        self.rejected.add(reject_name(reason), 1);
    }

    pub(super) fn session(&mut self, refusal: SessionRefusal) {
        match refusal {
            SessionRefusal::Spent(_) => self.reach(Rare::SessionShort),
            SessionRefusal::Exceeds(..) => self.reach(Rare::SessionExceeded),
            SessionRefusal::Turns(_) => self.reach(Rare::SessionTurns),
            SessionRefusal::TooMany => self.reach(Rare::SessionCrowd),
            SessionRefusal::OtherBudget => {}
        }
    }

    pub(super) fn end(&mut self, end: JobEnd) {
        self.ended.add(end_name(end), 1);
    }

    pub(super) fn fault(&mut self, outcome: Outcome) {
        let name = match outcome {
            Outcome::Completed => return,
            Outcome::Aborted => "stopped",
            Outcome::Lost { tokens_out: 0 } => "lost before a token",
            Outcome::Lost { .. } => "lost after a token",
            Outcome::TimedOut { tokens_out: 0 } => "silent before a token",
            Outcome::TimedOut { .. } => "silent after a token",
            Outcome::Busy { .. } => "busy",
            Outcome::Refused => "refused",
            Outcome::Evicted { .. } => "evicted",
        };
        self.faults.add(name, 1);
    }
}

fn reject_name(reason: &RejectReason) -> &'static str {
    match reason {
        RejectReason::NoPool => "no pool",
        RejectReason::UnknownPin => "unknown pin",
        RejectReason::NoSuchModel => "no such model",
        RejectReason::Context { .. } => "context",
        RejectReason::Device => "device",
        RejectReason::Unready => "unready",
        RejectReason::Unreachable => "unreachable",
        RejectReason::NodeUnavailable => "node unavailable",
        RejectReason::Vram { .. } => "too little memory",
        RejectReason::Deadline { .. } => "deadline",
        RejectReason::QueueFull => "queue full",
        RejectReason::NothingToDrop => "nothing to drop",
        RejectReason::DuplicateId => "duplicate id",
        RejectReason::Poisoned => "poisoned",
        RejectReason::NoSuchWorkload => "no such workload",
        RejectReason::Session(_) => "session",
        RejectReason::ShuttingDown => "shutting down",
    }
}

fn end_name(end: JobEnd) -> &'static str {
    use crate::FailReason as Why;
    match end {
        JobEnd::Completed => "completed",
        JobEnd::Canceled => "canceled",
        JobEnd::Failed(Why::DeadlinePassed) => "deadline passed",
        JobEnd::Failed(Why::Dropped) => "dropped",
        JobEnd::Failed(Why::EngineLost) => "engine lost",
        JobEnd::Failed(Why::Poisoned) => "poisoned",
        JobEnd::Failed(Why::TimedOut) => "timed out",
        JobEnd::Failed(Why::Refused) => "refused",
        JobEnd::Failed(Why::BudgetSpent) => "time used up",
        JobEnd::Failed(Why::Drained) => "drained",
        JobEnd::Failed(Why::ShuttingDown) => "shutting down",
    }
}

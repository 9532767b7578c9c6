//! A second, naive set of books, kept from events and effects alone.
//!
//! The checks compare what the scheduler does with what these books allow. They share no code and no
//! data structure with the scheduler (lists are scanned, fitting is decided anew), so that one
//! mistake is not made twice.

use super::{
    closing::{Evicted, HoldNote},
    faults::{Breaks, Record},
    ledger::Ledger,
};
use crate::{
    AdmissionPolicy, Claimant, Device, GpuPolicy, JobId, LeaseId, Loaded, NewJob, OperationKind, PoolId,
    Priority, Readiness, ReplicaId, ReplicaView, Requirements, Rules, Timestamp,
};

/// Whether a replica is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Here,
    /// An attempt broke on it, and it was not looked at since.
    Suspect,
    Gone,
}

/// What is known of one replica. It is never struck out: its name stands for it.
#[derive(Debug)]
pub(super) struct ReplicaNote {
    pub(super) view: ReplicaView,
    /// Its pool, as an index.
    pub(super) pool: usize,
    pub(super) presence: Presence,
    pub(super) rests_until: Timestamp,
    pub(super) used: u32,
    pub(super) record: Record,
}

impl ReplicaNote {
    pub(super) fn is_here(&self) -> bool {
        self.presence != Presence::Gone
    }

    fn serves(&self) -> bool {
        self.is_here() && self.view.readiness == Readiness::Ready
    }

    /// Whether one more attempt may start here now, as long as nobody has closed it.
    pub(super) fn has_room(&self, now: Timestamp) -> bool {
        let trusted = self.serves() && self.presence == Presence::Here;
        trusted && now >= self.rests_until && self.used < self.view.slots && self.record.admits(now)
    }
}

/// By what a client is known that was told to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claimed {
    Job(JobId),
    Like(u64),
}

impl Claimed {
    pub(super) fn by(job: &NewJob) -> Self {
        match job.claimant {
            Claimant::Job => Self::Job(job.id),
            Claimant::Like(likeness) => Self::Like(likeness),
        }
    }
}

/// Where a live job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// In the line of this pool.
    Waiting(usize),
    /// With this slot.
    Running(LeaseId),
}

/// What is known of one live job.
#[derive(Debug)]
pub(super) struct JobNote {
    pub(super) job: NewJob,
    pub(super) standing: Standing,
    /// Replicas on which it was lost.
    pub(super) tried: Vec<usize>,
    /// Attempts that an earlier process made, if it comes from one.
    pub(super) earlier: Option<u32>,
    /// Whether its replica went away, or its pool was reloaded since it came in.
    pub(super) adrift: bool,
}

impl JobNote {
    pub(super) fn line(&self) -> Option<usize> {
        match self.standing {
            Standing::Waiting(line) => Some(line),
            Standing::Running(_) => None,
        }
    }
}

/// What is known of one slot in use.
#[derive(Debug)]
pub(super) struct LeaseNote {
    pub(super) id: LeaseId,
    pub(super) job: JobId,
    pub(super) replica: usize,
    pub(super) aborted: bool,
    pub(super) evicted: Option<Evicted>,
}

/// The books.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) rules: Rules,
    pub(super) closing: bool,
    pub(super) pools: Vec<PoolId>,
    pub(super) replicas: Vec<ReplicaNote>,
    /// Live jobs in the order in which they were accepted.
    pub(super) live: Vec<JobNote>,
    pub(super) leases: Vec<LeaseNote>,
    /// Clients that were told to come back, to which pool, and until when they are waited for.
    pub(super) promised: Vec<(Claimed, usize, Timestamp)>,
    pub(super) breaks: Breaks,
    pub(super) holds: Vec<HoldNote>,
    /// What is under way, by the indices of pools.
    pub(super) operations: Vec<(usize, OperationKind)>,
    pub(super) ledger: Ledger,
    pub(super) newest_lease: Option<LeaseId>,
    pub(super) accepted: u64,
    pub(super) ended: u64,
}

impl Book {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            closing: false,
            pools: Vec::new(),
            replicas: Vec::new(),
            live: Vec::new(),
            leases: Vec::new(),
            promised: Vec::new(),
            breaks: Breaks::default(),
            holds: Vec::new(),
            operations: Vec::new(),
            ledger: Ledger::new(rules.sessions),
            newest_lease: None,
            accepted: 0,
            ended: 0,
        }
    }

    pub(super) fn find(&self, id: JobId) -> Option<usize> {
        self.live.iter().position(|note| note.job.id == id)
    }

    pub(super) fn find_running(&self, lease: LeaseId) -> Option<usize> {
        self.live.iter().position(|note| note.standing == Standing::Running(lease))
    }

    pub(super) fn find_lease(&self, id: LeaseId) -> Option<usize> {
        self.leases.iter().position(|lease| lease.id == id)
    }

    pub(super) fn find_pool(&self, id: &PoolId) -> Option<usize> {
        self.pools.iter().position(|pool| pool == id)
    }

    pub(super) fn find_replica(&self, pool: &PoolId, replica: &ReplicaId) -> Option<usize> {
        self.replicas.iter().position(|it| it.view.replica == *replica && it.view.pool == *pool)
    }

    /// The pool of this name, entered if it is not yet.
    pub(super) fn name_pool(&mut self, id: &PoolId) -> usize {
        self.find_pool(id).unwrap_or_else(|| {
            self.pools.push(id.clone());
            self.pools.len() - 1
        })
    }

    /// Takes in a view, and says which replica it is about.
    pub(super) fn see(&mut self, view: &ReplicaView) -> usize {
        let pool = self.name_pool(&view.pool);
        if let Some(index) = self.find_replica(&view.pool, &view.replica) {
            let note = &mut self.replicas[index];
            if !note.is_here() {
                note.rests_until = Timestamp::default();
                note.record = Record::default();
            }
            note.view.clone_from(view);
            note.presence = Presence::Here;
            return index;
        }
        let rests_until = Timestamp::default();
        let view = view.clone();
        let record = Record::default();
        self.replicas.push(ReplicaNote {
            view,
            pool,
            presence: Presence::Here,
            rests_until,
            used: 0,
            record,
        });
        self.replicas.len() - 1
    }

    /// Whether the job may run on the replica, room aside.
    pub(super) fn suits(&self, job: &Requirements, tried: &[usize], replica: usize) -> bool {
        !tried.contains(&replica) && hurdle(job, &self.replicas[replica].view, self.rules.gpu) == Hurdle::None
    }

    pub(super) fn suits_note(&self, note: &JobNote, replica: usize) -> bool {
        self.suits(&note.job.requirements, &note.tried, replica)
    }

    /// Whether a replica serves newcomers, room aside.
    pub(super) fn serves(&self, replica: usize) -> bool {
        self.replicas[replica].serves() && !self.is_closed(replica)
    }

    /// Whether one more attempt may start on a replica now.
    pub(super) fn is_open(&self, replica: usize, now: Timestamp) -> bool {
        self.replicas[replica].has_room(now) && !self.is_closed(replica)
    }

    /// Waiting jobs in the line of a pool, oldest first.
    pub(super) fn in_line(&self, pool: usize) -> impl Iterator<Item = &JobNote> {
        self.live.iter().filter(move |note| note.line() == Some(pool))
    }

    /// Places of a pool's queue that may be kept for clients who were promised one.
    pub(super) fn promised(&self, pool: usize, now: Timestamp) -> usize {
        self.promised.iter().filter(|(_, to, until)| *to == pool && now <= *until).count()
    }

    /// Whoever comes in needs its places no more. Of several who ask for the same one is served, in each pool the one
    /// whose place comes first; the jitter lets that be another than the one who was told first.
    pub(super) fn keep_promises(&mut self, claim: Claimed) {
        if let Claimed::Job(_) = claim {
            return self.promised.retain(|(client, ..)| *client != claim);
        }
        for pool in 0..self.pools.len() {
            let of_pool = self
                .promised
                .iter()
                .enumerate()
                .filter(|(_, (client, to, _))| (*client, *to) == (claim, pool));
            let first = of_pool.min_by_key(|(_, (_, _, until))| *until).map(|(place, _)| place);
            first.map(|place| self.promised.remove(place));
        }
    }

    pub(super) fn waiting(&self, pool: usize) -> usize {
        self.in_line(pool).count()
    }

    /// Jobs that stand before one of this class that would join the line now.
    pub(super) fn ahead(&self, pool: usize, priority: Priority) -> usize {
        self.in_line(pool).filter(|note| note.job.priority <= priority).count()
    }

    /// The job that a full queue gives up for a newcomer of this class.
    pub(super) fn victim(&self, pool: usize, newcomer: Priority) -> Option<JobId> {
        if self.rules.policy == AdmissionPolicy::Reject {
            return None;
        }
        let oldest =
            |class| self.in_line(pool).find(|note| note.job.priority == class).map(|note| note.job.id);
        oldest(Priority::Batch).or_else(|| match newcomer {
            Priority::Interactive => oldest(Priority::Interactive),
            Priority::Batch => None,
        })
    }

    /// Whether the scheduler must do something by itself between these moments.
    pub(super) fn is_due(&self, last: Timestamp, now: Timestamp) -> bool {
        self.live.iter().any(|note| note.job.deadline.is_some_and(|deadline| deadline <= now))
            || self.next_expiry().is_some_and(|at| at <= now)
            || self.ledger.next_allowance().is_some_and(|(at, _)| at <= now)
            || self.replicas.iter().any(|it| {
                let opens = it.record.closed_until;
                (it.rests_until > last && it.rests_until <= now) || (opens > last && opens <= now)
            })
    }
}

/// What keeps a job from a replica, in the order in which it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hurdle {
    Pin,
    Node,
    Model,
    Workload,
    Engine,
    Avoided,
    Mask,
    Cpu,
    Context(u32),
    Memory { need: u64, have: u64 },
    None,
}

/// The first hurdle between a job and a replica. Decided anew here, on purpose.
pub(super) fn hurdle(job: &Requirements, at: &ReplicaView, gpu: GpuPolicy) -> Hurdle {
    match &job.pin_pool {
        Some(pin) if at.pool.as_str() != pin.as_str() => return Hurdle::Pin,
        _ => {}
    }
    match (&job.pin_node, &at.node) {
        (Some(pin), Some(node)) if pin == node => {}
        (None, _) => {}
        _ => return Hurdle::Node,
    }
    if !at.models.contains(&job.model) {
        return Hurdle::Model;
    }
    if !at.workloads.contains(&job.workload) {
        return Hurdle::Workload;
    }
    match &job.engine {
        Some(engine) if at.engine != *engine => return Hurdle::Engine,
        _ => {}
    }
    if job.avoid_pools.contains(&at.pool) {
        return Hurdle::Avoided;
    }
    let on = match &at.device {
        Device::Unstated => None,
        Device::Cpu => Some("cpu"),
        Device::Mask(mask) => Some(&**mask),
    };
    match &job.device_mask {
        Some(mask) if on != Some(&**mask) => return Hurdle::Mask,
        _ => {}
    }
    if on == Some("cpu") && gpu == GpuPolicy::VramOnly {
        return Hurdle::Cpu;
    }
    match at.ctx_max {
        Some(limit) if limit < job.ctx => return Hurdle::Context(limit),
        _ => {}
    }
    match (job.vram_need, memory(at)) {
        (Some(need), Some(have)) if have < need => Hurdle::Memory { need, have },
        _ => Hurdle::None,
    }
}

/// The memory against which a need is held, if any is told.
pub(super) fn memory(at: &ReplicaView) -> Option<u64> {
    if at.device == Device::Cpu {
        return None;
    }
    let whole_device = at.loaded == Loaded::Yes && at.vram_total_bytes.is_some();
    if whole_device || at.vram_free_bytes.is_none() { at.vram_total_bytes } else { at.vram_free_bytes }
}

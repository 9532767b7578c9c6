//! After a start: jobs of earlier processes come back.
//!
//! What waited, waits again in its order and class. What an engine had and had not said anything of, runs again.
//! What readers had tokens of ends as a lost engine would end it, unless its client has said how to go on.
//! What had ended can be read as before.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use api_types::{TaskState, TaskView};
use auth_min::Identity;
use orchestrator_core::{
    Assignment, FailReason, JobEnd, JobId, PoolId, Priority, Recovered, ReplicaId, Requirements, SessionId,
    SessionRecord, Timestamp,
};
use store_api::{Rank, Shelf, StoredJob, WallMillis};
use tracing::info;
use uuid::Uuid;

use super::{
    admission::{Admission, NewTask},
    handle::SchedulerHandle,
    job::{
        Attempt, Durability, Earlier, JobEntry, JobFacts, JobStatus, OnDisconnect, OnEngineLoss, Past,
        Surface,
    },
    jobs::Jobs,
    keeper::{Keeper, parts},
    models::Models,
    saved::{self, Said, SavedEnd, SavedProgress, SavedSession, SavedTask},
};
use crate::{
    clock::Clock,
    error::ApiError,
    relay::{IDS_PER_LIFE, JobLog},
};

/// So many ended jobs are asked of the store at once.
const PAGE: usize = 2_000;

/// Makes a task of a request that was kept.
pub(crate) type ReadTask = fn(&SavedTask, &Models) -> Result<NewTask, ApiError>;

/// Jobs of earlier processes.
#[derive(Default)]
pub(crate) struct Restored {
    live: Vec<(Rank, Arc<JobEntry>, Next)>,
    ended: Vec<(Rank, Arc<JobEntry>, WallMillis)>,
    sessions: Vec<SessionRecord>,
}

/// How a live job goes on.
enum Next {
    Again(Box<Recovered>),
    Lost,
}

/// What a job is read with.
pub(crate) struct Reader<'a> {
    pub(crate) keeper: &'a Keeper,
    pub(crate) admission: &'a Admission,
    pub(crate) clock: Clock,
    pub(crate) read: ReadTask,
}

impl Restored {
    /// Reads all jobs, and makes the live ones those of this process.
    pub(crate) async fn load(reader: &Reader<'_>, ended_max: usize) -> anyhow::Result<Self> {
        let store = reader.keeper.store();
        let mut restored = Self::default();
        for job in store
            .claim(reader.keeper.owner(), usize::MAX)
            .await
            .context("the jobs of the store cannot be read")?
        {
            let (id, rank) = (Uuid::from_u128(job.key.0), job.rank);
            let live = reader.live(job).await;
            let (entry, next) = live.with_context(|| format!("task {id} in the store cannot be read"))?;
            restored.live.push((rank, entry, next));
        }
        let mut before = None;
        while restored.ended.len() < ended_max {
            let page =
                store.ended(before, PAGE).await.context("the ended jobs of the store cannot be read")?;
            let Some(oldest) = page.last() else { break };
            before = Some(oldest.rank);
            for job in page {
                let id = Uuid::from_u128(job.key.0);
                let ended = ended(&job, reader.clock);
                restored.ended.push(ended.with_context(|| format!("task {id} in the store cannot be read"))?);
            }
        }
        for record in
            store.records(Shelf::Sessions).await.context("the sessions of the store cannot be read")?
        {
            let told = || format!("session {} in the store cannot be read", record.name);
            let saved: SavedSession = saved::read(&record.body).with_context(told)?;
            let id = Uuid::try_parse(&record.name).with_context(told)?;
            restored.sessions.push(saved.record(SessionId::from_u128(id.as_u128()), reader.clock));
        }
        Ok(restored)
    }

    /// Puts the jobs where those of this process are.
    pub(crate) fn enter(self, jobs: &Jobs, scheduler: &SchedulerHandle, clock: Clock) {
        let Self { live, mut ended, sessions } = self;
        let (came_back, over) = (live.len(), ended.len());
        let mut all: Vec<_> = live.iter().map(|(rank, entry, _)| (*rank, Arc::clone(entry))).collect();
        all.extend(ended.iter().map(|(rank, entry, _)| (*rank, Arc::clone(entry))));
        all.sort_unstable_by_key(|(rank, _)| *rank);
        for (_, entry) in all {
            jobs.insert(entry);
        }
        ended.sort_unstable_by_key(|(rank, _, at)| (*at, *rank));
        for (_, entry, at) in ended {
            jobs.ended_before(&entry, clock.at_unix_ms(at.0));
        }
        let lost = live.iter().filter(|(_, _, next)| matches!(next, Next::Lost)).count();
        for session in sessions {
            scheduler.recover_session(session);
        }
        for (_, entry, next) in live {
            match next {
                Next::Again(recovered) => scheduler.recover(recovered),
                Next::Lost => scheduler.lost(entry),
            }
        }
        if came_back + over > 0 {
            info!(target: "orchestratord::restore", waiting = came_back - lost, lost, ended = over,
                "jobs of earlier processes are back");
        }
    }
}

impl Reader<'_> {
    async fn live(&self, job: StoredJob) -> anyhow::Result<(Arc<JobEntry>, Next)> {
        let saved: SavedTask = saved::read(&job.body)?;
        let progress = job.note.as_deref().map(saved::read::<SavedProgress>).transpose()?;
        let task = (self.read)(&saved, &self.admission.models)
            .map_err(|error| anyhow!("{}", error.body().message))?;
        let stream = self.keeper.store().stream(job.key).await?;
        let life = job.ids_reserved / IDS_PER_LIFE;
        let log = JobLog::restored(&parts(stream), life * IDS_PER_LIFE)?;
        let accepted_at = self.clock.at_unix_ms(saved.accepted_ms);
        let new = self.admission.prepare(&task, accepted_at);
        let said = progress.as_ref().map_or(Said::Nothing, |it| it.said);
        let earlier = Earlier { fence: job.fence, life, said };
        let entry = Arc::into_inner(task.entry).ok_or_else(|| anyhow!("it is in use"))?;
        let entry = entry.recovered(log, &earlier);
        let lost = said == Said::Tokens && entry.facts.on_engine_loss == OnEngineLoss::Fail;
        let pool = PoolId::new(saved.admission.pool.as_str());
        entry.restore(JobStatus {
            admission: Some(saved.admission.into()),
            accepted_at,
            attempt: progress.as_ref().filter(|_| lost).map(|it| attempt(entry.facts.id, it, self.clock)),
            ..JobStatus::default()
        });
        if let Some(traces) = &self.admission.traces {
            traces.go_on(&entry, saved.trace.as_ref(), accepted_at);
        }
        let attempts = progress.map_or(0, |it| it.attempt);
        let next =
            if lost { Next::Lost } else { Next::Again(Box::new(Recovered { job: new, pool, attempts })) };
        Ok((Arc::new(entry), next))
    }
}

fn attempt(job: JobId, saved: &SavedProgress, clock: Clock) -> Attempt {
    let place = (PoolId::new(saved.pool.as_str()), ReplicaId::new(saved.replica.as_str()));
    Attempt {
        assignment: Assignment::of_earlier_process(job, place, saved.attempt),
        engine: engine(&saved.engine),
        engine_version: saved.engine_version.clone(),
        dispatched_at: clock.at_unix_ms(saved.dispatched_ms),
        first_token_at: None,
        series: None,
    }
}

/// The name of an engine as adapters say it.
fn engine(name: &str) -> &'static str {
    let known = config_schema::EngineKind::ALL.iter().map(|kind| kind.as_str());
    known.into_iter().find(|known| *known == name).unwrap_or("unknown")
}

fn ended(job: &StoredJob, clock: Clock) -> anyhow::Result<(Rank, Arc<JobEntry>, WallMillis)> {
    let saved: SavedEnd = saved::read(&job.body)?;
    let at = job.ended.ok_or_else(|| anyhow!("it has not ended"))?;
    let view = saved.view;
    let facts = facts(JobId::from_u128(job.key.0), &view, &saved.fingerprint)?;
    let status = JobStatus {
        admission: saved.admission.map(Into::into),
        accepted_at: clock.at_unix_ms(saved.accepted_ms),
        attempt: placed(facts.id, &view),
        recovery: view.recovery,
        ended: Some((clock.at_unix_ms(at.0), end_of(&view))),
        ..JobStatus::default()
    };
    let bytes = usize::try_from(saved.bytes)?;
    let entry = JobEntry::of_the_past(facts, Past { view, events: saved.events }, bytes, job.fence);
    entry.restore(status);
    Ok((job.rank, Arc::new(entry), at))
}

fn placed(job: JobId, view: &TaskView) -> Option<Attempt> {
    let placed = view.placement.as_ref()?;
    let place = (PoolId::new(placed.pool_id.as_str()), ReplicaId::new(placed.replica_id.as_str()));
    Some(Attempt {
        assignment: Assignment::of_earlier_process(job, place, view.attempts),
        engine: engine(&placed.engine),
        engine_version: placed.engine_version.clone(),
        dispatched_at: Timestamp::default(),
        first_token_at: None,
        series: None,
    })
}

fn end_of(view: &TaskView) -> JobEnd {
    match view.state {
        TaskState::Completed => JobEnd::Completed,
        TaskState::Canceled => JobEnd::Canceled,
        // Why it failed stands in the view, which is what its client gets.
        TaskState::Failed | TaskState::Queued | TaskState::Running => JobEnd::Failed(FailReason::EngineLost),
    }
}

/// What is still of use of a job that ended.
fn facts(id: JobId, view: &TaskView, fingerprint: &str) -> anyhow::Result<JobFacts> {
    let mut requirements = Requirements::of(view.model_ref.as_str(), 0);
    requirements.workload = match view.workload {
        api_types::Workload::Completion => orchestrator_core::Workload::Completion,
        api_types::Workload::Embedding => orchestrator_core::Workload::Embedding,
        api_types::Workload::Rerank => orchestrator_core::Workload::Rerank,
    };
    Ok(JobFacts {
        id,
        session_id: Uuid::try_parse(&view.session_id)?,
        model_ref: view.model_ref.as_str().into(),
        requirements,
        priority: match view.priority {
            api_types::Priority::Interactive => Priority::Interactive,
            api_types::Priority::Batch => Priority::Batch,
        },
        prompt_tokens: 0,
        fingerprint: saved::unhex(fingerprint).ok_or_else(|| anyhow!("its fingerprint is no digest"))?,
        surface: Surface::Native,
        correlation_id: "".into(),
        identity: Identity::Localhost,
        on_disconnect: OnDisconnect::Continue,
        on_engine_loss: OnEngineLoss::Fail,
        durability: Durability::Fsync,
        trace: None,
    })
}

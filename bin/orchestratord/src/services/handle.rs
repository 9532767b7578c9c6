//! A cheap way to reach the scheduler from anywhere, without knowing who owns it.

use std::sync::Arc;

use adapter_host::SlotReturn;
use orchestrator_core::{
    Event, JobId, LeaseId, Operation, Outcome, PoolId, PoolSummary, Recovered, ReplicaId, SessionId,
    SessionRecord, SessionView, Spent, Timestamp, Why,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
};

use super::{
    command::{Begun, Command, Refused, Scope, Silence, Submission},
    job::JobEntry,
    scheduler::Owner,
    turns::Turns,
};
use crate::metrics::CanceledBy;

/// A cheap way to reach the scheduler.
#[derive(Clone, Default)]
pub(crate) struct SchedulerHandle {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    turns: Turns<Owner>,
    /// Has a task run what waits.
    alarm: Notify,
}

impl SchedulerHandle {
    /// Who runs the scheduler, for the scheduler alone.
    pub(super) fn turns(&self) -> &Turns<Owner> {
        &self.shared.turns
    }

    /// Waits until something waits that nobody runs.
    pub(super) async fn alarmed(&self) {
        self.shared.alarm.notified().await;
    }

    /// Has the scheduler's own task look.
    pub(super) fn alarm(&self) {
        self.shared.alarm.notify_one();
    }

    /// Runs what waits at once. The caller holds no lock that the scheduler might need.
    fn run(&self) {
        // Attempts are spawned where they are decided on, so there must be a runtime.
        if Handle::try_current().is_ok() { self.turns().run() } else { self.alarm() }
    }

    /// Leaves a command for the scheduler's own task: the caller may hold anything.
    fn leave(&self, command: Command) {
        self.turns().tell(command);
        self.alarm();
    }

    /// Asks for a job to be taken in.
    pub(crate) fn submit(&self, submission: Box<Submission>) -> Result<(), Refused> {
        self.turns().ask(Command::Submit(submission))?;
        self.run();
        Ok(())
    }

    /// Takes a job back. When this returns, its log holds its terminal event.
    pub(crate) async fn cancel(&self, entry: Arc<JobEntry>, by: CanceledBy) -> Result<(), Refused> {
        self.ask(|reply| Command::Cancel(entry, by, reply)).await
    }

    /// Gives up a job whose client was told that it did not come in.
    pub(crate) fn abandon(&self, entry: Arc<JobEntry>) {
        self.leave(Command::Abandon(entry));
    }

    /// A job of an earlier process comes back.
    pub(super) fn recover(&self, recovered: Box<Recovered>) {
        self.leave(Command::Recover(recovered));
    }

    /// A session of an earlier process comes back.
    pub(super) fn recover_session(&self, record: SessionRecord) {
        self.leave(Command::RecoverSession(Box::new(record)));
    }

    /// Gives up in the store the sessions that are forgotten.
    pub(crate) fn sweep_sessions(&self) {
        self.leave(Command::SweepSessions);
    }

    /// A job of an earlier process is over.
    pub(super) fn lost(&self, entry: Arc<JobEntry>) {
        self.leave(Command::Lost(entry));
    }

    /// All pools as they are now.
    pub(crate) async fn pools(&self) -> Result<Vec<PoolSummary>, Refused> {
        self.ask(Command::Pools).await
    }

    /// Jobs ahead of a waiting job.
    pub(crate) async fn position(&self, job: JobId) -> Result<Option<u32>, Refused> {
        self.ask(|reply| Command::Position(job, reply)).await
    }

    /// Why a waiting job gets no slot now; `None` when it does not wait.
    pub(crate) async fn explain(&self, job: JobId) -> Result<Option<Why>, Refused> {
        self.ask(|reply| Command::Explain(job, reply)).await
    }

    /// A session as it stands.
    pub(crate) async fn session(&self, id: SessionId) -> Result<Option<SessionView>, Refused> {
        self.ask(|reply| Command::Session(id, reply)).await
    }

    /// Gives a session up. Its running jobs go on.
    pub(crate) async fn end_session(&self, id: SessionId) -> Result<(), Refused> {
        self.ask(|reply| Command::EndSession(id, reply)).await
    }

    /// Whether no job is alive and no slot is taken.
    pub(crate) async fn is_idle(&self) -> bool {
        self.ask(Command::IsIdle).await.unwrap_or(false)
    }

    /// Asks to do something to a pool as a whole.
    pub(crate) async fn begin(&self, pool: PoolId, operation: Operation) -> Result<Begun, Refused> {
        self.ask(|reply| Command::Begin(pool, operation, reply)).await
    }

    /// Has a pool or a replica take nothing new; what this returns hears when nothing runs there.
    pub(crate) async fn close(
        &self,
        scope: Scope,
        deadline: Timestamp,
    ) -> Result<oneshot::Receiver<()>, Refused> {
        self.ask(|reply| Command::Close(scope, deadline, reply)).await
    }

    /// The node of these replicas is not heard of.
    pub(super) fn node_is_silent(&self, replicas: Vec<(PoolId, ReplicaId)>, silence: Silence) {
        self.leave(Command::NodeIsSilent(replicas, silence));
    }

    /// Tells what happened.
    pub(crate) fn tell(&self, event: Event) {
        self.leave(Command::Tell(Box::new(event)));
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Refused> {
        let (reply, answer) = oneshot::channel();
        self.turns().ask(command(reply))?;
        self.run();
        answer.await.map_err(|_gone| Refused)
    }
}

impl SlotReturn for SchedulerHandle {
    fn attempt_ended(&self, lease: LeaseId, outcome: Outcome, spent: Spent) {
        self.turns().tell(Command::AttemptEnded(lease, outcome, spent));
        self.run();
    }
}

//! Taking orders: what is wanted, who gets which answer, and when.

use std::time::Duration;

use api_types::ErrorCode;
use narration_core::{Narration, PoolMoment, narrate};
use pool_registry_types::{
    DrainPool, OperationKind, OperationState, OperationView, PoolAnswer, PurgePool, ReloadPool,
};
use tokio::time::Instant;
use trace_export::TraceContext;

use super::{ANSWER_WITHIN, Pool, Reply};
use crate::{
    machine::{Busy, Effect, Order, Rest},
    provision::{Choice, Leftover},
};

/// How long running streams get when a reload or purge does not say.
const DRAIN_DEFAULT: Duration = Duration::from_secs(30);

/// What somebody wants of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    Drain(DrainPool),
    Reload(ReloadPool),
    Purge(PurgePool),
    Resume,
}

/// Why a wish is not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

impl From<Busy> for Refusal {
    fn from(busy: Busy) -> Self {
        let code = if busy == Busy::NotOurs { ErrorCode::InvalidParams } else { ErrorCode::PoolBusy };
        Self { code, message: busy.to_string() }
    }
}

impl Refusal {
    /// The candidate of a reload is not to be had.
    pub(super) fn of_candidate(why: String) -> Self {
        let code = match why.split(':').next() {
            Some("UNTRUSTED_ARTIFACT") => ErrorCode::UntrustedArtifact,
            Some("POOL_UNAVAILABLE") => ErrorCode::PoolUnavailable,
            _ => ErrorCode::ModelNotAvailable,
        };
        Self { code, message: why }
    }
}

fn within(ms: Option<u64>) -> Duration {
    ms.map_or(DRAIN_DEFAULT, Duration::from_millis)
}

impl Wish {
    fn order(&self) -> Order {
        match self {
            Self::Drain(drain) => Order::Drain { within: Duration::from_millis(drain.deadline_ms) },
            Self::Reload(reload) => Order::Reload { within: within(reload.deadline_ms) },
            Self::Purge(purge) => Order::Purge {
                within: purge.drain_first.then(|| within(purge.deadline_ms)),
                rest: if purge.force { Rest::Stops } else { Rest::Keeps },
            },
            Self::Resume => Order::Resume,
        }
    }

    fn view(&self, operation_id: u64) -> Option<OperationView> {
        let operation = match self {
            Self::Drain(_) => OperationKind::Drain,
            Self::Reload(_) => OperationKind::Reload,
            Self::Purge(_) => OperationKind::Purge,
            Self::Resume => return None,
        };
        let new_model_ref = match self {
            Self::Reload(reload) => Some(reload.new_model_ref.clone()),
            _ => None,
        };
        let state = OperationState::Running;
        Some(OperationView { operation, state, operation_id, new_model_ref, error: None })
    }
}

impl Pool {
    pub(super) fn take_order(&mut self, wish: Wish, from: Option<TraceContext>, reply: Reply) -> Vec<Effect> {
        let effects = match self.machine.order(self.now(), wish.order()) {
            Ok(effects) => effects,
            Err(busy) => {
                // Who asked may be gone, which changes nothing.
                drop(reply.send(Err(busy.into())));
                return Vec::new();
            }
        };
        let number = self.operation.as_ref().map_or(0, |operation| operation.operation_id) + 1;
        match wish.view(number) {
            Some(view) => {
                self.traces.begins(view.operation, from.as_ref());
                self.operation = Some(view);
            }
            None => self.traces.resumes(from),
        }
        self.tell(&wish);
        match wish {
            Wish::Reload(reload) => {
                self.candidate =
                    Some(Choice { reference: reload.new_model_ref, digest: reload.model_digest });
                self.waiting = Some((reply, Instant::now() + ANSWER_WITHIN));
            }
            Wish::Purge(purge) => {
                let models = purge.purge_models.into_iter().map(Leftover::Model);
                let caches = purge.delete_cache_dirs.then_some(Leftover::Caches);
                let engine = purge.purge_engine.then_some(Leftover::Engine);
                self.leftovers = models.chain(caches).chain(engine).collect();
                self.answer(reply);
            }
            Wish::Drain(_) | Wish::Resume => self.answer(reply),
        }
        effects
    }

    /// Tells the log what is begun.
    //= ORCH-3316
    fn tell(&self, wish: &Wish) {
        let (told, what) = match wish {
            Wish::Drain(drain) => {
                (Narration::pool_drains(Duration::from_millis(drain.deadline_ms)), "drain begins")
            }
            Wish::Reload(_) => (Narration::pool(PoolMoment::Reloads), "reload begins"),
            Wish::Purge(_) => (Narration::pool(PoolMoment::Purged), "purge begins"),
            Wish::Resume => (Narration::pool(PoolMoment::Resumes), "resume"),
        };
        narrate!(told, pool_id = %self.id, "{what}");
    }

    /// Answers a reload whose model was looked at, or is looked at for too long.
    pub(super) fn answer_waiting(&mut self, outcome: Result<(), String>) {
        let Some((reply, _)) = self.waiting.take() else { return };
        match outcome {
            Ok(()) => self.answer(reply),
            Err(why) => drop(reply.send(Err(Refusal::of_candidate(why)))),
        }
    }

    fn answer(&self, reply: Reply) {
        let nothing = OperationView {
            operation: OperationKind::Drain,
            state: OperationState::Succeeded,
            operation_id: 0,
            new_model_ref: None,
            error: None,
        };
        let operation = self.operation.clone().unwrap_or(nothing);
        drop(reply.send(Ok(PoolAnswer { pool_id: self.id.to_string(), operation })));
    }
}

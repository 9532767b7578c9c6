//! Errors about nodes and about what is done to pools.

use api_types::ErrorCode;
use service_registry::Refusal;

use super::ApiError;
use crate::services::{LifecycleError, NodeError, Refused, millis};

impl From<NodeError> for ApiError {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Refused(refusal) => refusal.into(),
            NodeError::Storage => Self::storage(),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => Self::new(ErrorCode::NotFound, "no node has this name")
                .hint("register it: POST /v2/nodes/register"),
            Refusal::Malformed(fault) | Refusal::EndpointRefused(fault) => {
                Self::invalid(&fault.field, &fault.what)
            }
            Refusal::Stale => {
                Self::about("seq", ErrorCode::NodeConflict, "a later heartbeat came before this one")
            }
            Refusal::OtherOwner => Self::about(
                "node_id",
                ErrorCode::NodeConflict,
                "another machine is registered under this name",
            ),
            Refusal::Quarantined { wait } => {
                let message =
                    "this node has said what cannot be true three times, and is left out for a while";
                Self::new(ErrorCode::NodeConflict, message).retry_after_ms(millis(wait))
            }
            Refusal::Full => Self::new(ErrorCode::NodeConflict, "there are too many nodes"),
        }
    }
}

impl From<LifecycleError> for ApiError {
    fn from(error: LifecycleError) -> Self {
        match error {
            LifecycleError::UnknownPool => Self::new(ErrorCode::NotFound, "no pool has this id"),
            LifecycleError::Busy(kind) => {
                Self::new(ErrorCode::PoolBusy, format!("a {} of this pool is under way", kind.as_str()))
            }
            LifecycleError::Running(count) => {
                let message = format!("{count} tasks run in this pool");
                Self::new(ErrorCode::PoolBusy, message).hint("set drain_first or force")
            }
            LifecycleError::NotManaged => {
                let message =
                    "an engine of this pool was attached by its address, and nobody here can change it";
                Self::new(ErrorCode::PoolNotManaged, message).hint("run pool-managerd on its machine")
            }
            LifecycleError::Failed(why) => {
                Self::new(ErrorCode::ReloadFailed, format!("the pool keeps its model: {why}"))
            }
            LifecycleError::Model(unfit) => unfit.into(),
            LifecycleError::Storage => Self::storage(),
            LifecycleError::Overloaded => Refused.into(),
        }
    }
}

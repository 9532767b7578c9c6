//! Where a task may run.

use std::sync::Arc;

use api_types::{Engine, Placement, PlacementMode};
use orchestrator_core::{NodeId, PoolId, Requirements};

use crate::error::ApiError;

const POOLS_NAMED_MAX: usize = 64;

pub(super) fn engine(wire: Engine) -> Result<Arc<str>, ApiError> {
    match wire {
        Engine::Llamacpp => Ok("llamacpp".into()),
        Engine::Vllm => Ok("vllm".into()),
        Engine::Tgi => Ok("tgi".into()),
        Engine::OpenAi => Ok("openai".into()),
        Engine::Mock => Ok("mock".into()),
        Engine::Triton => Err(ApiError::invalid("engine", "triton is not supported")),
    }
}

pub(super) fn place(requirements: &mut Requirements, wire: &Placement) -> Result<(), ApiError> {
    if wire.prefer_pools.len().max(wire.avoid_pools.len()) > POOLS_NAMED_MAX {
        return Err(ApiError::invalid("placement", format!("names more than {POOLS_NAMED_MAX} pools")));
    }
    let pools = |names: &[String]| names.iter().map(|name| PoolId::new(name.as_str())).collect();
    requirements.prefer_pools = pools(&wire.prefer_pools);
    requirements.avoid_pools = pools(&wire.avoid_pools);
    requirements.device_mask = wire.require_device_mask.as_deref().map(Arc::from);
    // A node that is named binds in every mode: there is no other meaning to it.
    requirements.pin_node = wire.node_id.as_deref().map(NodeId::new);
    requirements.pin_pool = pin(wire)?;
    Ok(())
}

fn pin(wire: &Placement) -> Result<Option<PoolId>, ApiError> {
    match (wire.mode, &wire.pin_pool_id, wire.prefer_pools.as_slice()) {
        (PlacementMode::Pin, Some(pool), _) => Ok(Some(PoolId::new(pool.as_str()))),
        (PlacementMode::Pin, None, _) if wire.node_id.is_none() => {
            Err(ApiError::invalid("placement.pin_pool_id", "or node_id is required with mode `pin`"))
        }
        (_, Some(_), _) => {
            Err(ApiError::invalid("placement.mode", "must be `pin` when pin_pool_id is given"))
        }
        (_, None, preferred) if wire.allow_fallback == Some(false) => match preferred {
            [] => Ok(None),
            [only] => Ok(Some(PoolId::new(only.as_str()))),
            _ => {
                let problem = "without fallback exactly one pool can be preferred";
                Err(ApiError::invalid("placement.prefer_pools", problem))
            }
        },
        (_, None, _) => Ok(None),
    }
}

//! Pools, and what may be done to them.

use api_types::{
    ErrorCode::{
        AdmissionReject, ModelNotAvailable, PoolBusy, PoolNotManaged, ReloadFailed, StorageUnavailable,
        UntrustedArtifact,
    },
    PoolHealth, PoolList,
};
use axum::http::{Method, StatusCode};
use pool_registry_types::{DrainPool, PoolAnswer, PurgePool, ReloadPool};

use super::{
    operation::{Operation, operation},
    schemas::text,
};

const POOL: &str = "The pool's name.";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(Method::GET, "/v2/pools", "listPools")
            .summary("List every pool")
            .answers::<PoolList>(StatusCode::OK, "The pools as they are.")
            .fails(&[AdmissionReject]),
        operation(Method::GET, "/v2/pools/{id}/health", "getPoolHealth")
            .summary("See how a pool is")
            .name(POOL, text())
            .answers::<PoolHealth>(StatusCode::OK, "The pool as it is.")
            .fails(&[AdmissionReject]),
        drain(),
        reload(),
        operation(Method::POST, "/v2/pools/{id}/purge", "purgePool")
            .summary("Remove what a pool left on its machines")
            .name(POOL, text())
            .body::<PurgePool>()
            .answers::<PoolAnswer>(StatusCode::ACCEPTED, "It is under way.")
            .fails(&[PoolBusy, PoolNotManaged, AdmissionReject, StorageUnavailable]),
        operation(Method::POST, "/v2/pools/{id}/resume", "resumePool")
            .summary("Let a drained pool take work again")
            .name(POOL, text())
            .nothing(StatusCode::NO_CONTENT, "It takes work.")
            .fails(&[PoolBusy, PoolNotManaged, AdmissionReject, StorageUnavailable]),
    ]
}

fn drain() -> Operation {
    operation(Method::POST, "/v2/pools/{id}/drain", "drainPool")
        .summary("Let a pool finish what it has, and take nothing new")
        .describe("What still runs at the deadline ends with `WORKER_RESET`, which is retriable.")
        .name(POOL, text())
        .body::<DrainPool>()
        .answers::<PoolAnswer>(StatusCode::ACCEPTED, "Nothing new starts there from now on.")
        .fails(&[PoolBusy, PoolNotManaged, AdmissionReject, StorageUnavailable])
}

fn reload() -> Operation {
    operation(Method::POST, "/v2/pools/{id}/reload", "reloadPool")
        .summary("Change the model of a pool")
        .describe("Replica by replica; when one fails, all of it is taken back and the old model serves on.")
        .name(POOL, text())
        .body::<ReloadPool>()
        .answers::<PoolAnswer>(StatusCode::ACCEPTED, "It is done, or under way.")
        .fails(&[
            UntrustedArtifact,
            ModelNotAvailable,
            PoolBusy,
            PoolNotManaged,
            ReloadFailed,
            AdmissionReject,
            StorageUnavailable,
        ])
}

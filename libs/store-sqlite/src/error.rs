//! What SQLite says, in the seam's words.

use rusqlite::{ErrorCode, ffi};
use store_api::StoreError;

/// What an error while writing means. The transaction is rolled back by then.
//= ORCH-3401
pub(crate) fn of_write(error: &rusqlite::Error) -> StoreError {
    let reason = error.to_string();
    let Some(code) = error.sqlite_error() else { return StoreError::Fatal { reason } };
    match (code.code, code.extended_code) {
        (ErrorCode::DiskFull, _) => StoreError::Full,
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OutOfMemory, _) => {
            StoreError::Unavailable { reason }
        }
        //= ORCH-3407
        // A write that failed has written nothing that counts, and may work when the disk is better. After a
        // failed fsync nobody knows what is on the disk, and asking again tells a lie.
        (ErrorCode::SystemIoFailure, ffi::SQLITE_IOERR_WRITE) => StoreError::Unavailable { reason },
        _ => StoreError::Fatal { reason },
    }
}

/// What an error while reading means.
pub(crate) fn of_read(error: &rusqlite::Error) -> StoreError {
    let what = error.to_string();
    match error.sqlite_error().map(|code| code.code) {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OutOfMemory) => {
            StoreError::Unavailable { reason: what }
        }
        _ => StoreError::Damaged { what },
    }
}

//! Writing until it is known what became of it.

use crate::{Applied, Change, Store, StoreError};

/// How often a batch is sent again of which nobody knows whether it was written.
const TRIES: usize = 16;

/// Commits a batch; when the store does not say whether it did, asks again. Each change says what is to be,
/// so a second time changes nothing, as long as no two of the batch touch the same thing in different ways.
///
/// # Errors
/// As the store's; [`StoreError::Unknown`] only after many tries.
pub async fn commit_surely(store: &dyn Store, changes: &[Change]) -> Result<Vec<Applied>, StoreError> {
    let mut last = Err(StoreError::Unknown);
    for _ in 0..TRIES {
        last = store.commit(changes).await;
        if last != Err(StoreError::Unknown) {
            return last;
        }
    }
    last
}

//! What can be wrong with an artifact, as answers.

use api_types::ErrorCode;
use artifact_store::ArtifactError;
use tracing::error;

use super::{ApiError, OVERLOAD_RETRY_MS};
use crate::services::CannotStore;

impl From<CannotStore> for ApiError {
    fn from(error: CannotStore) -> Self {
        let unknown = || Self::new(ErrorCode::NotFound, "no artifact has this id");
        match error {
            CannotStore::NoFolder => {
                let message = "this server keeps nothing, so it has no place for artifacts";
                let mut error = Self::new(ErrorCode::StorageUnavailable, message)
                    .hint("start it with store.kind = sqlite and a state_dir");
                error.body.retriable = false;
                error
            }
            CannotStore::Unknown => unknown(),
            CannotStore::Busy => Self::new(ErrorCode::AdmissionReject, "too many artifacts come in at once")
                .retry_after_ms(OVERLOAD_RETRY_MS),
            CannotStore::Store(why @ ArtifactError::TooLarge { .. }) => {
                Self::new(ErrorCode::PayloadTooLarge, why.to_string())
            }
            CannotStore::Store(ArtifactError::Full | ArtifactError::OverQuota { .. }) => {
                Self::new(ErrorCode::StorageUnavailable, "there is no room for the artifact now")
                    .retry_after_ms(OVERLOAD_RETRY_MS)
            }
            CannotStore::Store(why @ ArtifactError::Damaged { .. }) => {
                error!(target: "orchestratord::error", error = %why, "an artifact is damaged and was set aside");
                unknown().hint("it was damaged on the disk and set aside; storing the content again heals it")
            }
            CannotStore::Store(why) => {
                error!(target: "orchestratord::error", error = %why, "the artifacts' folder fails");
                Self::new(ErrorCode::StorageUnavailable, "the artifact cannot be stored or read now")
                    .retry_after_ms(OVERLOAD_RETRY_MS)
            }
        }
    }
}

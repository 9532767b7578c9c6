//! What can be wrong with a model, as answers.

use api_types::ErrorCode;
use catalog_core::{CannotRegister, Untrusted};

use super::{ApiError, OVERLOAD_RETRY_MS};
use crate::services::{ModelError, Unfit};

impl From<ModelError> for ApiError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Register(CannotRegister::Malformed(at)) => Self::invalid(at.field, at.rule),
            ModelError::Register(CannotRegister::Conflict(_)) => {
                Self::about("id", ErrorCode::ModelConflict, "another model is registered under this id")
                    .hint("DELETE it first, or choose another id")
            }
            ModelError::Register(CannotRegister::Full(models)) => {
                let message = format!("the catalog is full: it holds {models} models");
                let mut error = Self::new(ErrorCode::AdmissionReject, message).hint("DELETE a model first");
                error.body.retriable = false;
                error
            }
            ModelError::Unknown => Self::new(ErrorCode::NotFound, "no model has this id"),
            ModelError::Busy => {
                Self::new(ErrorCode::AdmissionReject, "too many models wait for their verification")
                    .retry_after_ms(OVERLOAD_RETRY_MS)
            }
            ModelError::NotKept => {
                let message =
                    "the server cannot store anything now; ask again to know whether this was stored";
                Self::new(ErrorCode::StorageUnavailable, message).retry_after_ms(OVERLOAD_RETRY_MS)
            }
        }
    }
}

impl From<Unfit> for ApiError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::NotInCatalog => {
                let problem = "the model is not in the catalog, which the strict policy asks for";
                Self::about("model_ref", ErrorCode::UntrustedArtifact, problem)
                    .hint("POST /v2/catalog/models registers it")
            }
            Unfit::Untrusted(Untrusted::Retired) => {
                let mut error =
                    Self::about("model_ref", ErrorCode::ModelNotAvailable, "the model is retired");
                error.body.retriable = false;
                error
            }
            Unfit::Untrusted(why) => Self::about("model_ref", ErrorCode::UntrustedArtifact, why.to_string()),
        }
    }
}

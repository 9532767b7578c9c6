//! The catalog of models.

use api_types::{
    AvailabilityView,
    ErrorCode::{AdmissionReject, ModelConflict, StorageUnavailable},
    ModelPage, ModelView, RegisterModel, SetModelState, VerifyView,
};
use axum::http::{Method, StatusCode};

use super::{
    operation::{Operation, operation},
    schemas::{text, within},
};

const MODEL: &str =
    "What the catalog calls the model. It may hold slashes, which stand in the path as they are.";
const MODELS: &str = "/v2/catalog/models";
const ONE: &str = "/v2/catalog/models/{*id}";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(Method::GET, MODELS, "listModels")
            .summary("List models, in the order of their ids")
            .query("limit", "At most as many; 50 when absent.", within(1, 200))
            .query("after", "The `next_after` of another page.", text())
            .answers::<ModelPage>(StatusCode::OK, "A page of models."),
        operation(Method::POST, MODELS, "registerModel")
            .summary("Register a model")
            .body::<RegisterModel>()
            .answers::<ModelView>(StatusCode::CREATED, "It is registered, now or before.")
            .fails(&[ModelConflict, AdmissionReject, StorageUnavailable]),
        operation(Method::GET, ONE, "getModel")
            .summary("See a model")
            .name(MODEL, text())
            .answers::<ModelView>(StatusCode::OK, "The model, and what is known of its file."),
        operation(Method::DELETE, ONE, "removeModel")
            .summary("Remove a model")
            .name(MODEL, text())
            .nothing(StatusCode::NO_CONTENT, "It is not in the catalog any more. Its file stays.")
            .fails(&[StorageUnavailable]),
        operation(Method::POST, ONE, "verifyModel")
            .at("/v2/catalog/models/{id}/verify")
            .summary("Verify a model's file now")
            .name(MODEL, text())
            .answers::<VerifyView>(StatusCode::ACCEPTED, "What came of it, or how far it is after 2 s.")
            .fails(&[AdmissionReject, StorageUnavailable]),
        operation(Method::POST, ONE, "setModelState")
            .at("/v2/catalog/models/{id}/state")
            .summary("Retire a model, or bring it back")
            .name(MODEL, text())
            .body::<SetModelState>()
            .answers::<ModelView>(StatusCode::ACCEPTED, "The model as it is now.")
            .fails(&[StorageUnavailable]),
        operation(Method::GET, "/v2/catalog/availability", "getAvailability")
            .summary("See which models are where")
            .answers::<AvailabilityView>(StatusCode::OK, "The nodes with their models, and the reverse."),
    ]
}

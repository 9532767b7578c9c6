//! Sessions and artifacts.

use api_types::{
    ArtifactCreated, ArtifactList, ArtifactView, CreateArtifact,
    ErrorCode::{AdmissionReject, StorageUnavailable},
    SessionView,
};
use axum::http::{Method, StatusCode};

use super::{
    operation::{Operation, operation},
    schemas::{matching, one_of, text, uuid, within},
};

const SESSION: &str = "The session's id.";
const KINDS: [&str; 7] = ["plan", "summary", "diff", "trace", "transcript", "logs", "other"];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(Method::GET, "/v2/sessions/{id}", "getSession")
            .summary("See a session")
            .name(SESSION, uuid())
            .answers::<SessionView>(StatusCode::OK, "Its time, its turns, and what its budget has left.")
            .fails(&[AdmissionReject]),
        operation(Method::DELETE, "/v2/sessions/{id}", "endSession")
            .summary("End a session")
            .name("The session's id. What no session is called is not there, either.", text())
            .nothing(StatusCode::NO_CONTENT, "It is not there any more. Its running tasks go on.")
            .fails(&[AdmissionReject]),
        operation(Method::POST, "/v2/artifacts", "createArtifact")
            .summary("Store an artifact")
            .describe("The same content has the same id, and is stored once.")
            .body::<CreateArtifact>()
            .answers::<ArtifactCreated>(StatusCode::CREATED, "It is stored, now or before.")
            .fails(&[AdmissionReject, StorageUnavailable]),
        operation(Method::GET, "/v2/artifacts", "listArtifacts")
            .summary("List artifacts, the latest first")
            .describe("Filters are joined by \"and\".")
            .query("kind", "Only artifacts that are for this.", one_of(&KINDS))
            .query("job_id", "Only artifacts of this task.", uuid())
            .query("limit", "At most as many; 50 when absent.", within(1, 200))
            .answers::<ArtifactList>(StatusCode::OK, "Artifacts, without their content.")
            .fails(&[StorageUnavailable]),
        operation(Method::GET, "/v2/artifacts/{id}", "getArtifact")
            .summary("Read an artifact")
            .name("`sha256:` and the digest of its content.", matching("^sha256:[0-9a-f]{64}$"))
            .answers::<ArtifactView>(StatusCode::OK, "The artifact with its content.")
            .fails(&[AdmissionReject, StorageUnavailable]),
    ]
}

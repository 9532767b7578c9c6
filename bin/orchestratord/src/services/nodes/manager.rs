//! The agent of one node, as the control plane speaks with it: small questions, and what it is told to do.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use api_types::ErrorBody;
use http::StatusCode;
use pool_registry_types::{OperationKind, PoolAnswer, PoolReport, PoolReports, PoolStatus};
use reqwest::{Client, RequestBuilder, Response, redirect::Policy};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;
use url::Url;

use crate::services::traces;

/// How long an agent may take to answer; what takes longer goes on behind its answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// More than any agent has to say.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Why an agent did not do what it was asked.
#[derive(Debug, Error)]
pub(crate) enum ManagerError {
    /// It was not reached, or broke off.
    #[error("the node's agent does not answer: {0}")]
    Silent(String),
    /// It said no, and why.
    #[error("the node's agent refuses: {message}")]
    Refused { status: StatusCode, message: String },
    /// What it said makes no sense.
    #[error("the node's agent answers something that is not understood: {0}")]
    Senseless(String),
}

/// One agent.
#[derive(Clone)]
pub(crate) struct Manager {
    base: Url,
    client: Client,
    token: Option<String>,
}

impl Manager {
    /// The agent at `base`. With `at`, its name is not looked up any more: that is where it was checked to be.
    pub(crate) fn new(base: Url, at: Option<SocketAddr>, token: Option<&str>) -> Result<Self, ManagerError> {
        let mut client = Client::builder()
            .connect_timeout(CONNECT_TIME_MAX)
            .timeout(ANSWER_TIME_MAX)
            .redirect(Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(1);
        if let (Some(at), Some(host)) = (at, base.host_str()) {
            client = client.resolve(host, at);
        }
        let client = client.build().map_err(|error| ManagerError::Silent(error.to_string()))?;
        Ok(Self { base, client, token: token.map(str::to_owned) })
    }

    /// All pools of the node, and from which address it answered.
    pub(crate) async fn pools(&self) -> Result<(PoolReports, Option<IpAddr>), ManagerError> {
        let response = self.send(self.client.get(self.url("v2/pools")?)).await?;
        let from = response.remote_addr().map(|addr| addr.ip());
        Ok((read(response).await?, from))
    }

    /// One pool of the node.
    pub(crate) async fn status(&self, pool: &str) -> Result<PoolStatus, ManagerError> {
        read(self.send(self.client.get(self.url(&format!("v2/pools/{pool}/status"))?)).await?).await
    }

    /// Tells the agent to do something to a pool.
    pub(crate) async fn operate<T: Serialize>(
        &self,
        pool: &str,
        operation: OperationKind,
        body: &T,
    ) -> Result<PoolAnswer, ManagerError> {
        let url = self.url(&format!("v2/pools/{pool}/{}", operation.as_str()))?;
        read(self.send(self.client.post(url).json(body)).await?).await
    }

    /// Has a pool take work again.
    pub(crate) async fn resume(&self, pool: &str) -> Result<(), ManagerError> {
        self.send(self.client.post(self.url(&format!("v2/pools/{pool}/resume"))?)).await.map(drop)
    }

    fn url(&self, path: &str) -> Result<Url, ManagerError> {
        self.base.join(path).map_err(|error| ManagerError::Silent(error.to_string()))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ManagerError> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        // An agent's work belongs to the trace of whoever asked for the operation.
        let request = traces::operation()
            .iter()
            .flat_map(traces::headers)
            .fold(request, |request, (name, value)| request.header(name, &*value));
        let response = request.send().await.map_err(|error| ManagerError::Silent(because(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let told = read::<ErrorBody>(response).await;
        let message = told.map_or_else(|_silent| format!("status {status}"), |body| body.message);
        Err(ManagerError::Refused { status, message })
    }
}

/// Reads an answer that is no longer than any can be.
async fn read<T: DeserializeOwned>(mut response: Response) -> Result<T, ManagerError> {
    let mut bytes = Vec::new();
    loop {
        let chunk = response.chunk().await.map_err(|error| ManagerError::Silent(because(&error)))?;
        let Some(chunk) = chunk else { break };
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > ANSWER_BYTES_MAX {
            return Err(ManagerError::Senseless("it is too long".to_owned()));
        }
    }
    serde_json::from_slice(&bytes).map_err(|error| ManagerError::Senseless(error.to_string()))
}

/// The innermost reason; the outer ones only say that there was a request.
fn because(error: &reqwest::Error) -> String {
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

/// A report with what only the status of its pool tells.
pub(super) fn told(status: PoolStatus) -> PoolReport {
    let mut report = status.report;
    report.ready &= status.live;
    report
}

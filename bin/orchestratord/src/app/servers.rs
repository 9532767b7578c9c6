//! The addresses on which the server listens, each with connections of its own.

use std::net::SocketAddr;

use anyhow::Context;
use config_schema::Config;
use http_server::listen;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;

use super::StartRefused;
use crate::{api, gate::Door, settings, state::AppState};

/// A server of our routes.
pub(crate) type Server = http_server::Server<Door>;

/// What answers at the address for all, and what listens beside it.
pub(super) fn all(
    config: &Config,
    state: &AppState,
    connections: &TaskTracker,
) -> anyhow::Result<(Server, Vec<(Server, TcpListener)>)> {
    let for_nodes = for_nodes(config, state, connections)?;
    let for_metrics = for_metrics(config, state, connections)?;
    let further = for_nodes.into_iter().chain(for_metrics).collect();
    Ok((for_all(config, state, connections)?, further))
}

/// Nothing but the metrics, with connections that users cannot take. Where the server listens on loopback, so does this.
//= ORCH-3314
fn for_metrics(
    config: &Config,
    state: &AppState,
    connections: &TaskTracker,
) -> anyhow::Result<Option<(Server, TcpListener)>> {
    let Some(port) = config.metrics_port else { return Ok(None) };
    let addr = SocketAddr::new(config.bind_addr.ip(), port);
    let listener = listen(addr)
        .with_context(|| format!("cannot listen on {addr} for /metrics, as PROMETHEUS_METRICS_PORT says"))?;
    info!(target: "orchestratord", address = %listener.local_addr()?, "listening for scrapers");
    Ok(Some((serve(api::metrics_router(state), config, connections)?, listener)))
}

/// The same routes, with connections that users cannot take.
// N16
fn for_nodes(
    config: &Config,
    state: &AppState,
    connections: &TaskTracker,
) -> anyhow::Result<Option<(Server, TcpListener)>> {
    let Some(addr) = config.nodes.bind_addr else { return Ok(None) };
    let listener = listen(addr).with_context(|| format!("cannot listen on {addr}"))?;
    info!(target: "orchestratord", address = %listener.local_addr()?, "listening for nodes");
    Ok(Some((for_all(config, state, connections)?, listener)))
}

/// All routes.
fn for_all(config: &Config, state: &AppState, connections: &TaskTracker) -> anyhow::Result<Server> {
    serve(api::router(state.clone()), config, connections)
}

fn serve(router: Door, config: &Config, connections: &TaskTracker) -> anyhow::Result<Server> {
    let limits = http_server::Limits {
        header_bytes_max: config.limits.header_bytes_max,
        header_timeout: config.limits.header_timeout,
        connections_max: config.limits.connections_max,
    };
    let server = Server::new(router, limits, connections.clone(), CancellationToken::new());
    let tls = settings::tls(config).context(StartRefused)?;
    Ok(match tls {
        Some(tls) => server.with_tls(tls),
        None => server,
    })
}

//! The addresses on which the server listens, each with connections of its own.

use anyhow::Context;
use config_schema::Config;
use http_server::{Server, listen};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;

use super::StartRefused;
use crate::{api, settings, state::AppState};

/// The same routes, with connections that users cannot take.
// N16
pub(super) fn for_nodes(
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
pub(super) fn for_all(
    config: &Config,
    state: &AppState,
    connections: &TaskTracker,
) -> anyhow::Result<Server> {
    let limits = http_server::Limits {
        header_bytes_max: config.limits.header_bytes_max,
        header_timeout: config.limits.header_timeout,
        connections_max: config.limits.connections_max,
    };
    let server =
        Server::new(api::router(state.clone()), limits, connections.clone(), CancellationToken::new());
    let tls = settings::tls(config).context(StartRefused)?;
    Ok(match tls {
        Some(tls) => server.with_tls(tls),
        None => server,
    })
}

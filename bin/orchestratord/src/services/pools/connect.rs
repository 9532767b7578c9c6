//! The way to an engine that a node has named: checked once, and then only the checked address is used.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use adapter_api::WorkerAdapter;
use config_schema::{EngineConfig, EngineKind, PoolConfig};
use orchestrator_core::PoolId;
use service_registry::{Endpoint, Network, Scheme, check_address};
use tokio::net::lookup_host;
use url::Url;

use crate::adapters;

/// An engine that a node has named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) engine: EngineKind,
    /// Where it is, as the node said and the registry checked.
    pub(crate) endpoint: Endpoint,
    /// From where the node speaks.
    pub(crate) peer: IpAddr,
    /// The host of the node's own address.
    pub(crate) node_host: String,
}

/// Makes adapters for engines that nodes have named.
pub(crate) struct Connector {
    pub(crate) engine: EngineConfig,
    pub(crate) allow: Vec<Network>,
}

impl Connector {
    /// An adapter that speaks with the engine, or why there is none.
    ///
    /// A name is looked up here and never again: the adapter gets an address, so what was checked is what is
    /// connected to.
    // N07, N08
    //= ORCH-3432
    pub(crate) async fn connect(
        &self,
        pool: &PoolId,
        wanted: &Wanted,
    ) -> Result<Arc<dyn WorkerAdapter>, String> {
        let addr = self.locate(&wanted.endpoint, wanted.peer, &wanted.node_host).await?;
        if wanted.endpoint.scheme() == Scheme::Https {
            return Err("endpoint: an engine is spoken to by http".to_owned());
        }
        let url = Url::parse(&format!("http://{addr}")).map_err(|error| error.to_string())?;
        let config = PoolConfig {
            id: pool.to_string(),
            engine: wanted.engine,
            endpoint: Some(url),
            model: None,
            slots: None,
            ctx_max: None,
            device: None,
            api_key: None,
            price: None,
        };
        adapters::build(&config, &self.engine).map_err(|error| error.to_string())
    }

    /// The address of an endpoint. A name is looked up, and the first of its addresses that may be used counts.
    pub(crate) async fn locate(
        &self,
        endpoint: &Endpoint,
        peer: IpAddr,
        node_host: &str,
    ) -> Result<SocketAddr, String> {
        let (host, port) = match endpoint {
            Endpoint::Addr { addr, .. } => return Ok(*addr),
            Endpoint::Name { host, port, .. } => (host.as_str(), *port),
        };
        let found = lookup_host((host, port)).await;
        let found = found.map_err(|error| format!("its name is not known: {error}"))?;
        let mut reason = "its name has no address".to_owned();
        let mut checked = found.filter_map(|addr| {
            let judged = check_address(addr.ip(), peer, node_host, &self.allow);
            judged.map_err(|fault| reason = fault.to_string()).ok().map(|()| addr)
        });
        let first = checked.next();
        drop(checked);
        first.ok_or(reason)
    }
}

//! What a node reports of its engines, held against what is known.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use pool_registry_types::{Fault, PoolReport};

use crate::{
    change::ReplicaKey,
    endpoint::{Endpoint, check_endpoint},
    network::Network,
    node::Replica,
    refusal::Refusal,
};

/// Who reports.
pub(super) struct Said<'a> {
    pub(super) node: &'a str,
    pub(super) place: &'a Endpoint,
    pub(super) peer: IpAddr,
    /// What it reported last.
    pub(super) known: &'a [Replica],
    /// Whether endpoints that were judged must be judged again.
    pub(super) moved: bool,
}

/// Reports that may be taken in as a whole.
pub(super) struct Checked {
    pub(super) replicas: Vec<Replica>,
    /// Those that the node did not have before.
    pub(super) added: Vec<ReplicaKey>,
}

/// Checks all reports of one node. What is as it was costs next to nothing.
//= ORCH-3432
//= ORCH-3433
pub(super) fn check(
    said: &Said<'_>,
    reports: Vec<PoolReport>,
    holders: &BTreeMap<ReplicaKey, Arc<str>>,
    allow: &[Network],
) -> Result<Checked, Refusal> {
    let mut checked = Checked { replicas: Vec::with_capacity(reports.len()), added: Vec::new() };
    for (index, report) in reports.into_iter().enumerate() {
        let known = find(said.known, index, &report);
        let endpoint = match known {
            Some(known) if !said.moved && known.report.endpoint == report.endpoint => known.endpoint.clone(),
            _ => endpoint_of(said, index, &report, allow)?,
        };
        if let Some(known) = known {
            let (report, told) = if *known.report == report {
                (Arc::clone(&known.report), known.told)
            } else {
                (Arc::new(report), None)
            };
            checked.replicas.push(Replica { key: known.key.clone(), report, endpoint, told });
            continue;
        }
        let key = key_of(said.node, &report);
        if holders.get(&key).is_some_and(|holder| **holder != *said.node) {
            let fault =
                Fault::new(format!("pools[{index}].replica_id"), "is the name of another node's replica");
            return Err(Refusal::Malformed(fault));
        }
        checked.added.push(key.clone());
        checked.replicas.push(Replica { key, report: Arc::new(report), endpoint, told: None });
    }
    Ok(checked)
}

/// What of the `known` is not reported any more.
pub(super) fn gone<'a>(known: &'a [Replica], checked: &'a Checked) -> impl Iterator<Item = &'a Replica> {
    // Each report is either one of the known or was added, so mostly there is nothing to look for.
    let is_all_there = checked.replicas.len() - checked.added.len() == known.len();
    let known = if is_all_there { &[] } else { known };
    known.iter().filter(|known| !checked.replicas.iter().any(|replica| replica.key == known.key))
}

/// The known engine of which the report is. Nodes report in the same order mostly.
fn find<'a>(known: &'a [Replica], index: usize, report: &PoolReport) -> Option<&'a Replica> {
    let is_same =
        |it: &&Replica| it.report.pool_id == report.pool_id && it.report.replica_id == report.replica_id;
    known.get(index).filter(is_same).or_else(|| known.iter().find(is_same))
}

fn key_of(node: &str, report: &PoolReport) -> ReplicaKey {
    let named = || format!("{node}/{}", report.pool_id);
    let replica = report.replica_id.clone().unwrap_or_else(named);
    ReplicaKey { pool: report.pool_id.as_str().into(), replica: replica.into() }
}

fn endpoint_of(
    said: &Said<'_>,
    index: usize,
    report: &PoolReport,
    allow: &[Network],
) -> Result<Option<Endpoint>, Refusal> {
    let Some(endpoint) = &report.endpoint else { return Ok(None) };
    let checked = check_endpoint(endpoint, said.peer, &said.place.host(), allow);
    checked.map(Some).map_err(|fault| {
        Refusal::EndpointRefused(Fault::new(format!("pools[{index}].{}", fault.field), fault.what))
    })
}

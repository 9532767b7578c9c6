//! Sessions, and what their budgets have left.

use api_types::SessionView as WireSession;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use orchestrator_core::{Remaining, SessionView};

use crate::services::{millis, units};

const TOKENS: HeaderName = HeaderName::from_static("x-budget-tokens-remaining");
const TIME: HeaderName = HeaderName::from_static("x-budget-time-remaining-ms");
const COST: HeaderName = HeaderName::from_static("x-budget-cost-remaining");

//= ORCH-3022
pub(crate) fn session(id: String, view: &SessionView) -> WireSession {
    let last = view.last.as_ref();
    WireSession {
        session_id: id,
        ttl_ms_remaining: millis(view.ttl_remaining),
        turns: view.turns,
        turns_used: view.turns_used,
        tasks_live: view.live,
        kv_bytes: 0,
        kv_warmth: view.warm,
        replica_id: last.map(|(_, replica)| replica.to_string()),
        pool_id: last.map(|(pool, _)| pool.to_string()),
        tokens_budget_remaining: view.remaining.tokens,
        time_budget_remaining_ms: view.remaining.time.map(millis),
        cost_budget_remaining: view.remaining.cost.map(units),
    }
}

/// A header for each limit that there is.
//= ORCH-3099
pub(crate) fn budget_headers(left: &Remaining) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(tokens) = left.tokens {
        headers.insert(TOKENS, HeaderValue::from(tokens));
    }
    if let Some(time) = left.time {
        headers.insert(TIME, HeaderValue::from(millis(time)));
    }
    if let Some(cost) = left.cost.and_then(|cost| HeaderValue::from_str(&units(cost).to_string()).ok()) {
        headers.insert(COST, cost);
    }
    headers
}

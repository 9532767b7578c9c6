//! The names and defaults that operators were promised, and may have written into their units and charts.
//!
//! A row here is changed only together with a promise.

use std::path::Path;

use config_schema::{
    AdmissionPolicy, Config, GpuPolicy, Layers, LoopbackRule, ManagerConfig, PlacementKind, Preset,
    ProxyTrust, Schema, Setting,
};

use crate::Written;

/// A variable, its key in the file, its flag, and what holds without it.
type Promise = (&'static str, &'static str, Option<&'static str>, &'static str);

const SERVER: &[Promise] = &[
    ("ORCHD_CONFIG", "config", Some("config"), "none"),
    ("ORCHD_BIND_ADDR", "bind_addr", Some("bind-addr"), "127.0.0.1:8080"),
    ("ORCHD_POOL_MANAGERS", "pool_managers", Some("pool-managers"), "none"),
    ("ORCHD_POOLS", "pools", Some("pools"), "one mock pool"),
    ("ORCHD_ADMISSION_CAPACITY", "admission.capacity", Some("admission-capacity"), "100"),
    ("ORCHD_ADMISSION_POLICY", "admission.policy", Some("admission-policy"), "reject"),
    ("ORCHD_PLACEMENT_STRATEGY", "placement.strategy", Some("placement-strategy"), "least-loaded"),
    ("ORCHD_GPU_POLICY", "gpu_policy", Some("gpu-policy"), "vram-only"),
    ("ORCHD_STATE_DIR", "state_dir", Some("state-dir"), "$XDG_STATE_HOME/orchestratord"),
    ("ORCHD_MODEL_ROOTS", "catalog.roots", Some("catalog-roots"), "none"),
    ("ORCHD_OPENAI_EXTRA_FIELDS", "openai.extra_fields", Some("openai-extra-fields"), "pass"),
    ("LLORCH_API_TOKEN", "api_token", None, "none"),
    ("AUTH_OPTIONAL", "auth.optional", Some("auth-optional"), "false"),
    ("TRUST_PROXY_AUTH", "auth.trust_proxy", Some("auth-trust-proxy"), "false"),
    ("PROMETHEUS_METRICS_PORT", "metrics_port", Some("metrics-port"), "none"),
    ("RUST_LOG", "log.filter", Some("log-filter"), "info"),
    ("ORCHD_LOG_FORMAT", "log.format", Some("log-format"), "pretty on a terminal, else json"),
];

const AGENT: &[Promise] = &[
    ("POOL_MANAGERD_CONFIG", "config", Some("config"), "none"),
    ("POOL_MANAGERD_BIND_ADDR", "bind_addr", Some("bind-addr"), "127.0.0.1:9200"),
    ("POOL_MANAGERD_NODE_ID", "node_id", Some("node-id"), "the host name"),
    ("ORCHESTRATORD_URL", "orchestratord_url", Some("orchestratord-url"), "none"),
    ("LLORCH_API_TOKEN", "api_token", None, "none"),
    ("PROMETHEUS_METRICS_PORT", "metrics_port", Some("metrics-port"), "none"),
];

fn kept<C>(settings: &[Setting<C>], promises: &[Promise]) {
    for &(variable, key, flag, default) in promises {
        let setting = settings.iter().find(|setting| setting.env == variable);
        let setting = setting.unwrap_or_else(|| panic!("{variable} is no setting any more"));
        let (Preset::Value(said) | Preset::Derived(said)) = setting.preset;
        assert_eq!((setting.key, setting.flag().as_deref(), said), (key, flag, default), "{variable}");
    }
}

//= ORCH-3328 type=test
#[test]
fn names_and_defaults_are_those_that_were_promised() {
    kept(Config::settings(), SERVER);
    kept(ManagerConfig::settings(), AGENT);
}

//= ORCH-3328 type=test
#[test]
fn what_holds_without_any_setting_is_what_was_promised() {
    let config = Written::default().config();
    assert_eq!(config.bind_addr.to_string(), "127.0.0.1:8080");
    assert_eq!((config.admission.capacity, config.admission.policy), (100, AdmissionPolicy::Reject));
    assert_eq!((config.placement, config.gpu_policy), (PlacementKind::LeastLoaded, GpuPolicy::VramOnly));
    assert_eq!((config.auth.loopback, config.auth.proxy), (LoopbackRule::TokenNeeded, ProxyTrust::Withheld));
    assert_eq!((config.metrics_port, config.log.format), (None, None));
    assert!(
        config.catalog.roots.is_empty() && config.auth.api.is_empty() && config.nodes.managers.is_empty()
    );
    let open = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let env = vec![("HOME".to_owned(), "/home/o".to_owned())];
    let agent = ManagerConfig::resolve(&Layers { flags: Vec::new(), env, open: &open }).unwrap();
    assert_eq!(agent.bind_addr.to_string(), "127.0.0.1:9200");
    assert!(agent.node_id.is_none() && agent.control_plane.is_none() && agent.metrics_port.is_none());
}

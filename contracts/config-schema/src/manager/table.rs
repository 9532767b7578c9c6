//! The agent's table of settings.

use std::path::PathBuf;

use url::Url;

use super::ManagerConfig;
use crate::{
    draft::{TokenOf, put},
    fault::Problem,
    hosts::HostRule,
    secret::Secret,
    setting::{Reach, Setting, derived, row},
    traces,
    value::{addr, choice, line, port, shown},
};

/// The variable of the policy, which the server's may stand in for.
pub(super) const GPU_POLICY: &str = "POOL_MANAGERD_GPU_POLICY";

/// Every setting that works, in the order of the help.
#[rustfmt::skip] // A table is read in columns: names, default, reader.
pub(super) static SETTINGS: &[Setting<ManagerConfig>] = &[
    derived(["config", "POOL_MANAGERD_CONFIG", "FILE", "The configuration file, in TOML"],
        Reach::NoFile, "none", |_, _| Ok(())),
    row(["bind_addr", "POOL_MANAGERD_BIND_ADDR", "IP:PORT", "Where to listen; an address that others reach needs a token"],
        "127.0.0.1:9200", |draft, text| put(&mut draft.config.bind_addr, addr(text))),
    derived(["node_id", "POOL_MANAGERD_NODE_ID", "NAME", "The node's name, which no other node has"],
        Reach::Everywhere, "the host name", |draft, text| put(&mut draft.config.node_id, name(text).map(Some))),
    derived(["address", "POOL_MANAGERD_ADDRESS", "HOST:PORT", "Where the control plane reaches this agent"],
        Reach::Everywhere, "the address it listens on", |draft, text| put(&mut draft.config.address, line(text).map(Some))),
    derived(["orchestratord_url", "ORCHESTRATORD_URL", "URL", "The control plane; without one the agent only answers questions"],
        Reach::Everywhere, "none", |draft, text| put(&mut draft.config.control_plane, control_plane(text).map(Some))),
    derived(["pools", "", "[[pools]]", "The node's engines, one table each"],
        Reach::OnlyFile, "none", |_, _| Err(Problem::new("is not a list of tables").hint("begin each pool with [[pools]]").into())),
    derived(["api_token", "LLORCH_API_TOKEN", "TOKEN", "The token between agent and control plane, at least 32 characters"],
        Reach::NoFlag, "none", |draft, text| draft.token_inline(TokenOf::Api, Secret::token(text))),
    derived(["api_token_file", "LLORCH_API_TOKEN_FILE", "FILE", "A file that holds it; of several lines each is taken, and the first is shown"],
        Reach::Everywhere, "none", |draft, text| draft.token_file(TokenOf::Api, line(text))),
    derived(["node_token", "LLORCH_NODE_TOKEN", "TOKEN", "A token for nodes alone, used in place of the other"],
        Reach::NoFlag, "none", |draft, text| draft.token_inline(TokenOf::Node, Secret::token(text))),
    derived(["node_token_file", "LLORCH_NODE_TOKEN_FILE", "FILE", "A file that holds it, or several"],
        Reach::Everywhere, "none", |draft, text| draft.token_file(TokenOf::Node, line(text))),
    row(["gpu_policy", GPU_POLICY, "vram-only|allow-cpu", "Whether engines may compute on the CPU; ORCHD_GPU_POLICY says it, too"],
        "vram-only", |draft, text| put(&mut draft.config.gpu_policy, choice(text))),
    derived(["state_dir", "POOL_MANAGERD_STATE_DIR", "DIR", "Where the agent keeps what must survive it, and caches"],
        Reach::Everywhere, "$XDG_STATE_HOME/pool-managerd", |draft, text| put(&mut draft.config.state_dir, absolute(text))),
    derived(["metrics_port", "PROMETHEUS_METRICS_PORT", "PORT", "A further port for /metrics, without a token"],
        Reach::Everywhere, "none", |draft, text| put(&mut draft.config.metrics_port, port(text).map(Some))),

    derived(["tls.ca_file", "POOL_MANAGERD_TLS_CA_FILE", "FILE", "Who may vouch for an https control plane, as PEM"],
        Reach::Everywhere, "the public authorities", |draft, text| put(&mut draft.config.tls.authorities, absolute(text).map(Some))),
    derived(["tls.cert_file", "POOL_MANAGERD_TLS_CERT_FILE", "FILE", "The certificate that the agent shows, as PEM"],
        Reach::Everywhere, "none", |draft, text| put(&mut draft.config.tls.certificate, absolute(text).map(Some))),
    derived(["tls.key_file", "POOL_MANAGERD_TLS_KEY_FILE", "FILE", "Its key, as PEM"],
        Reach::Everywhere, "none", |draft, text| put(&mut draft.config.tls.key, absolute(text).map(Some))),

    derived(["limits.hosts", "POOL_MANAGERD_LIMITS_HOSTS", "HOST,...", "The Host names that are answered; * for any"],
        Reach::Everywhere, "the loopback names on a loopback bind, else any", |draft, text| HostRule::parse(text).map(|rule| draft.hosts = Some(rule))),

    derived(["traces.endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", "URL", "A collector that speaks OTLP over gRPC, e.g. http://collector:4317"],
        Reach::Everywhere, "no traces", |draft, text| put(&mut draft.config.traces.endpoint, traces::collector(text).map(Some))),
    row(["traces.sampler", "OTEL_TRACES_SAMPLER", "parentbased_always_on|always_off|...", "Which traces are recorded, by the usual names of samplers"],
        "parentbased_always_on", |draft, text| put(&mut draft.config.traces.sampler, choice(text))),
    row(["traces.sampler_arg", "OTEL_TRACES_SAMPLER_ARG", "RATIO", "Which part of them, where the sampler takes a part"],
        "1", |draft, text| put(&mut draft.config.traces.ratio, traces::ratio(text))),

    row(["log.filter", "RUST_LOG", "DIRECTIVES", "What is logged, e.g. info,pool_managerd=debug"],
        "info", |draft, text| put(&mut draft.config.log.filter, line(text))),
    derived(["log.format", "POOL_MANAGERD_LOG_FORMAT", "json|pretty", "The shape of a log line"],
        Reach::Everywhere, "pretty on a terminal, else json", |draft, text| put(&mut draft.config.log.format, choice(text).map(Some))),
];

fn name(text: &str) -> Result<String, Problem> {
    let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if starts && text.len() <= 128 && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    let problem = Problem::new(format!("{} is not a node's name", shown(text)));
    Err(problem.hint("use 1 to 128 letters, digits, dots, dashes and underscores, a letter or digit first"))
}

/// A file or folder by its whole path, since nobody knows where the agent will be started.
fn absolute(text: &str) -> Result<PathBuf, Problem> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(Problem::new(format!("{} is not an absolute path", shown(text))))
    }
}

/// Messages never repeat it, because a password may have been written into it.
fn control_plane(text: &str) -> Result<Url, Problem> {
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Problem::new("holds a blank or a control character"));
    }
    let url = Url::parse(text).map_err(|error| {
        Problem::new(format!("is not a URL: {error}")).hint("write it like http://10.0.0.1:8080")
    })?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(Problem::new("is not an http:// or https:// URL with a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Problem::new("holds a user or password").hint("the token goes into LLORCH_API_TOKEN"));
    }
    if url.query().is_some() || url.fragment().is_some() || url.path() != "/" {
        return Err(Problem::new("has a path, a query or a fragment"));
    }
    Ok(url)
}

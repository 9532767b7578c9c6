//! The agent's table of settings.

use std::path::PathBuf;

use url::Url;

use super::{ManagerConfig, pool};
use crate::{
    draft::{TokenOf, put},
    fault::Problem,
    form::{Form, Text},
    hosts::{self, HostRule},
    kind::{Choice, GpuPolicy, LogFormat, TraceSampler},
    secret::{Secret, TOKEN},
    setting::{Reach, Setting, derived, row},
    traces,
    value::{ADDR, DIRECTIVES, FILE, LINE_PATTERN, PORT, addr, line, shown},
};

/// The variable of the policy, which the server's may stand in for.
pub(super) const GPU_POLICY: &str = "POOL_MANAGERD_GPU_POLICY";

static NAME: Text = Text::new(
    "NAME",
    "letters, digits, dots, dashes and underscores, a letter or digit first",
    "^[A-Za-z0-9][A-Za-z0-9._-]*$",
)
.of_chars(1, 128);
static ADDRESS: Text =
    Text::new("HOST:PORT", "a host name or address with a port, such as gpu-1:9200", LINE_PATTERN);
static CONTROL_PLANE: Text = Text::new(
    "URL",
    "an http:// or https:// URL without path, user, query and fragment",
    "^[hH][tT][tT][pP][sS]?:[^ ?#]+$",
);
static WHOLE_FILE: Text = Text::new("FILE", "the path of a file, from the root", "^/");
static WHOLE_DIR: Text = Text::new("DIR", "the path of a folder, from the root", "^/");

/// Every setting that works, in the order of the help.
//= ORCH-3328
#[rustfmt::skip] // A table is read in columns: names, form, default, reader.
pub(super) static SETTINGS: &[Setting<ManagerConfig>] = &[
    derived(["config", "POOL_MANAGERD_CONFIG", "The configuration file, in TOML"],
        Form::Text(&FILE), "none", |_, _| Ok(())).reaching(Reach::NoFile),
    row(["bind_addr", "POOL_MANAGERD_BIND_ADDR", "Where to listen; an address that others reach needs a token"],
        Form::Text(&ADDR), "127.0.0.1:9200", |draft, given| put(&mut draft.config.bind_addr, addr(given.text))),
    derived(["node_id", "POOL_MANAGERD_NODE_ID", "The node's name, which no other node has"],
        Form::Text(&NAME), "the host name", |draft, given| put(&mut draft.config.node_id, name(given.text).map(Some))),
    derived(["address", "POOL_MANAGERD_ADDRESS", "Where the control plane reaches this agent"],
        Form::Text(&ADDRESS), "the address it listens on", |draft, given| put(&mut draft.config.address, line(given.text).map(Some))),
    derived(["orchestratord_url", "ORCHESTRATORD_URL", "The control plane; without one the agent only answers questions"],
        Form::Text(&CONTROL_PLANE), "none", |draft, given| put(&mut draft.config.control_plane, control_plane(given.text).map(Some))),
    derived(["pools", "", "The node's engines, one table each"],
        Form::Tables { keys: pool::KEYS, rules: pool::RULES, inline: None }, "none", |_, _| Ok(())).reaching(Reach::OnlyFile),
    derived(["api_token", "LLORCH_API_TOKEN", "The token between agent and control plane, at least 32 characters"],
        Form::Secret(&TOKEN), "none", |draft, given| draft.token_inline(TokenOf::Api, Secret::token(given.text))).reaching(Reach::NoFlag),
    derived(["api_token_file", "LLORCH_API_TOKEN_FILE", "A file that holds it; of several lines each is taken, and the first is shown"],
        Form::Text(&FILE), "none", |draft, given| draft.token_file(TokenOf::Api, line(given.text))),
    derived(["node_token", "LLORCH_NODE_TOKEN", "A token for nodes alone, used in place of the other"],
        Form::Secret(&TOKEN), "none", |draft, given| draft.token_inline(TokenOf::Node, Secret::token(given.text))).reaching(Reach::NoFlag),
    derived(["node_token_file", "LLORCH_NODE_TOKEN_FILE", "A file that holds it, or several"],
        Form::Text(&FILE), "none", |draft, given| draft.token_file(TokenOf::Node, line(given.text))),
    row(["gpu_policy", GPU_POLICY, "Whether engines may compute on the CPU; ORCHD_GPU_POLICY says it, too"],
        Form::Word(GpuPolicy::WORDS), "vram-only", |draft, given| put(&mut draft.config.gpu_policy, given.choice())),
    derived(["state_dir", "POOL_MANAGERD_STATE_DIR", "Where the agent keeps what must survive it, and caches"],
        Form::Text(&WHOLE_DIR), "$XDG_STATE_HOME/pool-managerd", |draft, given| put(&mut draft.config.state_dir, absolute(given.text))),
    derived(["metrics_port", "PROMETHEUS_METRICS_PORT", "A further port for /metrics, without a token"],
        PORT, "none", |draft, given| put(&mut draft.config.metrics_port, given.whole().map(Some))),

    derived(["tls.ca_file", "POOL_MANAGERD_TLS_CA_FILE", "Who may vouch for an https control plane, as PEM"],
        Form::Text(&WHOLE_FILE), "the public authorities", |draft, given| put(&mut draft.config.tls.authorities, absolute(given.text).map(Some))),
    derived(["tls.cert_file", "POOL_MANAGERD_TLS_CERT_FILE", "The certificate that the agent shows, as PEM"],
        Form::Text(&WHOLE_FILE), "none", |draft, given| put(&mut draft.config.tls.certificate, absolute(given.text).map(Some))),
    derived(["tls.key_file", "POOL_MANAGERD_TLS_KEY_FILE", "Its key, as PEM"],
        Form::Text(&WHOLE_FILE), "none", |draft, given| put(&mut draft.config.tls.key, absolute(given.text).map(Some))),

    derived(["limits.hosts", "POOL_MANAGERD_LIMITS_HOSTS", "The Host names that are answered; * for any"],
        Form::List(&hosts::NAME), "the loopback names on a loopback bind, else any", |draft, given| HostRule::parse(given.text).map(|rule| draft.hosts = Some(rule))),

    derived(["traces.endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", "A collector that speaks OTLP over gRPC, e.g. http://collector:4317"],
        Form::Text(&traces::COLLECTOR), "no traces", |draft, given| put(&mut draft.config.traces.endpoint, traces::collector(given.text).map(Some))),
    row(["traces.sampler", "OTEL_TRACES_SAMPLER", "Which traces are recorded, by the usual names of samplers"],
        Form::Word(TraceSampler::WORDS), "parentbased_always_on", |draft, given| put(&mut draft.config.traces.sampler, given.choice())),
    row(["traces.sampler_arg", "OTEL_TRACES_SAMPLER_ARG", "Which part of them, where the sampler takes a part"],
        Form::Text(&traces::RATIO), "1", |draft, given| put(&mut draft.config.traces.ratio, traces::ratio(given.text))),

    row(["log.filter", "RUST_LOG", "What is logged, e.g. info,pool_managerd=debug"],
        Form::Text(&DIRECTIVES), "info", |draft, given| put(&mut draft.config.log.filter, line(given.text))),
    derived(["log.format", "POOL_MANAGERD_LOG_FORMAT", "The shape of a log line"],
        Form::Word(LogFormat::WORDS), "pretty on a terminal, else json", |draft, given| put(&mut draft.config.log.format, given.choice().map(Some))),
];

fn name(text: &str) -> Result<String, Problem> {
    let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if starts && NAME.fits(text) && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(format!("{} is not a node's name", shown(text))).hint(NAME.hint()))
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

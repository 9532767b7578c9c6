//! The table of settings: flags, environment names, file keys, defaults and help all come from here.
//!
//! A new setting is a row here, a field in `config.rs`, and a pair of values in the row tests.

use std::ops::RangeInclusive;

use crate::{
    draft::{TokenOf, put},
    hosts::HostRule,
    pool,
    secret::Secret,
    setting::{Reach, Setting, derived, row},
    traces,
    value::{
        addr, amount, choice, count, file, folder, host, key, line, list, millis, network, port, size, whole,
    },
};

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// For what should take seconds.
const SHORT: RangeInclusive<u64> = 1..=10 * MINUTE_MS;
/// For what may take hours.
const LONG: RangeInclusive<u64> = 1..=7 * DAY_MS;

/// Every setting that works, in the order of the help.
#[rustfmt::skip] // A table is read in columns: names, default, reader.
pub static SETTINGS: &[Setting] = &[
    derived(["config", "ORCHD_CONFIG", "FILE", "The configuration file, in TOML"],
        Reach::NoFile, "none", |_, _| Ok(())),
    row(["bind_addr", "ORCHD_BIND_ADDR", "IP:PORT", "Where to listen; an address that others reach needs a token"],
        "127.0.0.1:8080", |draft, text| put(&mut draft.config.bind_addr, addr(text))),
    derived(["metrics_port", "PROMETHEUS_METRICS_PORT", "PORT", "A further port for /metrics, with connections of its own"],
        Reach::Everywhere, "none", |draft, text| put(&mut draft.config.metrics_port, port(text).map(Some))),
    derived(["pools", "ORCHD_POOLS", "ID=ENGINE+URL,...", "Engines that already run, e.g. default=llamacpp+http://127.0.0.1:8081"],
        Reach::Everywhere, "one mock pool", |draft, text| pool::from_list(text).map(|pools| draft.config.pools = pools)),
    derived(["pool_managers", "ORCHD_POOL_MANAGERS", "URL,...", "Agents on GPU nodes that are asked for their pools, e.g. http://gpu-1:9200"],
        Reach::Everywhere, "none", |draft, text| list(text, pool::endpoint).map(|urls| draft.config.nodes.managers = urls)),
    derived(["nodes.bind_addr", "ORCHD_NODES_BIND_ADDR", "IP:PORT", "A further address to listen on, whose connections users cannot take from nodes"],
        Reach::Everywhere, "none", |draft, text| put(&mut draft.config.nodes.bind_addr, addr(text).map(Some))),
    row(["nodes.offline_after_ms", "ORCHD_NODES_OFFLINE_AFTER_MS", "MS", "How long a node may be silent before it gets no more work"],
        "30000", |draft, text| put(&mut draft.config.nodes.offline_after, millis(text, 1_000..=60 * MINUTE_MS))),
    derived(["nodes.networks", "ORCHD_NODE_NETWORKS", "CIDR,...", "Networks in which engines of nodes may listen, beside the node's own address"],
        Reach::Everywhere, "none", |draft, text| list(text, network).map(|networks| draft.config.nodes.networks = networks)),
    row(["gpu_policy", "ORCHD_GPU_POLICY", "vram-only|allow-cpu", "Whether pools on the CPU may be used; allow-cpu is for development"],
        "vram-only", |draft, text| put(&mut draft.config.gpu_policy, choice(text))),
    derived(["api_token", "LLORCH_API_TOKEN", "TOKEN", "The token, at least 32 characters; of every plane that has none of its own"],
        Reach::NoFlag, "none", |draft, text| draft.token_inline(TokenOf::Api, Secret::token(text))),
    derived(["api_token_file", "LLORCH_API_TOKEN_FILE", "FILE", "A file that holds it; of several lines each is a token that works"],
        Reach::Everywhere, "none", |draft, text| draft.token_file(TokenOf::Api, line(text))),
    derived(["control_token", "LLORCH_CONTROL_TOKEN", "TOKEN", "The control plane's own token: that plane then takes no other"],
        Reach::NoFlag, "none", |draft, text| draft.token_inline(TokenOf::Control, Secret::token(text))),
    derived(["control_token_file", "LLORCH_CONTROL_TOKEN_FILE", "FILE", "A file that holds it, or several"],
        Reach::Everywhere, "none", |draft, text| draft.token_file(TokenOf::Control, line(text))),
    derived(["node_token", "LLORCH_NODE_TOKEN", "TOKEN", "The node plane's own token: that plane then takes no other"],
        Reach::NoFlag, "none", |draft, text| draft.token_inline(TokenOf::Node, Secret::token(text))),
    derived(["node_token_file", "LLORCH_NODE_TOKEN_FILE", "FILE", "A file that holds it, or several"],
        Reach::Everywhere, "none", |draft, text| draft.token_file(TokenOf::Node, line(text))),
    row(["shutdown_grace_ms", "ORCHD_SHUTDOWN_GRACE_MS", "MS", "How long running jobs may go on after the signal to stop"],
        "8000", |draft, text| put(&mut draft.config.shutdown_grace, millis(text, 0..=DAY_MS))),

    row(["auth.optional", "AUTH_OPTIONAL", "true|false", "Lets direct peers on this machine in without the token"],
        "false", |draft, text| put(&mut draft.config.auth.loopback, choice(text))),
    row(["auth.trust_proxy", "TRUST_PROXY_AUTH", "true|false", "Vouches for a proxy on this machine: what it forwards counts as local"],
        "false", |draft, text| put(&mut draft.config.auth.proxy, choice(text))),

    derived(["tls.cert_file", "ORCHD_TLS_CERT_FILE", "FILE", "The server's certificate and its chain, in PEM; plain HTTP without"],
        Reach::Everywhere, "none", |draft, text| put(&mut draft.tls.cert, file(text))),
    derived(["tls.key_file", "ORCHD_TLS_KEY_FILE", "FILE", "The private key of that certificate, in PEM"],
        Reach::Everywhere, "none", |draft, text| put(&mut draft.tls.key, file(text))),
    derived(["tls.client_ca_file", "ORCHD_TLS_CLIENT_CA_FILE", "FILE", "Who signs the certificates that nodes must then show, in PEM"],
        Reach::Everywhere, "none", |draft, text| put(&mut draft.tls.client_ca, file(text))),

    row(["admission.capacity", "ORCHD_ADMISSION_CAPACITY", "JOBS", "How many jobs may wait per pool, both classes together"],
        "100", |draft, text| put(&mut draft.config.admission.capacity, count(text, 1..=1_000_000))),
    row(["admission.policy", "ORCHD_ADMISSION_POLICY", "reject|drop-lru", "What happens to one job more"],
        "reject", |draft, text| put(&mut draft.config.admission.policy, choice(text))),
    row(["placement.strategy", "ORCHD_PLACEMENT_STRATEGY", "least-loaded|round-robin", "How a replica is chosen"],
        "least-loaded", |draft, text| put(&mut draft.config.placement, choice(text))),

    derived(["state_dir", "ORCHD_STATE_DIR", "DIR", "Where jobs and the catalog are kept"],
        Reach::Everywhere, "$XDG_STATE_HOME/orchestratord", |draft, text| put(&mut draft.config.store.folder, line(text).map(Into::into))),
    row(["repair", "ORCHD_REPAIR", "true|false", "Whether to go on with what is intact when the store is damaged"],
        "false", |draft, text| put(&mut draft.config.store.on_damage, choice(text))),
    row(["store.kind", "ORCHD_STORE_KIND", "sqlite|memory", "What remembers jobs; memory forgets them with the process"],
        "sqlite", |draft, text| put(&mut draft.config.store.kind, choice(text))),
    row(["store.commit_timeout_ms", "ORCHD_STORE_COMMIT_TIMEOUT_MS", "MS", "How long a task may wait for its commit before it is refused"],
        "5000", |draft, text| put(&mut draft.config.store.commit_timeout, millis(text, SHORT))),

    derived(["catalog.roots", "ORCHD_CATALOG_ROOTS", "DIR,...", "The folders below which model files may lie"],
        Reach::Everywhere, "none", |draft, text| list(text, folder).map(|roots| draft.config.catalog.roots = roots)),
    row(["catalog.trust", "ORCHD_CATALOG_TRUST", "permissive|strict", "What a model must prove; strict asks for a digest and a signature"],
        "permissive", |draft, text| put(&mut draft.config.catalog.trust, choice(text))),
    derived(["catalog.keys", "ORCHD_CATALOG_KEYS", "NAME:BASE64,...", "The ed25519 public keys that may sign models"],
        Reach::Everywhere, "none", |draft, text| list(text, key).map(|keys| draft.config.catalog.keys = keys)),
    row(["catalog.outbound", "ORCHD_CATALOG_OUTBOUND", "off|allow", "Whether models may be fetched from the network"],
        "off", |draft, text| put(&mut draft.config.catalog.outbound, choice(text))),
    derived(["catalog.hosts", "ORCHD_CATALOG_HOSTS", "HOST,...", "The hosts that models may be fetched from"],
        Reach::Everywhere, "none", |draft, text| list(text, host).map(|hosts| draft.config.catalog.hosts = hosts)),

    row(["artifacts.quota_bytes", "ORCHD_ARTIFACTS_QUOTA_BYTES", "BYTES", "How many bytes all artifacts together may take"],
        "1073741824", |draft, text| put(&mut draft.config.artifacts.quota_bytes, whole(text, 4_096..=1 << 50))),
    row(["artifacts.bytes_max", "ORCHD_ARTIFACTS_BYTES_MAX", "BYTES", "The largest artifact"],
        "16777216", |draft, text| put(&mut draft.config.artifacts.bytes_max, whole(text, 1..=1 << 30))),
    row(["artifacts.retention_ms", "ORCHD_ARTIFACTS_RETENTION_MS", "MS", "How long an artifact is kept"],
        "604800000", |draft, text| put(&mut draft.config.artifacts.retention, millis(text, 1..=3_650 * DAY_MS))),
    row(["artifacts.transcripts", "ORCHD_ARTIFACTS_TRANSCRIPTS", "on|off|redacted", "Whether ended tasks leave transcripts; redacted leaves out prompts"],
        "redacted", |draft, text| put(&mut draft.config.artifacts.transcripts, choice(text))),

    row(["jobs.max_attempts", "ORCHD_JOBS_MAX_ATTEMPTS", "N", "How many engines may be tried before the first token"],
        "2", |draft, text| put(&mut draft.config.jobs.max_attempts, count(text, 1..=5))),
    row(["jobs.retention_ms", "ORCHD_JOBS_RETENTION_MS", "MS", "How long an ended job can be read"],
        "3600000", |draft, text| put(&mut draft.config.jobs.retention, millis(text, LONG))),
    row(["jobs.retained_max", "ORCHD_JOBS_RETAINED_MAX", "JOBS", "How many ended jobs are kept"],
        "100000", |draft, text| put(&mut draft.config.jobs.retained_max, size(text, 1..=10_000_000))),
    row(["jobs.retained_bytes_max", "ORCHD_JOBS_RETAINED_BYTES_MAX", "BYTES", "How many bytes the kept jobs may take"],
        "268435456", |draft, text| put(&mut draft.config.jobs.retained_bytes_max, size(text, 65_536..=1 << 40))),

    row(["sessions.ttl_ms", "ORCHD_SESSIONS_TTL_MS", "MS", "How long a session is kept after its last task"],
        "600000", |draft, text| put(&mut draft.config.sessions.ttl, millis(text, LONG))),
    row(["sessions.turns_max", "ORCHD_SESSIONS_TURNS_MAX", "N", "How many tasks a session may have"],
        "8", |draft, text| put(&mut draft.config.sessions.turns_max, count(text, 1..=1_000_000))),
    row(["sessions.max", "ORCHD_SESSIONS_MAX", "N", "How many sessions there may be; the oldest idle one gives way"],
        "100000", |draft, text| put(&mut draft.config.sessions.max, size(text, 1..=10_000_000))),
    derived(["sessions.tokens_budget", "ORCHD_SESSIONS_TOKENS_BUDGET", "TOKENS", "Tokens that a session may use, prompts and answers"],
        Reach::Everywhere, "no limit", |draft, text| put(&mut draft.config.sessions.tokens_budget, whole(text, 1..=1 << 50).map(Some))),
    derived(["sessions.time_budget_ms", "ORCHD_SESSIONS_TIME_BUDGET_MS", "MS", "Engine time that a session may use"],
        Reach::Everywhere, "no limit", |draft, text| put(&mut draft.config.sessions.time_budget, millis(text, LONG).map(Some))),
    derived(["sessions.cost_budget", "ORCHD_SESSIONS_COST_BUDGET", "AMOUNT", "Cost that a session may cause, by the pools' prices"],
        Reach::Everywhere, "no limit", |draft, text| put(&mut draft.config.sessions.cost_budget, amount(text).map(Some))),

    row(["openai.extra_fields", "ORCHD_OPENAI_EXTRA_FIELDS", "pass|refuse", "What becomes of fields of OpenAI's API that are unknown here"],
        "pass", |draft, text| put(&mut draft.config.extra_fields, choice(text))),

    row(["engine.connect_timeout_ms", "ORCHD_ENGINE_CONNECT_TIMEOUT_MS", "MS", "How long a connection to an engine may take"],
        "2000", |draft, text| put(&mut draft.config.engine.connect_timeout, millis(text, SHORT))),
    row(["engine.first_token_timeout_ms", "ORCHD_ENGINE_FIRST_TOKEN_TIMEOUT_MS", "MS", "How long the first token may take"],
        "120000", |draft, text| put(&mut draft.config.engine.first_token_timeout, millis(text, LONG))),
    row(["engine.idle_timeout_ms", "ORCHD_ENGINE_IDLE_TIMEOUT_MS", "MS", "How long an engine may be silent between tokens"],
        "30000", |draft, text| put(&mut draft.config.engine.idle_timeout, millis(text, LONG))),
    row(["engine.wall_timeout_ms", "ORCHD_ENGINE_WALL_TIMEOUT_MS", "MS", "How long a job may run as a whole"],
        "3600000", |draft, text| put(&mut draft.config.engine.wall_timeout, millis(text, LONG))),
    row(["engine.health_interval_ms", "ORCHD_ENGINE_HEALTH_INTERVAL_MS", "MS", "The time between two looks at an engine's health"],
        "2000", |draft, text| put(&mut draft.config.engine.health_interval, millis(text, 50..=60 * MINUTE_MS))),

    row(["limits.body_bytes_max", "ORCHD_BODY_BYTES_MAX", "BYTES", "The largest request body"],
        "2097152", |draft, text| put(&mut draft.config.limits.body_bytes_max, size(text, 1_024..=1 << 30))),
    row(["limits.header_bytes_max", "ORCHD_LIMITS_HEADER_BYTES_MAX", "BYTES", "The largest request head"],
        "16384", |draft, text| put(&mut draft.config.limits.header_bytes_max, size(text, 8_192..=1 << 20))),
    row(["limits.header_timeout_ms", "ORCHD_LIMITS_HEADER_TIMEOUT_MS", "MS", "How long a request head may take to arrive"],
        "5000", |draft, text| put(&mut draft.config.limits.header_timeout, millis(text, SHORT))),
    row(["limits.body_timeout_ms", "ORCHD_LIMITS_BODY_TIMEOUT_MS", "MS", "How long a request body may take to arrive"],
        "30000", |draft, text| put(&mut draft.config.limits.body_timeout, millis(text, SHORT))),
    row(["limits.connections_max", "ORCHD_LIMITS_CONNECTIONS_MAX", "N", "How many connections may be open"],
        "12000", |draft, text| put(&mut draft.config.limits.connections_max, size(text, 1..=1_000_000))),
    derived(["limits.hosts", "ORCHD_LIMITS_HOSTS", "HOST,...", "The Host names that are answered; * for any"],
        Reach::Everywhere, "the loopback names on a loopback bind, else any", |draft, text| HostRule::parse(text).map(|rule| draft.hosts = Some(rule))),

    derived(["traces.endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", "URL", "A collector that speaks OTLP over gRPC, e.g. http://collector:4317"],
        Reach::Everywhere, "no traces", |draft, text| put(&mut draft.config.traces.endpoint, traces::collector(text).map(Some))),
    row(["traces.sampler", "OTEL_TRACES_SAMPLER", "parentbased_always_on|always_off|...", "Which traces are recorded, by the usual names of samplers"],
        "parentbased_always_on", |draft, text| put(&mut draft.config.traces.sampler, choice(text))),
    row(["traces.sampler_arg", "OTEL_TRACES_SAMPLER_ARG", "RATIO", "Which part of them, where the sampler takes a part"],
        "1", |draft, text| put(&mut draft.config.traces.ratio, traces::ratio(text))),

    row(["log.filter", "RUST_LOG", "DIRECTIVES", "What is logged, e.g. info,orchestratord=debug"],
        "info", |draft, text| put(&mut draft.config.log.filter, line(text))),
    derived(["log.format", "ORCHD_LOG_FORMAT", "json|pretty", "The shape of a log line"],
        Reach::Everywhere, "pretty on a terminal, else json", |draft, text| put(&mut draft.config.log.format, choice(text).map(Some))),
];

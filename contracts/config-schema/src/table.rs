//! The table of settings: flags, environment names, file keys, defaults and help all come from here.
//!
//! A new setting is a row here, a field in `config.rs`, and a pair of values in the row tests.

use crate::{
    draft::{TokenOf, put},
    form::{Form, Unit},
    hosts::{self, HostRule},
    kind::{
        AdmissionPolicy, Choice, ExtraFields, GpuPolicy, LogFormat, Outbound, PlacementKind, StoreKind,
        Transcripts, TrustRule,
    },
    pool,
    secret::{Secret, TOKEN},
    setting::{Reach, Setting, derived, row},
    value::{
        ADDR, AMOUNT, DIR, DIRECTIVES, FILE, FOLDER, HOST, KEY, NETWORK, PORT, addr, file, folder, host, key,
        line, list, network,
    },
};

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// For what should take seconds.
const SHORT: Form = Form::whole(1, 10 * MINUTE_MS, Unit::Milliseconds);
/// For what may take hours.
const LONG: Form = Form::whole(1, 7 * DAY_MS, Unit::Milliseconds);

/// Every setting that works, in the order of the help.
//= ORCH-3328
#[rustfmt::skip] // A table is read in columns: names, form, default, reader.
pub static SETTINGS: &[Setting] = &[
    derived(["config", "ORCHD_CONFIG", "The configuration file, in TOML"],
        Form::Text(&FILE), "none", |_, _| Ok(())).reaching(Reach::NoFile),
    row(["bind_addr", "ORCHD_BIND_ADDR", "Where to listen; an address that others reach needs a token"],
        Form::Text(&ADDR), "127.0.0.1:8080", |draft, given| put(&mut draft.config.bind_addr, addr(given.text))),
    derived(["metrics_port", "PROMETHEUS_METRICS_PORT", "A further port for /metrics, with connections of its own"],
        PORT, "none", |draft, given| put(&mut draft.config.metrics_port, given.whole().map(Some))),
    derived(["pools", "ORCHD_POOLS", "Engines that already run, e.g. default=llamacpp+http://127.0.0.1:8081"],
        Form::Tables { keys: pool::KEYS, rules: pool::RULES, inline: Some(&pool::ITEM) }, "one mock pool", |draft, given| pool::from_list(given.text).map(|pools| draft.config.pools = pools)),
    derived(["pool_managers", "ORCHD_POOL_MANAGERS", "Agents on GPU nodes that are asked for their pools, e.g. http://gpu-1:9200"],
        Form::List(&pool::ENDPOINT), "none", |draft, given| list(given.text, pool::endpoint).map(|urls| draft.config.nodes.managers = urls)),
    derived(["nodes.bind_addr", "ORCHD_NODES_BIND_ADDR", "A further address to listen on, whose connections users cannot take from nodes"],
        Form::Text(&ADDR), "none", |draft, given| put(&mut draft.config.nodes.bind_addr, addr(given.text).map(Some))),
    row(["nodes.offline_after_ms", "ORCHD_NODES_OFFLINE_AFTER_MS", "How long a node may be silent before it gets no more work"],
        Form::whole(1_000, 60 * MINUTE_MS, Unit::Milliseconds), "30000", |draft, given| put(&mut draft.config.nodes.offline_after, given.millis())),
    derived(["nodes.networks", "ORCHD_NODE_NETWORKS", "Networks in which engines of nodes may listen, beside the node's own address"],
        Form::List(&NETWORK), "none", |draft, given| list(given.text, network).map(|networks| draft.config.nodes.networks = networks)),
    row(["gpu_policy", "ORCHD_GPU_POLICY", "Whether pools on the CPU may be used; allow-cpu is for development"],
        Form::Word(GpuPolicy::WORDS), "vram-only", |draft, given| put(&mut draft.config.gpu_policy, given.choice())),
    derived(["api_token", "LLORCH_API_TOKEN", "The token, at least 32 characters; of every plane that has none of its own"],
        Form::Secret(&TOKEN), "none", |draft, given| draft.token_inline(TokenOf::Api, Secret::token(given.text))).reaching(Reach::NoFlag),
    derived(["api_token_file", "LLORCH_API_TOKEN_FILE", "A file that holds it; of several lines each is a token that works"],
        Form::Text(&FILE), "none", |draft, given| draft.token_file(TokenOf::Api, line(given.text))),
    derived(["control_token", "LLORCH_CONTROL_TOKEN", "The control plane's own token: that plane then takes no other"],
        Form::Secret(&TOKEN), "none", |draft, given| draft.token_inline(TokenOf::Control, Secret::token(given.text))).reaching(Reach::NoFlag),
    derived(["control_token_file", "LLORCH_CONTROL_TOKEN_FILE", "A file that holds it, or several"],
        Form::Text(&FILE), "none", |draft, given| draft.token_file(TokenOf::Control, line(given.text))),
    derived(["node_token", "LLORCH_NODE_TOKEN", "The node plane's own token: that plane then takes no other"],
        Form::Secret(&TOKEN), "none", |draft, given| draft.token_inline(TokenOf::Node, Secret::token(given.text))).reaching(Reach::NoFlag),
    derived(["node_token_file", "LLORCH_NODE_TOKEN_FILE", "A file that holds it, or several"],
        Form::Text(&FILE), "none", |draft, given| draft.token_file(TokenOf::Node, line(given.text))),
    row(["shutdown_grace_ms", "ORCHD_SHUTDOWN_GRACE_MS", "How long running jobs may go on after the signal to stop"],
        Form::whole(0, DAY_MS, Unit::Milliseconds), "8000", |draft, given| put(&mut draft.config.shutdown_grace, given.millis())),

    row(["auth.optional", "AUTH_OPTIONAL", "Lets direct peers on this machine in without the token"],
        Form::Truth, "false", |draft, given| put(&mut draft.config.auth.loopback, given.choice())),
    row(["auth.trust_proxy", "TRUST_PROXY_AUTH", "Vouches for a proxy on this machine: what it forwards counts as local"],
        Form::Truth, "false", |draft, given| put(&mut draft.config.auth.proxy, given.choice())),

    derived(["tls.cert_file", "ORCHD_TLS_CERT_FILE", "The server's certificate and its chain, in PEM; plain HTTP without"],
        Form::Text(&FILE), "none", |draft, given| put(&mut draft.tls.cert, file(given.text))),
    derived(["tls.key_file", "ORCHD_TLS_KEY_FILE", "The private key of that certificate, in PEM"],
        Form::Text(&FILE), "none", |draft, given| put(&mut draft.tls.key, file(given.text))),
    derived(["tls.client_ca_file", "ORCHD_TLS_CLIENT_CA_FILE", "Who signs the certificates that nodes must then show, in PEM"],
        Form::Text(&FILE), "none", |draft, given| put(&mut draft.tls.client_ca, file(given.text))),

    row(["admission.capacity", "ORCHD_ADMISSION_CAPACITY", "How many jobs may wait per pool, both classes together"],
        Form::whole(1, 1_000_000, Unit::Jobs), "100", |draft, given| put(&mut draft.config.admission.capacity, given.whole())),
    row(["admission.policy", "ORCHD_ADMISSION_POLICY", "What happens to one job more"],
        Form::Word(AdmissionPolicy::WORDS), "reject", |draft, given| put(&mut draft.config.admission.policy, given.choice())),
    row(["placement.strategy", "ORCHD_PLACEMENT_STRATEGY", "How a replica is chosen"],
        Form::Word(PlacementKind::WORDS), "least-loaded", |draft, given| put(&mut draft.config.placement, given.choice())),

    derived(["state_dir", "ORCHD_STATE_DIR", "Where jobs and the catalog are kept"],
        Form::Text(&DIR), "$XDG_STATE_HOME/orchestratord", |draft, given| put(&mut draft.config.store.folder, line(given.text).map(Into::into))),
    row(["repair", "ORCHD_REPAIR", "Whether to go on with what is intact when the store is damaged"],
        Form::Truth, "false", |draft, given| put(&mut draft.config.store.on_damage, given.choice())),
    row(["store.kind", "ORCHD_STORE_KIND", "What remembers jobs; memory forgets them with the process"],
        Form::Word(StoreKind::WORDS), "sqlite", |draft, given| put(&mut draft.config.store.kind, given.choice())),
    row(["store.commit_timeout_ms", "ORCHD_STORE_COMMIT_TIMEOUT_MS", "How long a task may wait for its commit before it is refused"],
        SHORT, "5000", |draft, given| put(&mut draft.config.store.commit_timeout, given.millis())),

    derived(["catalog.roots", "ORCHD_MODEL_ROOTS", "The folders below which model files may lie"],
        Form::List(&FOLDER), "none", |draft, given| list(given.text, folder).map(|roots| draft.config.catalog.roots = roots)),
    row(["catalog.trust", "ORCHD_CATALOG_TRUST", "What a model must prove; strict asks for a digest and a signature"],
        Form::Word(TrustRule::WORDS), "permissive", |draft, given| put(&mut draft.config.catalog.trust, given.choice())),
    derived(["catalog.keys", "ORCHD_CATALOG_KEYS", "The ed25519 public keys that may sign models"],
        Form::List(&KEY), "none", |draft, given| list(given.text, key).map(|keys| draft.config.catalog.keys = keys)),
    row(["catalog.outbound", "ORCHD_CATALOG_OUTBOUND", "Whether models may be fetched from the network"],
        Form::Word(Outbound::WORDS), "off", |draft, given| put(&mut draft.config.catalog.outbound, given.choice())),
    derived(["catalog.hosts", "ORCHD_CATALOG_HOSTS", "The hosts that models may be fetched from"],
        Form::List(&HOST), "none", |draft, given| list(given.text, host).map(|hosts| draft.config.catalog.hosts = hosts)),

    row(["artifacts.quota_bytes", "ORCHD_ARTIFACTS_QUOTA_BYTES", "How many bytes all artifacts together may take"],
        Form::whole(4_096, 1 << 50, Unit::Bytes), "1073741824", |draft, given| put(&mut draft.config.artifacts.quota_bytes, given.whole())),
    row(["artifacts.bytes_max", "ORCHD_ARTIFACTS_BYTES_MAX", "The largest artifact"],
        Form::whole(1, 1 << 30, Unit::Bytes), "16777216", |draft, given| put(&mut draft.config.artifacts.bytes_max, given.whole())),
    row(["artifacts.retention_ms", "ORCHD_ARTIFACTS_RETENTION_MS", "How long an artifact is kept"],
        Form::whole(1, 3_650 * DAY_MS, Unit::Milliseconds), "604800000", |draft, given| put(&mut draft.config.artifacts.retention, given.millis())),
    row(["artifacts.transcripts", "ORCHD_ARTIFACTS_TRANSCRIPTS", "Whether ended tasks leave transcripts; redacted leaves out prompts"],
        Form::Word(Transcripts::WORDS), "redacted", |draft, given| put(&mut draft.config.artifacts.transcripts, given.choice())),

    row(["jobs.max_attempts", "ORCHD_JOBS_MAX_ATTEMPTS", "How many engines may be tried before the first token"],
        Form::whole(1, 5, Unit::Things), "2", |draft, given| put(&mut draft.config.jobs.max_attempts, given.whole())),
    row(["jobs.retention_ms", "ORCHD_JOBS_RETENTION_MS", "How long an ended job can be read"],
        LONG, "3600000", |draft, given| put(&mut draft.config.jobs.retention, given.millis())),
    row(["jobs.retained_max", "ORCHD_JOBS_RETAINED_MAX", "How many ended jobs are kept"],
        Form::whole(1, 10_000_000, Unit::Jobs), "100000", |draft, given| put(&mut draft.config.jobs.retained_max, given.whole())),
    row(["jobs.retained_bytes_max", "ORCHD_JOBS_RETAINED_BYTES_MAX", "How many bytes the kept jobs may take"],
        Form::whole(65_536, 1 << 40, Unit::Bytes), "268435456", |draft, given| put(&mut draft.config.jobs.retained_bytes_max, given.whole())),

    row(["sessions.ttl_ms", "ORCHD_SESSIONS_TTL_MS", "How long a session is kept after its last task"],
        LONG, "600000", |draft, given| put(&mut draft.config.sessions.ttl, given.millis())),
    row(["sessions.turns_max", "ORCHD_SESSIONS_TURNS_MAX", "How many tasks a session may have"],
        Form::whole(1, 1_000_000, Unit::Things), "8", |draft, given| put(&mut draft.config.sessions.turns_max, given.whole())),
    row(["sessions.max", "ORCHD_SESSIONS_MAX", "How many sessions there may be; the oldest idle one gives way"],
        Form::whole(1, 10_000_000, Unit::Things), "100000", |draft, given| put(&mut draft.config.sessions.max, given.whole())),
    derived(["sessions.tokens_budget", "ORCHD_SESSIONS_TOKENS_BUDGET", "Tokens that a session may use, prompts and answers"],
        Form::whole(1, 1 << 50, Unit::Tokens), "no limit", |draft, given| put(&mut draft.config.sessions.tokens_budget, given.whole().map(Some))),
    derived(["sessions.time_budget_ms", "ORCHD_SESSIONS_TIME_BUDGET_MS", "Engine time that a session may use"],
        LONG, "no limit", |draft, given| put(&mut draft.config.sessions.time_budget, given.millis().map(Some))),
    derived(["sessions.cost_budget", "ORCHD_SESSIONS_COST_BUDGET", "Cost that a session may cause, by the pools' prices"],
        AMOUNT, "no limit", |draft, given| put(&mut draft.config.sessions.cost_budget, given.amount().map(Some))),

    row(["openai.extra_fields", "ORCHD_OPENAI_EXTRA_FIELDS", "What becomes of fields of OpenAI's API that are unknown here"],
        Form::Word(ExtraFields::WORDS), "pass", |draft, given| put(&mut draft.config.extra_fields, given.choice())),

    row(["engine.connect_timeout_ms", "ORCHD_ENGINE_CONNECT_TIMEOUT_MS", "How long a connection to an engine may take"],
        SHORT, "2000", |draft, given| put(&mut draft.config.engine.connect_timeout, given.millis())),
    row(["engine.first_token_timeout_ms", "ORCHD_ENGINE_FIRST_TOKEN_TIMEOUT_MS", "How long the first token may take"],
        LONG, "120000", |draft, given| put(&mut draft.config.engine.first_token_timeout, given.millis())),
    row(["engine.idle_timeout_ms", "ORCHD_ENGINE_IDLE_TIMEOUT_MS", "How long an engine may be silent between tokens"],
        LONG, "30000", |draft, given| put(&mut draft.config.engine.idle_timeout, given.millis())),
    row(["engine.wall_timeout_ms", "ORCHD_ENGINE_WALL_TIMEOUT_MS", "How long a job may run as a whole"],
        LONG, "3600000", |draft, given| put(&mut draft.config.engine.wall_timeout, given.millis())),
    row(["engine.health_interval_ms", "ORCHD_ENGINE_HEALTH_INTERVAL_MS", "The time between two looks at an engine's health"],
        Form::whole(50, 60 * MINUTE_MS, Unit::Milliseconds), "2000", |draft, given| put(&mut draft.config.engine.health_interval, given.millis())),

    row(["limits.body_bytes_max", "ORCHD_BODY_BYTES_MAX", "The largest request body"],
        Form::whole(1_024, 1 << 30, Unit::Bytes), "2097152", |draft, given| put(&mut draft.config.limits.body_bytes_max, given.whole())),
    row(["limits.header_bytes_max", "ORCHD_LIMITS_HEADER_BYTES_MAX", "The largest request head"],
        Form::whole(8_192, 1 << 20, Unit::Bytes), "16384", |draft, given| put(&mut draft.config.limits.header_bytes_max, given.whole())),
    row(["limits.header_timeout_ms", "ORCHD_LIMITS_HEADER_TIMEOUT_MS", "How long a request head may take to arrive"],
        SHORT, "5000", |draft, given| put(&mut draft.config.limits.header_timeout, given.millis())),
    row(["limits.body_timeout_ms", "ORCHD_LIMITS_BODY_TIMEOUT_MS", "How long a request body may take to arrive"],
        SHORT, "30000", |draft, given| put(&mut draft.config.limits.body_timeout, given.millis())),
    row(["limits.connections_max", "ORCHD_LIMITS_CONNECTIONS_MAX", "How many connections may be open"],
        Form::whole(1, 1_000_000, Unit::Things), "12000", |draft, given| put(&mut draft.config.limits.connections_max, given.whole())),
    derived(["limits.hosts", "ORCHD_LIMITS_HOSTS", "The Host names that are answered; * for any"],
        Form::List(&hosts::NAME), "the loopback names on a loopback bind, else any", |draft, given| HostRule::parse(given.text).map(|rule| draft.hosts = Some(rule))),

    row(["log.filter", "RUST_LOG", "What is logged, e.g. info,orchestratord=debug"],
        Form::Text(&DIRECTIVES), "info", |draft, given| put(&mut draft.config.log.filter, line(given.text))),
    derived(["log.format", "ORCHD_LOG_FORMAT", "The shape of a log line"],
        Form::Word(LogFormat::WORDS), "pretty on a terminal, else json", |draft, given| put(&mut draft.config.log.format, given.choice().map(Some))),
];

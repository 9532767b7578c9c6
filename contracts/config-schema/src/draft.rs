//! A configuration in the making: what the layers have said so far.
//!
//! Some settings cannot be settled one by one: the token may be in a file, the host names follow from
//! the bind address, the pools from there being none. The draft holds what was said until all is said.

use std::{collections::HashMap, net::SocketAddr, path::PathBuf, time::Duration};

use toml::Value;

use crate::{
    config::{
        AdmissionConfig, ArtifactsConfig, AuthConfig, CatalogConfig, Config, EngineConfig, JobsConfig,
        Limits, LogConfig, NodesConfig, PoolConfig, SessionsConfig, StoreConfig, TlsConfig,
    },
    fault::{Fault, Problem, Source},
    form::Given,
    hosts::HostRule,
    kind::{
        AdmissionPolicy, EngineKind, ExtraFields, GpuPolicy, LoopbackRule, OnDamage, Outbound, PlacementKind,
        ProxyTrust, StoreKind, Transcripts, TrustRule,
    },
    layers::{Layers, Open},
    pool,
    schema::{Rules, Schema},
    secret::Secret,
    setting::{Preset, Setting},
    table::SETTINGS,
    traces::TracesConfig,
};

/// Whose token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenOf {
    /// The data plane's, and that of every plane without its own.
    Api,
    Control,
    Node,
}

impl TokenOf {
    const ALL: [Self; 3] = [Self::Api, Self::Control, Self::Node];

    /// The setting that names its file.
    const fn file_key(self) -> &'static str {
        match self {
            Self::Api => "api_token_file",
            Self::Control => "control_token_file",
            Self::Node => "node_token_file",
        }
    }
}

enum TokenPlace {
    Inline(Secret),
    File(PathBuf),
}

/// What was said, and by whom.
pub(crate) struct Draft<C = Config> {
    pub(crate) config: C,
    pub(crate) hosts: Option<HostRule>,
    pub(crate) tls: TlsDraft,
    tokens: [Option<TokenPlace>; TokenOf::ALL.len()],
    said_by: HashMap<&'static str, Source>,
    /// Settings with a fault: a rule over them would judge a value that nobody wrote.
    unsound: Vec<&'static str>,
    faults: Vec<Fault>,
}

/// The files of certificates, as far as they were named.
#[derive(Debug, Default)]
pub(crate) struct TlsDraft {
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) client_ca: Option<PathBuf>,
}

/// Puts a value where it belongs, once it has been read.
pub(crate) fn put<T>(place: &mut T, value: Result<T, Problem>) -> Result<(), Vec<Problem>> {
    *place = value?;
    Ok(())
}

impl<C: Rules> Draft<C> {
    /// The defaults of the table and nothing else.
    pub(crate) fn with_defaults() -> Self {
        let mut draft = Self {
            config: C::blank(),
            hosts: None,
            tls: TlsDraft::default(),
            tokens: [const { None }; TokenOf::ALL.len()],
            said_by: HashMap::new(),
            unsound: Vec::new(),
            faults: Vec::new(),
        };
        for setting in C::settings() {
            if let Preset::Value(text) = setting.preset {
                draft.say(setting, text, Source::Default(setting.key));
            }
        }
        draft
    }

    /// Takes `text` as the value of `setting`, over whatever was said before.
    //= ORCH-3321
    pub(crate) fn say(&mut self, setting: &Setting<C>, text: &str, source: Source) {
        let outcome = (setting.apply)(self, Given { form: setting.form, text });
        self.note(setting.key, source, outcome);
    }

    /// Takes note that nothing could be said of `setting`.
    pub(crate) fn refuse(&mut self, setting: &Setting<C>, source: Source, problem: Problem) {
        self.note(setting.key, source, Err(problem.into()));
    }

    /// Takes the pools of the file, which are tables and not text.
    pub(crate) fn say_pools(&mut self, pools: &[Value], source: Source) {
        let outcome = self.config.take_pools(pools);
        self.note("pools", source, outcome);
    }

    /// Keeps what is wrong, so that the next value is looked at all the same.
    //= ORCH-3322
    fn note(&mut self, key: &'static str, source: Source, outcome: Result<(), Vec<Problem>>) {
        match outcome {
            Ok(()) => drop(self.said_by.insert(key, source)),
            Err(problems) => {
                self.unsound.push(key);
                self.faults.extend(problems.into_iter().map(|problem| problem.into_fault(source.clone())));
            }
        }
    }

    pub(crate) fn token_inline(
        &mut self,
        whose: TokenOf,
        token: Result<Secret, Problem>,
    ) -> Result<(), Vec<Problem>> {
        self.tokens[whose as usize] = Some(TokenPlace::Inline(token?));
        Ok(())
    }

    pub(crate) fn token_file(
        &mut self,
        whose: TokenOf,
        path: Result<String, Problem>,
    ) -> Result<(), Vec<Problem>> {
        self.tokens[whose as usize] = Some(TokenPlace::File(path?.into()));
        Ok(())
    }

    /// The tokens that were given, read from their file where one was named.
    pub(crate) fn settle_tokens(&mut self, whose: TokenOf, open: Open<'_>) -> Vec<Secret> {
        let tokens = match self.tokens[whose as usize].take() {
            None => return Vec::new(),
            Some(TokenPlace::Inline(secret)) => return vec![secret],
            Some(TokenPlace::File(path)) => open(&path)
                .map_err(|error| Problem::new(format!("cannot be read: {error}")))
                .and_then(|text| Secret::tokens(&text)),
        };
        tokens.unwrap_or_else(|problem| {
            let key = whose.file_key();
            self.note(key, self.source_of(key), Err(problem.into()));
            Vec::new()
        })
    }

    /// Who said something of `key`.
    pub(crate) fn source_of(&self, key: &'static str) -> Source {
        self.said_by.get(key).cloned().unwrap_or(Source::Default(key))
    }

    /// An address that others reach needs one of these tokens.
    //= AUTH-1004
    pub(crate) fn check_bind(&mut self, addr: SocketAddr, tokens: &[Secret]) {
        let judged = ["bind_addr", "api_token", "api_token_file"];
        if self.unsound.iter().any(|key| judged.contains(key)) {
            return;
        }
        if addr.ip().to_canonical().is_loopback() || !tokens.is_empty() {
            return;
        }
        let what = format!("{addr} can be reached from other machines, and no token is set");
        let hint = "set LLORCH_API_TOKEN or api_token_file, or listen on 127.0.0.1";
        self.fault(self.source_of("bind_addr"), Problem::new(what).hint(hint));
    }

    pub(crate) fn fault(&mut self, source: Source, problem: Problem) {
        self.faults.push(problem.into_fault(source));
    }

    /// The configuration, if there is no fault.
    pub(crate) fn end(self) -> Result<C, Vec<Fault>> {
        if self.faults.is_empty() { Ok(self.config) } else { Err(self.faults) }
    }
}

/// The folder `name` among the state of the XDG base directories.
pub(crate) fn xdg_state(env: &[(String, String)], name: &str) -> Option<PathBuf> {
    let absolute = |name: &str| {
        let value = env.iter().rev().find(|(given, _)| given == name);
        value.map(|(_, path)| PathBuf::from(path)).filter(|path| path.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    state.map(|state| state.join(name))
}

impl Schema for Config {
    fn settings() -> &'static [Setting<Self>] {
        SETTINGS
    }

    fn resolve(layers: &Layers<'_>) -> Result<Self, Vec<Fault>> {
        layers.resolve()
    }
}

impl Rules for Config {
    const PREFIX: &'static str = "ORCHD_";

    fn blank() -> Self {
        blank()
    }

    fn take_pools(&mut self, pools: &[Value]) -> Result<(), Vec<Problem>> {
        pool::from_tables(pools).map(|pools| self.pools = pools)
    }

    fn settle(mut draft: Draft<Self>, open: Open<'_>, env: &[(String, String)]) -> Result<Self, Vec<Fault>> {
        draft.config.auth.api = draft.settle_tokens(TokenOf::Api, open);
        draft.config.auth.control = draft.settle_tokens(TokenOf::Control, open);
        draft.config.auth.node = draft.settle_tokens(TokenOf::Node, open);
        settle_tls(&mut draft);
        settle_folder(&mut draft, env);
        let binds = [Some(draft.config.bind_addr), draft.config.nodes.bind_addr];
        let outermost = binds.into_iter().flatten().find(|bind| !bind.ip().is_loopback());
        let outermost = outermost.unwrap_or(draft.config.bind_addr);
        draft.config.limits.hosts = draft.hosts.take().unwrap_or_else(|| HostRule::for_bind(outermost));
        if draft.config.pools.is_empty() && draft.config.nodes.managers.is_empty() {
            draft.config.pools = vec![default_pool()];
            draft.config.mock_by_default = true;
        }
        // This token covers every plane, so it is the one that must be there.
        let tokens = draft.config.auth.api.clone();
        draft.check_bind(outermost, &tokens);
        draft.end()
    }
}

/// A certificate is no use without its key, and nobody can show one to a server that has none.
fn settle_tls(draft: &mut Draft) {
    let TlsDraft { cert, key, client_ca } = std::mem::take(&mut draft.tls);
    let judged = ["tls.cert_file", "tls.key_file", "tls.client_ca_file"];
    if draft.unsound.iter().any(|key| judged.contains(key)) {
        return;
    }
    let (said, missing) = match (cert, key, &client_ca) {
        (Some(cert), Some(key), _) => {
            draft.config.tls = Some(TlsConfig { cert, key, client_ca });
            return;
        }
        (None, None, None) => return,
        (Some(_), None, _) => ("tls.cert_file", "tls.key_file"),
        (None, Some(_), _) => ("tls.key_file", "tls.cert_file"),
        (None, None, Some(_)) => ("tls.client_ca_file", "tls.cert_file and tls.key_file"),
    };
    draft.fault(draft.source_of(said), Problem::new(format!("needs {missing} beside it")));
}

/// The folder of the XDG base directories, unless one was named.
fn settle_folder(draft: &mut Draft, env: &[(String, String)]) {
    let store = &mut draft.config.store;
    if store.kind == StoreKind::Memory || !store.folder.as_os_str().is_empty() {
        return;
    }
    match xdg_state(env, "orchestratord") {
        Some(folder) => store.folder = folder,
        None => {
            let problem = Problem::new("has no default: neither XDG_STATE_HOME nor HOME is a folder");
            let hint = "set ORCHD_STATE_DIR, or store.kind = memory to keep nothing";
            draft.fault(Source::Default("state_dir"), problem.hint(hint));
        }
    }
}

/// What serves when nobody named an engine.
fn default_pool() -> PoolConfig {
    PoolConfig {
        id: "default".to_owned(),
        engine: EngineKind::Mock,
        endpoint: None,
        model: Some("mock".to_owned()),
        slots: None,
        ctx_max: None,
        device: None,
        api_key: None,
        price: None,
    }
}

/// A frame for the table to fill. Every value here is replaced by its default, which a test proves.
fn blank() -> Config {
    Config {
        bind_addr: SocketAddr::from(([127, 0, 0, 1], 0)),
        metrics_port: None,
        pools: Vec::new(),
        mock_by_default: false,
        nodes: NodesConfig::default(),
        admission: AdmissionConfig { capacity: 0, policy: AdmissionPolicy::Reject },
        placement: PlacementKind::LeastLoaded,
        gpu_policy: GpuPolicy::VramOnly,
        auth: AuthConfig {
            api: Vec::new(),
            control: Vec::new(),
            node: Vec::new(),
            loopback: LoopbackRule::TokenNeeded,
            proxy: ProxyTrust::Withheld,
        },
        tls: None,
        log: LogConfig { filter: String::new(), format: None },
        traces: TracesConfig::default(),
        limits: blank_limits(),
        engine: EngineConfig {
            connect_timeout: Duration::ZERO,
            first_token_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            wall_timeout: Duration::ZERO,
            health_interval: Duration::ZERO,
        },
        jobs: JobsConfig {
            max_attempts: 0,
            retention: Duration::ZERO,
            retained_max: 0,
            retained_bytes_max: 0,
        },
        sessions: SessionsConfig {
            ttl: Duration::ZERO,
            turns_max: 0,
            max: 0,
            tokens_budget: None,
            time_budget: None,
            cost_budget: None,
        },
        store: StoreConfig {
            kind: StoreKind::Memory,
            folder: PathBuf::new(),
            commit_timeout: Duration::ZERO,
            on_damage: OnDamage::Refuse,
        },
        catalog: CatalogConfig {
            roots: Vec::new(),
            trust: TrustRule::Strict,
            keys: Vec::new(),
            outbound: Outbound::Off,
            hosts: Vec::new(),
        },
        artifacts: ArtifactsConfig {
            quota_bytes: 0,
            bytes_max: 0,
            retention: Duration::ZERO,
            transcripts: Transcripts::Off,
        },
        extra_fields: ExtraFields::Refuse,
        shutdown_grace: Duration::ZERO,
    }
}

fn blank_limits() -> Limits {
    Limits {
        body_bytes_max: 0,
        header_bytes_max: 0,
        header_timeout: Duration::ZERO,
        body_timeout: Duration::ZERO,
        connections_max: 0,
        hosts: HostRule::Only(Vec::new()),
    }
}

//! A configuration in the making: what the layers have said so far.
//!
//! Some settings cannot be settled one by one: the token may be in a file, the host names follow from
//! the bind address, the pools from there being none. The draft holds what was said until all is said.

use std::{collections::HashMap, net::SocketAddr, path::PathBuf, time::Duration};

use toml::Value;

use crate::{
    config::{
        AdmissionConfig, ArtifactsConfig, AuthConfig, CatalogConfig, Config, EngineConfig, JobsConfig,
        Limits, LogConfig, PoolConfig, SessionsConfig, StoreConfig,
    },
    fault::{Fault, Problem, Source},
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
};

enum TokenPlace {
    Inline(Secret),
    File(PathBuf),
}

/// What was said, and by whom.
pub(crate) struct Draft<C = Config> {
    pub(crate) config: C,
    pub(crate) hosts: Option<HostRule>,
    /// By the key of the setting that holds the token itself.
    tokens: HashMap<&'static str, TokenPlace>,
    said_by: HashMap<&'static str, Source>,
    /// Settings with a fault: a rule over them would judge a value that nobody wrote.
    unsound: Vec<&'static str>,
    faults: Vec<Fault>,
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
            tokens: HashMap::new(),
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
    pub(crate) fn say(&mut self, setting: &Setting<C>, text: &str, source: Source) {
        let outcome = (setting.apply)(self, text);
        self.note(setting.key, source, outcome);
    }

    /// Takes the pools of the file, which are tables and not text.
    pub(crate) fn say_pools(&mut self, pools: &[Value], source: Source) {
        let outcome = self.config.take_pools(pools);
        self.note("pools", source, outcome);
    }

    /// Remembers who said a setting, or what is wrong with what was said.
    pub(crate) fn note(&mut self, key: &'static str, source: Source, outcome: Result<(), Vec<Problem>>) {
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
        key: &'static str,
        token: Result<Secret, Problem>,
    ) -> Result<(), Vec<Problem>> {
        self.tokens.insert(key, TokenPlace::Inline(token?));
        Ok(())
    }

    pub(crate) fn token_file(
        &mut self,
        key: &'static str,
        path: Result<String, Problem>,
    ) -> Result<(), Vec<Problem>> {
        self.tokens.insert(key, TokenPlace::File(path?.into()));
        Ok(())
    }

    /// The token of the setting `key`, read from its file where `key_file` names one.
    pub(crate) fn settle_token(
        &mut self,
        [key, key_file]: [&'static str; 2],
        open: Open<'_>,
    ) -> Option<Secret> {
        let token = match self.tokens.remove(key)? {
            TokenPlace::Inline(secret) => return Some(secret),
            TokenPlace::File(path) => open(&path)
                .map_err(|error| Problem::new(format!("cannot be read: {error}")))
                .and_then(|text| Secret::token(text.trim_end_matches(['\r', '\n']))),
        };
        let source = self.said_by(key_file);
        match token {
            Ok(token) => Some(token),
            Err(problem) => {
                self.note(key_file, source, Err(problem.into()));
                None
            }
        }
    }

    //= AUTH-1004
    pub(crate) fn check_bind(&mut self, addr: SocketAddr, token: Option<&Secret>) {
        let judged = ["bind_addr", "api_token", "api_token_file"];
        if self.unsound.iter().any(|key| judged.contains(key)) {
            return;
        }
        if addr.ip().to_canonical().is_loopback() || token.is_some() {
            return;
        }
        let what = format!("{addr} can be reached from other machines, and no token is set");
        let hint = "set LLORCH_API_TOKEN or api_token_file, or listen on 127.0.0.1";
        self.fault(self.said_by("bind_addr"), Problem::new(what).hint(hint));
    }

    /// Where a setting was written last.
    pub(crate) fn said_by(&self, key: &'static str) -> Source {
        self.said_by.get(key).cloned().unwrap_or(Source::Default(key))
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

    /// Settles what depends on several settings, and gives the configuration if there is no fault.
    fn settle(mut draft: Draft<Self>, open: Open<'_>, env: &[(String, String)]) -> Result<Self, Vec<Fault>> {
        draft.config.auth.token = draft.settle_token(["api_token", "api_token_file"], open);
        settle_folder(&mut draft, env);
        draft.config.limits.hosts =
            draft.hosts.take().unwrap_or_else(|| HostRule::for_bind(draft.config.bind_addr));
        if draft.config.pools.is_empty() {
            draft.config.pools = vec![default_pool()];
            draft.config.mock_by_default = true;
        }
        let token = draft.config.auth.token.clone();
        draft.check_bind(draft.config.bind_addr, token.as_ref());
        draft.end()
    }
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
        pools: Vec::new(),
        mock_by_default: false,
        admission: AdmissionConfig { capacity: 0, policy: AdmissionPolicy::Reject },
        placement: PlacementKind::LeastLoaded,
        gpu_policy: GpuPolicy::VramOnly,
        auth: AuthConfig { token: None, loopback: LoopbackRule::TokenNeeded, proxy: ProxyTrust::Withheld },
        log: LogConfig { filter: String::new(), format: None },
        limits: Limits {
            body_bytes_max: 0,
            header_bytes_max: 0,
            header_timeout: Duration::ZERO,
            body_timeout: Duration::ZERO,
            connections_max: 0,
            hosts: HostRule::Only(Vec::new()),
        },
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

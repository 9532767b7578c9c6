//! Reading the pools: from the comma list of a flag or variable, and from the tables of the file.
//!
//! Messages never repeat an endpoint, because a password may have been written into it.

use std::{collections::HashMap, time::Duration};

use toml::{Table, Value};
use url::Url;

use crate::{
    config::PoolConfig,
    fault::Problem,
    file::as_text,
    form::{Form, Given, Key, Presence, Rule, Text, Unit},
    kind::{Choice, EngineKind},
    secret::{self, Secret},
    setting::Preset,
    suggest::nearest,
    value::{AMOUNT, LINE_PATTERN, choice, line, shown},
};

pub(crate) static ID: Text = Text::new(
    "ID",
    "a-z, 0-9, dot, dash and underscore, a letter or digit first; no other pool has it",
    "^[a-z0-9][a-z0-9._-]*$",
)
.of_chars(1, 64);
pub(crate) static ENDPOINT: Text =
    Text::new("URL", "an http:// URL without user, query and fragment", "^[hH][tT][tT][pP]:[^ ?#]+$");
pub(crate) static ITEM: Text = Text::new("ID=ENGINE+URL", "id=engine+URL, or id=mock", LINE_PATTERN);
pub(crate) static MODEL: Text = Text::new("NAME", "the name or path of a model", LINE_PATTERN);
pub(crate) static DEVICE: Text =
    Text::new("DEVICES", "cpu, or device numbers such as 0,1", "^(cpu|[0-9]{1,4}(,[0-9]{1,4})*)$");
pub(crate) const SLOTS: Form = Form::whole(1, 65_536, Unit::Things);
pub(crate) const CTX: Form = Form::whole(1, 100_000_000, Unit::Tokens);
const ASKED: &str = "asked from the engine";

/// The keys of one of the server's pools.
pub(crate) const KEYS: &[Key] = &[
    Key::needed("id", Form::Text(&ID), "The pool's name"),
    Key::needed("engine", Form::Word(EngineKind::WORDS), "What speaks there; the mock runs in the server"),
    Key::derived(
        "endpoint",
        Form::Text(&ENDPOINT),
        "none",
        "Where the engine answers; every engine but the mock needs it",
    ),
    Key::derived("model", Form::Text(&MODEL), "none", "A further name for the model that the engine has"),
    Key::derived("slots", SLOTS, ASKED, "How many streams it takes at once"),
    Key::derived("ctx_max", CTX, ASKED, "The longest context"),
    Key::derived(
        "device",
        Form::Text(&DEVICE),
        "taken for a GPU, with a warning",
        "What it computes on, by the operator's word",
    ),
    Key::derived(
        "api_key",
        Form::Secret(&secret::KEY),
        "none",
        "The engine's own bearer token; not for the mock",
    ),
    Key::derived(
        "price_per_mtok",
        AMOUNT,
        "nothing",
        "What a million tokens cost there, in the unit of the sessions' budgets",
    ),
];

/// Every engine but the mock is somewhere else, and the mock is nowhere else.
pub(crate) const RULES: &[Rule] = &[
    needing_endpoint("llamacpp"),
    needing_endpoint("vllm"),
    needing_endpoint("tgi"),
    needing_endpoint("openai"),
    Rule { key: "engine", word: "mock", needs: &[], excludes: &["endpoint", "api_key"] },
];

const fn needing_endpoint(engine: &'static str) -> Rule {
    Rule { key: "engine", word: engine, needs: &["endpoint"], excludes: &[] }
}

/// Reads `id=engine+URL` items, or `id=mock`.
pub(crate) fn from_list(text: &str) -> Result<Vec<PoolConfig>, Vec<Problem>> {
    let (mut pools, mut problems) = (Vec::new(), Vec::new());
    for (index, item) in text.split(',').enumerate() {
        match from_item(item.trim()) {
            Ok(pool) => pools.push((format!("pool {}", index + 1), pool)),
            Err(problem) => problems.push(problem.at(&format!("pool {}", index + 1))),
        }
    }
    checked(pools, problems)
}

/// Reads the tables under `pools`.
pub(crate) fn from_tables(tables: &[Value]) -> Result<Vec<PoolConfig>, Vec<Problem>> {
    each_table(tables, from_table)
}

/// Reads the tables under `pools` one by one.
pub(crate) fn each_table<P: Named>(
    tables: &[Value],
    read: fn(&Table, &str) -> Result<P, Vec<Problem>>,
) -> Result<Vec<P>, Vec<Problem>> {
    let (mut pools, mut problems) = (Vec::new(), Vec::new());
    for (index, value) in tables.iter().enumerate() {
        let at = format!("[{index}]");
        match value {
            Value::Table(table) => match read(table, &at) {
                Ok(pool) => pools.push((format!("{at}.id"), pool)),
                Err(more) => problems.extend(more),
            },
            _ => problems.push(Problem::new("is not a table").hint("begin each pool with [[pools]]").at(&at)),
        }
    }
    checked(pools, problems)
}

/// Something under `pools`.
pub(crate) trait Named {
    fn id(&self) -> &str;
}

impl Named for PoolConfig {
    fn id(&self) -> &str {
        &self.id
    }
}

/// Two pools of one name would be one queue with two owners.
fn checked<P: Named>(pools: Vec<(String, P)>, mut problems: Vec<Problem>) -> Result<Vec<P>, Vec<Problem>> {
    let mut first = HashMap::new();
    for (index, (at, pool)) in pools.iter().enumerate() {
        if first.insert(pool.id(), index).is_some() {
            problems.push(Problem::new(format!("has the id {} of another pool", shown(pool.id()))).at(at));
        }
    }
    if problems.is_empty() { Ok(pools.into_iter().map(|(_, pool)| pool).collect()) } else { Err(problems) }
}

fn from_item(item: &str) -> Result<PoolConfig, Problem> {
    let syntax = "write it as id=engine+URL, or id=mock";
    let (name, rest) =
        item.split_once('=').ok_or_else(|| Problem::new("has no = after its id").hint(syntax))?;
    let (engine, url) = match rest.split_once('+') {
        Some((engine, url)) => (engine, Some(url)),
        // Without a + it may be an engine alone, or a URL that must not be shown.
        None if rest.contains("://") => {
            return Err(Problem::new("names no engine before its URL").hint(syntax));
        }
        None => (rest, None),
    };
    let engine = choice(engine, EngineKind::WORDS)?;
    let endpoint = url.map(endpoint).transpose().map_err(|problem| problem.at(" endpoint"))?;
    fits_engine(engine, endpoint.as_ref()).map_err(|problem| problem.hint(syntax))?;
    Ok(PoolConfig {
        id: id(name)?,
        engine,
        endpoint,
        model: None,
        slots: None,
        ctx_max: None,
        device: None,
        api_key: None,
        price: None,
    })
}

fn from_table(table: &Table, at: &str) -> Result<PoolConfig, Vec<Problem>> {
    let mut reader = Reader::new(table, at, KEYS);
    let (id, engine) = (reader.text("id", id), reader.choice::<EngineKind>("engine"));
    let endpoint = reader.text("endpoint", endpoint);
    let model = reader.text("model", line);
    let device = reader.text("device", device);
    let api_key = reader.text("api_key", Secret::key);
    let (slots, ctx_max) = (reader.whole("slots"), reader.whole("ctx_max"));
    let price = reader.amount("price_per_mtok");
    reader.obey(RULES);
    match (id, engine) {
        (Some(id), Some(engine)) if reader.problems.is_empty() => {
            Ok(PoolConfig { id, engine, endpoint, model, slots, ctx_max, device, api_key, price })
        }
        _ => Err(reader.problems),
    }
}

/// Reads one pool's table, gathering what is wrong with it.
pub(crate) struct Reader<'a> {
    table: &'a Table,
    at: &'a str,
    keys: &'static [Key],
    pub(crate) problems: Vec<Problem>,
}

#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "a method of Given has its lifetime bound too early to stand in for the closure"
)]
impl<'a> Reader<'a> {
    /// A reader of a table that has no keys but these, and those of them that it needs.
    //= ORCH-3323
    pub(crate) fn new(table: &'a Table, at: &'a str, keys: &'static [Key]) -> Self {
        let mut reader = Self { table, at, keys, problems: Vec::new() };
        let names = || keys.iter().map(|key| key.name);
        for given in table.keys().filter(|given| names().all(|name| name != given.as_str())) {
            let problem = Problem::new("is not a key of a pool");
            let problem = match nearest(given, names()) {
                Some(near) => problem.hint(format!("did you mean {near}?")),
                None => problem.hint(format!("a pool has {}", names().collect::<Vec<_>>().join(", "))),
            };
            reader.problems.push(problem.at(&format!("{at}.{given}")));
        }
        let missing = |key: &&Key| key.presence == Presence::Needed && !table.contains_key(key.name);
        for key in keys.iter().filter(missing) {
            reader.refuse(key.name, "is missing");
        }
        reader
    }

    /// The place of a key, as a message tells it.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}.{name}", self.at)
    }

    /// What stands under a key, whatever it is.
    pub(crate) fn value(&self, name: &str) -> Option<&'a Value> {
        self.table.get(name)
    }

    pub(crate) fn keep<T>(&mut self, name: &str, outcome: Result<T, Problem>) -> Option<T> {
        outcome.map_err(|problem| self.problems.push(problem.at(&self.path(name)))).ok()
    }

    /// Something is wrong with a key, whatever its value.
    pub(crate) fn refuse(&mut self, name: &str, what: impl Into<String>) {
        self.problems.push(Problem::new(what).at(&self.path(name)));
    }

    /// Holds the table against rules over several keys.
    pub(crate) fn obey(&mut self, rules: &[Rule]) {
        let holds = |rule: &&Rule| self.table.get(rule.key).and_then(Value::as_str) == Some(rule.word);
        for rule in rules.iter().filter(holds).collect::<Vec<_>>() {
            let condition = rule.condition();
            for name in rule.needs.iter().filter(|name| !self.table.contains_key(**name)) {
                self.refuse(name, format!("is missing; {condition} needs it"));
            }
            for name in rule.excludes.iter().filter(|name| self.table.contains_key(**name)) {
                self.refuse(name, format!("does not go with {condition}"));
            }
        }
    }

    /// Reads what was given, or else the key's default, by the key's row.
    pub(crate) fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Given<'_>) -> Result<T, Problem>,
    ) -> Option<T> {
        let key = self.keys.iter().find(|key| key.name == name)?;
        let outcome = match (self.table.get(name), key.presence) {
            (Some(value), _) => {
                as_text(&key.form, value).and_then(|text| read(Given { form: key.form, text: &text }))
            }
            (None, Presence::Optional(Preset::Value(text))) => read(Given { form: key.form, text }),
            (None, _) => return None,
        };
        self.keep(name, outcome)
    }

    pub(crate) fn text<T>(&mut self, name: &str, read: fn(&str) -> Result<T, Problem>) -> Option<T> {
        self.read(name, |given| read(given.text))
    }

    pub(crate) fn choice<T: Choice>(&mut self, name: &str) -> Option<T> {
        self.read(name, |given| given.choice())
    }

    pub(crate) fn whole<T: TryFrom<u64>>(&mut self, name: &str) -> Option<T> {
        self.read(name, |given| given.whole())
    }

    fn amount(&mut self, name: &str) -> Option<u64> {
        self.read(name, |given| given.amount())
    }

    pub(crate) fn millis(&mut self, name: &str) -> Duration {
        // Without a value there is a fault, and the configuration never comes to be.
        self.read(name, |given| given.millis()).unwrap_or_default()
    }
}

pub(crate) fn id(text: &str) -> Result<String, Problem> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let starts = text.bytes().next().is_some_and(plain);
    let sound = starts && text.bytes().all(|byte| plain(byte) || b"._-".contains(&byte));
    if sound && ID.fits(text) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(format!("{} is not a pool id", shown(text))).hint(ID.hint()))
}

/// The rules for one item of the list, whose words differ from those of a table.
fn fits_engine(engine: EngineKind, endpoint: Option<&Url>) -> Result<(), Problem> {
    let needs = |rule: &Rule| rule.word == engine.as_str() && rule.needs.contains(&"endpoint");
    match (RULES.iter().any(needs), endpoint) {
        (false, Some(_)) => Err(Problem::new("takes no URL, since the mock runs in this process")),
        (true, None) => Err(Problem::new("lacks the URL of its engine")),
        _ => Ok(()),
    }
}

pub(crate) fn endpoint(text: &str) -> Result<Url, Problem> {
    // The parser would drop tabs and line ends in silence, and another address would be called.
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Problem::new("holds a blank or a control character"));
    }
    let url = Url::parse(text).map_err(|error| {
        Problem::new(format!("is not a URL: {error}")).hint("write it like http://127.0.0.1:8081")
    })?;
    if url.scheme() != "http" {
        return Err(Problem::new("is not an http:// URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Problem::new("holds a user or password").hint("an engine's key goes into api_key"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Problem::new("has a query or a fragment, which an engine's address cannot have"));
    }
    Ok(url)
}

/// The spelling is strict, since `CPU` for `cpu` would slip past the policy that keeps work off the CPU.
pub(crate) fn device(text: &str) -> Result<String, Problem> {
    let numbers = text
        .split(',')
        .all(|part| part.len() <= 4 && !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    if text == "cpu" || numbers {
        return Ok(text.to_owned());
    }
    Err(Problem::new(format!("{} is neither cpu nor a list of device numbers such as 0,1", shown(text))))
}

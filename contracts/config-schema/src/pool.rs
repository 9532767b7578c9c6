//! Reading the pools: from the comma list of a flag or variable, and from the tables of the file.
//!
//! Messages never repeat an endpoint, because a password may have been written into it.

use std::{collections::HashMap, ops::RangeInclusive};

use toml::{Table, Value};
use url::Url;

use crate::{
    config::PoolConfig,
    fault::Problem,
    kind::EngineKind,
    secret::Secret,
    suggest::nearest,
    value::{amount, choice, count, line, shown},
};

const KEYS: [&str; 9] =
    ["id", "engine", "endpoint", "model", "slots", "ctx_max", "device", "api_key", "price_per_mtok"];
const ID_CHARS_MAX: usize = 64;
pub(crate) const SLOTS: RangeInclusive<u32> = 1..=65_536;
pub(crate) const CTX_MAX: RangeInclusive<u32> = 1..=100_000_000;

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
    let engine = choice(engine)?;
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
    let mut reader = Reader::new(table, at, &KEYS);
    let (id, engine) = (reader.needed("id", id), reader.needed("engine", choice::<EngineKind>));
    let endpoint = reader.word("endpoint", endpoint);
    let model = reader.word("model", line);
    let device = reader.word("device", device);
    let api_key = reader.word("api_key", Secret::key);
    let (slots, ctx_max) = (reader.number("slots", SLOTS), reader.number("ctx_max", CTX_MAX));
    let price = reader.price("price_per_mtok");
    if let Some(engine) = engine {
        let outcome = fits_engine(engine, table.get("endpoint"));
        reader.keep("endpoint", outcome);
        if engine == EngineKind::Mock && api_key.is_some() {
            reader.keep::<()>(
                "api_key",
                Err(Problem::new("is of no use to the mock, which runs in this process")),
            );
        }
    }
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
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// A reader of a table that has no keys but these.
    pub(crate) fn new(table: &'a Table, at: &'a str, keys: &[&'static str]) -> Self {
        let mut reader = Self { table, at, problems: Vec::new() };
        for key in table.keys().filter(|key| !keys.contains(&key.as_str())) {
            let problem = Problem::new("is not a key of a pool");
            let problem = match nearest(key, keys.iter().copied()) {
                Some(near) => problem.hint(format!("did you mean {near}?")),
                None => problem.hint(format!("a pool has {}", keys.join(", "))),
            };
            reader.problems.push(problem.at(&format!("{at}.{key}")));
        }
        reader
    }

    /// Where the table stands.
    pub(crate) fn at(&self) -> &str {
        self.at
    }

    /// What stands under a key, whatever it is.
    pub(crate) fn value(&self, key: &str) -> Option<&'a Value> {
        self.table.get(key)
    }

    pub(crate) fn keep<T>(&mut self, key: &str, outcome: Result<T, Problem>) -> Option<T> {
        outcome.map_err(|problem| self.problems.push(problem.at(&format!("{}.{key}", self.at)))).ok()
    }

    pub(crate) fn word<T>(&mut self, key: &str, read: fn(&str) -> Result<T, Problem>) -> Option<T> {
        let outcome = match self.table.get(key)? {
            Value::String(text) => read(text),
            _ => Err(Problem::new("is not a string")),
        };
        self.keep(key, outcome)
    }

    pub(crate) fn needed<T>(&mut self, key: &str, read: fn(&str) -> Result<T, Problem>) -> Option<T> {
        if !self.table.contains_key(key) {
            self.keep::<T>(key, Err(Problem::new("is missing")));
        }
        self.word(key, read)
    }

    fn price(&mut self, key: &str) -> Option<u64> {
        let outcome = match self.table.get(key)? {
            Value::String(text) => amount(text),
            Value::Integer(number) => amount(&number.to_string()),
            Value::Float(number) => amount(&number.to_string()),
            _ => Err(Problem::new("is not an amount")),
        };
        self.keep(key, outcome)
    }

    pub(crate) fn number(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let outcome = match self.table.get(key)? {
            Value::Integer(number) => count(&number.to_string(), range),
            _ => Err(Problem::new("is not a whole number")),
        };
        self.keep(key, outcome)
    }
}

pub(crate) fn id(text: &str) -> Result<String, Problem> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let starts = text.bytes().next().is_some_and(plain);
    let sound = starts && text.bytes().all(|byte| plain(byte) || b"._-".contains(&byte));
    if sound && text.len() <= ID_CHARS_MAX {
        return Ok(text.to_owned());
    }
    let what = format!("{} is not a pool id", shown(text));
    Err(Problem::new(what).hint("use 1 to 64 of a-z, 0-9, dot, dash and underscore, a letter or digit first"))
}

/// Every engine but the mock is somewhere else, and the mock is nowhere else.
fn fits_engine<T>(engine: EngineKind, endpoint: Option<&T>) -> Result<(), Problem> {
    match (engine, endpoint) {
        (EngineKind::Mock, Some(_)) => Err(Problem::new("takes no URL, since the mock runs in this process")),
        (EngineKind::Mock, None) | (_, Some(_)) => Ok(()),
        (_, None) => Err(Problem::new("lacks the URL of its engine")),
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

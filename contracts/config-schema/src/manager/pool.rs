//! Reading one of the agent's pools from its table.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use toml::{Table, Value};

use super::{ContainerConfig, EnginePool, PackageConfig, Provisioning, SourceConfig};
use crate::{
    fault::Problem,
    kind::{EngineKind, WarmUp},
    pool::{CTX_MAX, Named, Reader, SLOTS, device, endpoint, id},
    secret::Secret,
    suggest::nearest,
    value::{choice, folder, line, shown, whole},
};

const KEYS: [&str; 22] = [
    "id",
    "engine",
    "provisioning",
    "endpoint",
    "binary",
    "package",
    "source",
    "container",
    "model",
    "model_digest",
    "devices",
    "port",
    "host",
    "slots",
    "ctx",
    "flags",
    "env",
    "api_key",
    "ready_timeout_ms",
    "stop_timeout_ms",
    "cache_dir",
    WARM_UP,
];
const WARM_UP: &str = "warm_up";
/// What each way to get an engine is told by, beside its own word.
const WAYS: [(&str, &str); 5] = [
    ("external", "endpoint"),
    ("binary", "binary"),
    ("package", "package"),
    ("source", "source"),
    ("container", "container"),
];
/// What an engine that runs already was told by whoever started it.
const FOR_STARTED: [&str; 7] =
    ["flags", "env", "port", "host", "ready_timeout_ms", "stop_timeout_ms", "cache_dir"];
const TEN_MINUTES_MS: u64 = 10 * 60 * 1_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

impl Named for EnginePool {
    fn id(&self) -> &str {
        &self.id
    }
}

pub(super) fn from_table(table: &Table, at: &str) -> Result<EnginePool, Vec<Problem>> {
    let mut reader = Reader::new(table, at, &KEYS);
    let (id, engine) = (reader.needed("id", id), reader.needed("engine", choice::<EngineKind>));
    let provisioning = provisioning(&mut reader);
    let pool = EnginePool {
        id: id.unwrap_or_default(),
        engine: engine.unwrap_or(EngineKind::Llamacpp),
        model: reader.word("model", line),
        model_digest: reader.word("model_digest", digest),
        devices: reader.word("devices", device),
        port: reader.whole("port", 0..=65_535).and_then(|port| u16::try_from(port).ok()).unwrap_or(0),
        host: reader.word("host", host),
        slots: reader.number("slots", SLOTS),
        ctx: reader.number("ctx", CTX_MAX),
        flags: reader.words("flags"),
        env: variables(&mut reader),
        api_key: reader.word("api_key", Secret::key),
        ready_timeout: reader.millis("ready_timeout_ms", TEN_MINUTES_MS, 1..=DAY_MS),
        stop_timeout: reader.millis("stop_timeout_ms", 10_000, 0..=TEN_MINUTES_MS),
        cache_dir: reader.word("cache_dir", folder),
        warm_up: warm_up(&mut reader),
        provisioning: provisioning.unwrap_or(Provisioning::Binary { command: Vec::new() }),
    };
    if engine.is_some() {
        fits(&mut reader, &pool);
    }
    if reader.problems.is_empty() { Ok(pool) } else { Err(reader.problems) }
}

/// Rules over several keys.
fn fits(reader: &mut Reader<'_>, pool: &EnginePool) {
    let refuse = |reader: &mut Reader<'_>, key: &str, what: &str| {
        reader.keep::<()>(key, Err(Problem::new(what.to_owned())));
    };
    if pool.engine == EngineKind::Mock {
        refuse(reader, "engine", "is the server's own double, and no engine of a node");
    }
    if let Provisioning::External { .. } = pool.provisioning {
        for key in FOR_STARTED {
            if reader.value(key).is_some() {
                refuse(reader, key, "is of no use to an engine that runs already");
            }
        }
        return;
    }
    if !matches!(pool.engine, EngineKind::Llamacpp | EngineKind::Vllm | EngineKind::Mock) {
        let what = "is not started by the agent; it may be attached with provisioning = \"external\"";
        refuse(reader, "engine", what);
    }
    if reader.value("model").is_none() {
        refuse(reader, "model", "is missing; an engine that is started needs to be told its model");
    }
    if matches!((&pool.provisioning, pool.engine), (Provisioning::Source(_), EngineKind::Vllm)) {
        refuse(reader, "provisioning", "builds llama.cpp only; vllm comes as a package");
    }
    if let (Provisioning::Package(package), EngineKind::Llamacpp) = (&pool.provisioning, pool.engine)
        && package.script.is_none()
    {
        refuse(reader, "package", "lacks its script: no package ships a llama-server program");
    }
}

fn provisioning(reader: &mut Reader<'_>) -> Option<Provisioning> {
    let way = reader.needed("provisioning", |text| {
        let known = WAYS.iter().find(|(way, _)| *way == text);
        known.copied().ok_or_else(|| {
            let words = WAYS.map(|(way, _)| way);
            let problem = Problem::new(format!("{} is not one of {}", shown(text), words.join(", ")));
            match nearest(text, words) {
                Some(near) => problem.hint(format!("did you mean {near}?")),
                None => problem,
            }
        })
    });
    let (way, own_key) = way?;
    for (_, key) in WAYS {
        if key != own_key && reader.value(key).is_some() {
            reader.keep::<()>(key, Err(Problem::new(format!("does not go with provisioning = \"{way}\""))));
        }
    }
    if reader.value(own_key).is_none() {
        let what = format!("is missing; provisioning = \"{way}\" needs it");
        reader.keep::<()>(own_key, Err(Problem::new(what)));
        return None;
    }
    match way {
        "external" => reader.word("endpoint", endpoint).map(|endpoint| Provisioning::External { endpoint }),
        "binary" => Some(Provisioning::Binary { command: command(reader) }),
        "package" => inner(reader, "package", &["python", "venv", "requirement", "script"], |it| {
            Some(Provisioning::Package(PackageConfig {
                python: it.word("python", program).unwrap_or_else(|| "python3".to_owned()),
                venv: it.needed("venv", folder)?,
                requirement: it.word("requirement", argument),
                script: it.word("script", folder),
            }))
        }),
        "source" => inner(reader, "source", &["git", "revision"], |it| {
            Some(Provisioning::Source(SourceConfig {
                git: it.needed("git", argument)?,
                revision: it.needed("revision", argument)?,
            }))
        }),
        _ => inner(reader, "container", &["runtime", "image"], |it| {
            Some(Provisioning::Container(ContainerConfig {
                runtime: it.word("runtime", program).unwrap_or_else(|| "podman".to_owned()),
                image: it.needed("image", argument)?,
            }))
        }),
    }
}

/// Reads a table inside the pool's.
fn inner(
    reader: &mut Reader<'_>,
    key: &str,
    keys: &[&'static str],
    read: impl FnOnce(&mut Reader<'_>) -> Option<Provisioning>,
) -> Option<Provisioning> {
    let Some(Value::Table(table)) = reader.value(key) else {
        let what = format!("is not a table with {}", keys.join(", "));
        return reader.keep(key, Err(Problem::new(what)));
    };
    let at = reader.path(key);
    let mut inner = Reader::new(table, &at, keys);
    let read = read(&mut inner);
    reader.problems.extend(inner.problems);
    read
}

/// A program, or a list that begins with one.
fn command(reader: &mut Reader<'_>) -> Vec<String> {
    let command = match reader.value("binary") {
        Some(Value::String(text)) => vec![text.clone()],
        _ => reader.words("binary"),
    };
    match command.first() {
        Some(first) => drop(reader.keep("binary", program(first))),
        None => drop(reader.keep::<()>("binary", Err(Problem::new("names no program")))),
    }
    command
}

fn variables(reader: &mut Reader<'_>) -> Vec<(String, String)> {
    let Some(value) = reader.value("env") else { return Vec::new() };
    let Value::Table(table) = value else {
        reader.keep::<()>("env", Err(Problem::new("is not a table of variables")));
        return Vec::new();
    };
    let mut variables = Vec::new();
    for (name, value) in table {
        let plain = !name.is_empty() && !name.contains(['=', '\0']);
        match value {
            Value::String(text) if plain && !text.contains('\0') => {
                variables.push((name.clone(), text.clone()));
            }
            // The value may be a key, so it is not repeated.
            _ => drop(reader.keep::<()>(&format!("env.{name}"), Err(Problem::new("is not a variable")))),
        }
    }
    variables
}

fn warm_up(reader: &mut Reader<'_>) -> WarmUp {
    match reader.value(WARM_UP) {
        None | Some(Value::Boolean(true)) => WarmUp::OneToken,
        Some(Value::Boolean(false)) => WarmUp::Skip,
        Some(_) => {
            reader.keep::<()>(WARM_UP, Err(Problem::new("is neither true nor false")));
            WarmUp::OneToken
        }
    }
}

impl Reader<'_> {
    /// The place of a key, as a message tells it.
    fn path(&self, key: &str) -> String {
        format!("{}.{key}", self.at())
    }

    fn whole(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let outcome = match self.value(key)? {
            Value::Integer(number) => whole(&number.to_string(), range),
            _ => Err(Problem::new("is not a whole number")),
        };
        self.keep(key, outcome)
    }

    fn millis(&mut self, key: &str, default: u64, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.whole(key, range).unwrap_or(default))
    }

    /// A list of texts that a program can be given.
    fn words(&mut self, key: &str) -> Vec<String> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let items =
            value.as_array().and_then(|items| items.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
        match items {
            Some(items) if items.iter().all(|item| !item.contains('\0')) => {
                items.into_iter().map(str::to_owned).collect()
            }
            _ => self.keep(key, Err(Problem::new("is not a list of strings"))).unwrap_or_default(),
        }
    }
}

fn digest(text: &str) -> Result<String, Problem> {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digits = text.strip_prefix("sha256:");
    if digits.is_some_and(|digits| digits.len() == 64 && digits.bytes().all(hex)) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(format!("{} is not sha256: and 64 hexadecimal digits in lower case", shown(text))))
}

/// A name or address to listen on, which also stands in a URL.
fn host(text: &str) -> Result<String, Problem> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    if !text.is_empty() && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(format!("{} is not a host name or an address", shown(text))))
}

/// A program by its whole path, or by a name that the search path knows.
fn program(text: &str) -> Result<String, Problem> {
    let text = argument(text)?;
    if PathBuf::from(&text).is_absolute() || !text.contains('/') {
        return Ok(text);
    }
    Err(Problem::new(format!("{} is neither an absolute path nor a plain name", shown(&text))))
}

/// Something that stands on a command line and cannot be taken for an option there.
fn argument(text: &str) -> Result<String, Problem> {
    let text = line(text)?;
    if text.starts_with('-') {
        return Err(Problem::new(format!("{} begins with a dash", shown(&text))));
    }
    Ok(text)
}

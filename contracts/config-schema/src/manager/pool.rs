//! Reading one of the agent's pools from its table.

use std::path::PathBuf;

use toml::{Table, Value};

use super::{ContainerConfig, EnginePool, PackageConfig, Provisioning, SourceConfig};
use crate::{
    fault::Problem,
    form::{Form, Key, Rule, Text, Unit},
    kind::{EngineKind, WarmUp},
    pool::{CTX, DEVICE, ENDPOINT, ID, MODEL, Named, Reader, SLOTS, device, endpoint, id},
    secret::{self, Secret},
    value::{FOLDER, folder, line, shown, word},
};

static DIGEST: Text =
    Text::new("DIGEST", "sha256: and 64 hexadecimal digits in lower case", "^sha256:[0-9a-f]*$")
        .of_chars(71, 71);
static HOST: Text = Text::new("HOST", "a host name or an address", r"^[A-Za-z0-9.:\[\]-]+$");
static PROGRAM: Text =
    Text::new("PROGRAM", "an absolute path, or a name that the search path knows", "^(/|[^/-][^/]*$)");
static ARGUMENT: Text = Text::new("TEXT", "a text that does not begin with a dash", "^[^-]");
static SCRIPT: Text = Text::new("FILE", "the path of a file, from the root and without `..`", "^/");

const TEN_MINUTES_MS: u64 = 10 * 60 * 1_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
const OWN: &str = "needed by its own provisioning";

/// The keys of one of the agent's pools.
pub(crate) const KEYS: &[Key] = &[
    Key::needed("id", Form::Text(&ID), "The pool's name"),
    Key::needed(
        "engine",
        // The mock is the server's own double, and no engine of a node.
        Form::Word(&["llamacpp", "vllm", "tgi", "openai"]),
        "What it speaks; only llamacpp and vllm are started by the agent",
    ),
    Key::needed(
        "provisioning",
        Form::Word(WAYS),
        "Where the engine comes from; each word but the first starts one",
    ),
    Key::derived("endpoint", Form::Text(&ENDPOINT), OWN, "external: where the engine answers"),
    Key::derived(
        "binary",
        Form::Command,
        OWN,
        "binary: the program, or a list of it and its first arguments",
    ),
    Key::derived(
        "package",
        Form::Table(PACKAGE),
        OWN,
        "package: a Python package in an environment of its own",
    ),
    Key::derived("source", Form::Table(SOURCE), OWN, "source: llama.cpp's source tree, which is built here"),
    Key::derived(
        "container",
        Form::Table(CONTAINER),
        OWN,
        "container: an image that a container runtime runs",
    ),
    Key::derived(
        "model",
        Form::Text(&MODEL),
        "needed unless external",
        "An absolute path, file: and one, or a name that the engine understands",
    ),
    Key::derived("model_digest", Form::Text(&DIGEST), "none", "The digest that the model's file must have"),
    Key::derived("devices", Form::Text(&DEVICE), "all devices", "What it computes on"),
    Key::preset(
        "port",
        Form::whole(0, 65_535, Unit::Port),
        "0",
        "Its port; 0 is any free one, which it keeps",
    ),
    Key::derived("host", Form::Text(&HOST), "loopback, or where the agent listens", "Where it listens"),
    Key::derived("slots", SLOTS, "the engine's own", "How many streams it takes at once"),
    Key::derived("ctx", CTX, "the engine's own", "The context of one stream"),
    Key::derived("flags", Form::Strings, "none", "Further flags, as they are"),
    Key::derived("env", Form::Variables, "none", "Further variables of its environment"),
    Key::derived("api_key", Form::Secret(&secret::KEY), "none", "The engine's own bearer token"),
    Key::preset(
        "ready_timeout_ms",
        Form::whole(1, DAY_MS, Unit::Milliseconds),
        "600000",
        "How long it may take to be ready",
    ),
    Key::preset(
        "stop_timeout_ms",
        Form::whole(0, TEN_MINUTES_MS, Unit::Milliseconds),
        "10000",
        "How long it may take to stop before it is killed",
    ),
    Key::derived(
        "cache_dir",
        Form::Text(&FOLDER),
        "below the state folder",
        "Where it keeps what it can make again",
    ),
    Key::preset("warm_up", Form::Truth, "true", "Whether it must have made a token to be ready"),
];
const PACKAGE: &[Key] = &[
    Key::preset("python", Form::Text(&PROGRAM), "python3", "The interpreter that makes the environment"),
    Key::needed("venv", Form::Text(&FOLDER), "The environment's folder"),
    Key::derived(
        "requirement",
        Form::Text(&ARGUMENT),
        "nothing is installed",
        "What pip installs there, such as vllm==0.32.0",
    ),
    Key::derived(
        "script",
        Form::Text(&SCRIPT),
        "the package's own program",
        "A script that starts the engine; llamacpp needs one",
    ),
];
const SOURCE: &[Key] = &[
    Key::needed("git", Form::Text(&ARGUMENT), "The repository, as git calls it"),
    Key::needed("revision", Form::Text(&ARGUMENT), "The tag or commit"),
];
const CONTAINER: &[Key] = &[
    Key::preset(
        "runtime",
        Form::Text(&PROGRAM),
        "podman",
        "The program that runs containers: podman or docker",
    ),
    Key::needed("image", Form::Text(&ARGUMENT), "The image"),
];

/// Each way to get an engine, with the key by which it is told. What is started needs to be told its model,
/// and what runs already was told everything by whoever started it.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        key: "provisioning",
        word: "external",
        needs: &["endpoint"],
        excludes: &[
            "binary",
            "package",
            "source",
            "container",
            "flags",
            "env",
            "port",
            "host",
            "ready_timeout_ms",
            "stop_timeout_ms",
            "cache_dir",
        ],
    },
    starting("binary", &["binary", "model"], &["endpoint", "package", "source", "container"]),
    starting("package", &["package", "model"], &["endpoint", "binary", "source", "container"]),
    starting("source", &["source", "model"], &["endpoint", "binary", "package", "container"]),
    starting("container", &["container", "model"], &["endpoint", "binary", "package", "source"]),
];
const WAYS: &[&str] = &["external", "binary", "package", "source", "container"];

const fn starting(
    word: &'static str,
    needs: &'static [&'static str],
    excludes: &'static [&'static str],
) -> Rule {
    Rule { key: "provisioning", word, needs, excludes }
}

impl Named for EnginePool {
    fn id(&self) -> &str {
        &self.id
    }
}

pub(super) fn from_table(table: &Table, at: &str) -> Result<EnginePool, Vec<Problem>> {
    let mut reader = Reader::new(table, at, KEYS);
    let (id, engine) = (reader.text("id", id), reader.choice::<EngineKind>("engine"));
    let provisioning = provisioning(&mut reader);
    let is_known = engine.is_some() && provisioning.is_some();
    // Where something is missing there is a problem, so nobody sees what stands in for it.
    let pool = EnginePool {
        id: id.unwrap_or_default(),
        engine: engine.unwrap_or(EngineKind::Llamacpp),
        model: reader.text("model", line),
        model_digest: reader.text("model_digest", digest),
        devices: reader.text("devices", device),
        port: reader.whole("port").unwrap_or_default(),
        host: reader.text("host", host),
        slots: reader.whole("slots"),
        ctx: reader.whole("ctx"),
        flags: words(&mut reader, "flags").unwrap_or_default(),
        env: variables(&mut reader),
        api_key: reader.text("api_key", Secret::key),
        ready_timeout: reader.millis("ready_timeout_ms"),
        stop_timeout: reader.millis("stop_timeout_ms"),
        cache_dir: reader.text("cache_dir", folder),
        warm_up: reader.choice("warm_up").unwrap_or(WarmUp::OneToken),
        provisioning: provisioning.unwrap_or(Provisioning::Binary { command: Vec::new() }),
    };
    reader.obey(RULES);
    if is_known {
        fits(&mut reader, &pool);
    }
    if reader.problems.is_empty() { Ok(pool) } else { Err(reader.problems) }
}

/// What an engine asks of the way that it comes.
fn fits(reader: &mut Reader<'_>, pool: &EnginePool) {
    if let Provisioning::External { .. } = pool.provisioning {
        return;
    }
    if !matches!(pool.engine, EngineKind::Llamacpp | EngineKind::Vllm) {
        let what = "is not started by the agent; it may be attached with provisioning = \"external\"";
        reader.refuse("engine", what);
    }
    if matches!((&pool.provisioning, pool.engine), (Provisioning::Source(_), EngineKind::Vllm)) {
        reader.refuse("provisioning", "builds llama.cpp only; vllm comes as a package");
    }
    if let (Provisioning::Package(package), EngineKind::Llamacpp) = (&pool.provisioning, pool.engine)
        && package.script.is_none()
    {
        reader.refuse("package", "lacks its script: no package ships a llama-server program");
    }
}

fn provisioning(reader: &mut Reader<'_>) -> Option<Provisioning> {
    let way = reader.text("provisioning", |text| word(text, WAYS))?;
    match way {
        "external" => reader.text("endpoint", endpoint).map(|endpoint| Provisioning::External { endpoint }),
        "binary" => command(reader).map(|command| Provisioning::Binary { command }),
        "package" => inner(reader, "package", PACKAGE, |it| {
            let (python, venv) = (it.text("python", program), it.text("venv", folder));
            let (requirement, script) = (it.text("requirement", argument), it.text("script", folder));
            let (python, venv) = (python?, venv?);
            Some(Provisioning::Package(PackageConfig { python, venv, requirement, script }))
        }),
        "source" => inner(reader, "source", SOURCE, |it| {
            let (git, revision) = (it.text("git", argument), it.text("revision", argument));
            Some(Provisioning::Source(SourceConfig { git: git?, revision: revision? }))
        }),
        _ => inner(reader, "container", CONTAINER, |it| {
            let (runtime, image) = (it.text("runtime", program), it.text("image", argument));
            Some(Provisioning::Container(ContainerConfig { runtime: runtime?, image: image? }))
        }),
    }
}

/// Reads a table inside the pool's.
fn inner(
    reader: &mut Reader<'_>,
    key: &str,
    keys: &'static [Key],
    read: impl FnOnce(&mut Reader<'_>) -> Option<Provisioning>,
) -> Option<Provisioning> {
    let Value::Table(table) = reader.value(key)? else {
        let names: Vec<_> = keys.iter().map(|key| key.name).collect();
        reader.refuse(key, format!("is not a table with {}", names.join(", ")));
        return None;
    };
    let at = reader.path(key);
    let mut inner = Reader::new(table, &at, keys);
    let read = read(&mut inner);
    reader.problems.extend(inner.problems);
    read
}

/// A program, or a list that begins with one.
fn command(reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let command = match reader.value("binary") {
        Some(Value::String(text)) => vec![text.clone()],
        _ => words(reader, "binary")?,
    };
    match command.first() {
        Some(first) => drop(reader.keep("binary", program(first))),
        None => reader.refuse("binary", "names no program"),
    }
    Some(command)
}

fn variables(reader: &mut Reader<'_>) -> Vec<(String, String)> {
    let Some(value) = reader.value("env") else { return Vec::new() };
    let Value::Table(table) = value else {
        reader.refuse("env", "is not a table of variables");
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
            _ => reader.refuse(&format!("env.{name}"), "is not a variable"),
        }
    }
    variables
}

/// A list of texts that a program can be given.
fn words(reader: &mut Reader<'_>, key: &str) -> Option<Vec<String>> {
    let items = reader.value(key)?.as_array();
    let items = items.and_then(|items| items.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    match items {
        Some(items) if items.iter().all(|item| !item.contains('\0')) => {
            Some(items.into_iter().map(str::to_owned).collect())
        }
        _ => {
            reader.refuse(key, "is not a list of strings");
            None
        }
    }
}

fn digest(text: &str) -> Result<String, Problem> {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if DIGEST.fits(text) && text.strip_prefix("sha256:").is_some_and(|digits| digits.bytes().all(hex)) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(format!("{} is not {}", shown(text), DIGEST.said)))
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

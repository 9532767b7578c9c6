//! The loader and the schema are asked about the same files, and the tool about its own.
#![cfg(test)]

mod agree;
mod stale;
mod wrong;

use std::{
    io,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use config_schema::{Config, Fault, Form, Layers, ManagerConfig, Schema};
use serde_json::Value;
use toml::Table;
use tools_json_schema::Schemas;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A program, with its example and its schema.
#[derive(Clone, Copy)]
struct Program {
    example: &'static str,
    schema: fn() -> &'static Value,
    load: fn(&str) -> Vec<String>,
    /// Key and form of each setting that can stand in the file.
    settings: fn() -> Vec<(&'static str, Form)>,
}

const SERVER: Program = Program {
    example: "orchestratord.toml",
    schema: || {
        static SCHEMA: LazyLock<Value> = LazyLock::new(tools_config_gen::for_server);
        &SCHEMA
    },
    load: faults::<Config>,
    settings: settings::<Config>,
};

const AGENT: Program = Program {
    example: "pool-managerd.toml",
    schema: || {
        static SCHEMA: LazyLock<Value> = LazyLock::new(tools_config_gen::for_agent);
        &SCHEMA
    },
    load: faults::<ManagerConfig>,
    settings: settings::<ManagerConfig>,
};

const PROGRAMS: [Program; 2] = [SERVER, AGENT];

/// What the loader says of a file, with nothing else given.
fn faults<C: Schema>(text: &str) -> Vec<String> {
    let open = |path: &Path| match path.to_str() {
        Some("/c.toml") => Ok(text.to_owned()),
        Some(path) if path.ends_with(".tokens") => Ok(TOKEN.to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let flags = vec![("config".to_owned(), "/c.toml".to_owned())];
    let env = vec![("HOME".to_owned(), "/home/o".to_owned())];
    let resolved = C::resolve(&Layers { flags, env, open: &open });
    resolved.map_or_else(|faults| faults.iter().map(Fault::to_string).collect(), |_| Vec::new())
}

fn settings<C: Schema>() -> Vec<(&'static str, Form)> {
    let in_file = C::settings().iter().filter(|setting| setting.is_in_file());
    in_file.map(|setting| (setting.key, setting.form)).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Program {
    fn example(self) -> Table {
        let path = root().join("contracts/config/examples").join(self.example);
        std::fs::read_to_string(path).unwrap().parse().unwrap()
    }

    /// What is wrong with a file, by the loader and by the schema.
    fn verdicts(self, file: &Table) -> (Vec<String>, Vec<String>) {
        let json = serde_json::to_value(file).unwrap();
        let schema = (self.schema)();
        ((self.load)(&file.to_string()), Schemas::new(schema).check(schema, &json, "file"))
    }
}

//! The table of settings and its layers, seen from outside.
#![cfg(test)]

mod contract;
mod layers;
mod manager;
mod pools;
mod rows;

use std::{io, path::Path};

use config_schema::{Config, Fault, Layers, Schema};

/// What an operator wrote, for a test.
#[derive(Debug, Default)]
struct Written {
    flags: Vec<(String, String)>,
    env: Vec<(String, String)>,
    /// The file at `/c.toml`.
    toml: Option<String>,
    /// The file at `/token`.
    token: Option<String>,
}

impl Written {
    fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.push((name.to_owned(), value.to_owned()));
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn toml(mut self, text: &str) -> Self {
        self.toml = Some(text.to_owned());
        self.env("ORCHD_CONFIG", "/c.toml")
    }

    fn token(mut self, text: &str) -> Self {
        self.token = Some(text.to_owned());
        self
    }

    fn resolve(&self) -> Result<Config, Vec<Fault>> {
        let open = |path: &Path| {
            let text = match path.to_str() {
                Some("/c.toml") => self.toml.clone(),
                Some("/token") => self.token.clone(),
                _ => None,
            };
            text.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        // What a test says of it comes later, and wins.
        let mut env = vec![("HOME".to_owned(), "/home/o".to_owned())];
        env.extend(self.env.iter().cloned());
        Config::resolve(&Layers { flags: self.flags.clone(), env, open: &open })
    }

    fn config(&self) -> Config {
        self.resolve().unwrap_or_else(|faults| panic!("{}", lines(&faults)))
    }

    fn faults(&self) -> Vec<String> {
        self.resolve()
            .map(|config| panic!("no fault in {config:?}"))
            .unwrap_err()
            .iter()
            .map(Fault::to_string)
            .collect()
    }

    /// The one fault that there must be.
    fn fault(&self) -> String {
        let faults = self.faults();
        assert_eq!(faults.len(), 1, "{faults:#?}");
        faults.into_iter().next().unwrap()
    }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n")
}

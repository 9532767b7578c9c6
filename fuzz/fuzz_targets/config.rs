//! What an operator writes becomes a configuration, or faults of which each names a place, shows no secret, and is one
//! line. What a flag hides is checked all the same.
#![no_main]

use std::{io, path::Path};

use arbitrary::Arbitrary;
use config_schema::{Config, Fault, Layers, ManagerConfig, Schema, Source};
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "hush-hush-hush-hush-hush-hush-hush-hush";

fuzz_target!(|written: Written| {
    let config = written.resolve::<Config>();
    if let Ok(config) = &config {
        assert!(!format!("{config:?}").contains(SECRET), "a secret is shown");
    }
    check(&config, &written, "ORCHD_");
    check(&written.resolve::<ManagerConfig>(), &written, "POOL_MANAGERD_");
});

/// Lines of the file, variables and flags.
#[derive(Debug, Arbitrary)]
struct Written {
    toml: Option<String>,
    env: Vec<(Name, String)>,
    flags: Vec<(Name, String)>,
    with_token: bool,
}

/// A setting, or something else.
#[derive(Debug, Arbitrary)]
enum Name {
    Known(u8),
    Other(String),
}

impl Name {
    fn variable(&self) -> String {
        match self {
            Self::Known(index) => {
                let settings = config_schema::SETTINGS;
                settings[usize::from(*index) % settings.len()].env.to_owned()
            }
            Self::Other(text) => text.clone(),
        }
    }

    fn flag(&self) -> String {
        match self {
            Self::Known(index) => {
                let settings = config_schema::SETTINGS;
                let setting = &settings[usize::from(*index) % settings.len()];
                setting.flag().unwrap_or_else(|| setting.key.to_owned())
            }
            Self::Other(text) => text.clone(),
        }
    }
}

impl Written {
    fn resolve<C: Schema>(&self) -> Result<C, Vec<Fault>> {
        let open = |path: &Path| match path.to_str() {
            Some("/c.toml") => self.toml.clone().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)),
            Some("/token") => Ok(format!("{SECRET}\n")),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        let mut env: Vec<_> = self.env.iter().map(|(name, value)| (name.variable(), value.clone())).collect();
        env.push(("HOME".to_owned(), "/home/o".to_owned()));
        if self.toml.is_some() {
            env.push(("ORCHD_CONFIG".to_owned(), "/c.toml".to_owned()));
            env.push(("POOL_MANAGERD_CONFIG".to_owned(), "/c.toml".to_owned()));
        }
        if self.with_token {
            env.push(("LLORCH_API_TOKEN".to_owned(), SECRET.to_owned()));
        }
        let flags = self.flags.iter().map(|(name, value)| (name.flag(), value.clone())).collect();
        C::resolve(&Layers { flags, env, open: &open })
    }
}

fn check<C>(resolved: &Result<C, Vec<Fault>>, written: &Written, prefix: &str) {
    let Err(faults) = resolved else { return };
    assert!(!faults.is_empty(), "refused for nothing");
    for fault in faults {
        let line = fault.to_string();
        assert!(!line.contains('\n') && !line.contains('\r'), "{line:?}");
        assert!(!line.contains(SECRET), "a secret is shown: {line:?}");
        assert!(!fault.problem.is_empty(), "{line:?}");
        match &fault.source {
            Source::Flag(name) => {
                assert!(written.flags.iter().any(|(given, _)| given.flag() == *name), "{line:?}");
            }
            Source::Env(name) => {
                let ours = [
                    "HOME",
                    "LLORCH_",
                    "AUTH_",
                    "TRUST_",
                    "RUST_",
                    "OTEL_",
                    "PROMETHEUS_",
                    "ORCHESTRATOR",
                    "XDG_",
                    prefix,
                ];
                assert!(ours.iter().any(|ours| name.starts_with(ours)), "{line:?}");
            }
            Source::File(key) => assert!(!key.is_empty() || written.toml.is_some(), "{line:?}"),
            Source::FileText { line: number, column } => {
                let text = written.toml.as_deref().unwrap_or_default();
                assert!(
                    (1..=text.lines().count() + 1).contains(number) && *column >= 1,
                    "{line:?} of {text:?}"
                );
            }
            Source::Default(key) => assert!(!key.is_empty()),
            Source::CommandLine => {}
        }
    }
}

//! The layers of configuration, and laying them over each other.
//!
//! Lower layers are said first and higher ones over them, so that a value which is overridden is still
//! checked: a fault that a flag hides today is the outage of the day on which the flag goes.

use std::{fmt, io, path::Path};

use crate::{
    config::Config,
    draft::Draft,
    fault::{Fault, Problem, Source},
    file,
    setting::Setting,
    suggest::nearest,
    table::SETTINGS,
};

/// A way to read a whole text file.
pub(crate) type Open<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// What the operator wrote, layer by layer. The path of the file is itself a setting.
pub struct Layers<'a> {
    /// The flags with their values, without dashes in front of the names; unknown ones too.
    pub flags: Vec<(String, String)>,
    /// The environment; what is not ours is passed over.
    pub env: Vec<(String, String)>,
    /// Opens the configuration file, and the files that hold tokens.
    pub open: &'a dyn Fn(&Path) -> io::Result<String>,
}

impl fmt::Debug for Layers<'_> {
    // The values may hold the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers").finish_non_exhaustive()
    }
}

impl Config {
    /// Lays the layers over each other: flags over environment over file over default.
    ///
    /// # Errors
    /// All faults of all layers, in the order file, environment, flags, then rules over several settings.
    pub fn resolve(layers: &Layers<'_>) -> Result<Self, Vec<Fault>> {
        let mut draft = Draft::with_defaults();
        if let Some((path, source)) = file_path(layers) {
            match (layers.open)(Path::new(path)) {
                Ok(text) => file::read(&mut draft, &text),
                Err(error) => {
                    draft.fault(source, Problem::new(format!("the file cannot be read: {error}")));
                }
            }
        }
        say_env(&mut draft, &layers.env);
        say_flags(&mut draft, &layers.flags);
        draft.settle(layers.open, &layers.env)
    }
}

fn file_path<'a>(layers: &'a Layers<'_>) -> Option<(&'a str, Source)> {
    let last = |pairs: &'a [(String, String)], name: &str| {
        pairs.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    };
    let flag = last(&layers.flags, "config").map(|path| (path, Source::Flag("config".to_owned())));
    let env = || last(&layers.env, "ORCHD_CONFIG").filter(|path| !path.is_empty());
    flag.or_else(|| env().map(|path| (path, Source::Env("ORCHD_CONFIG".to_owned()))))
}

fn say_env(draft: &mut Draft, env: &[(String, String)]) {
    for (name, value) in env {
        let source = Source::Env(name.clone());
        match SETTINGS.iter().find(|setting| setting.env == name) {
            Some(setting) if value.is_empty() && setting.empty_is_unset() => {}
            Some(setting) => draft.say(setting, value, source),
            None if name.starts_with("ORCHD_") => {
                let problem = Problem::new("is not a setting");
                let near = nearest(name, SETTINGS.iter().map(|setting| setting.env));
                draft.fault(source, did_you_mean(problem, near));
            }
            None => {}
        }
    }
    let given = |wanted: &str| env.iter().any(|(name, _)| name == wanted);
    for inline in ["LLORCH_API_TOKEN", "LLORCH_CONTROL_TOKEN", "LLORCH_NODE_TOKEN"] {
        let file = format!("{inline}_FILE");
        if given(inline) && given(&file) {
            let problem = Problem::new(format!("is set beside {inline}; one of the two must go"));
            draft.fault(Source::Env(file), problem);
        }
    }
}

fn say_flags(draft: &mut Draft, flags: &[(String, String)]) {
    for (name, value) in flags {
        let source = Source::Flag(name.clone());
        match SETTINGS.iter().find(|setting| setting.flag().as_ref() == Some(name)) {
            Some(setting) => draft.say(setting, value, source),
            None => draft.fault(source, unknown_flag(name)),
        }
    }
}

fn unknown_flag(name: &str) -> Problem {
    let problem = Problem::new("is not a flag");
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.key.replace(['.', '_'], "-") == *name) {
        let hint =
            format!("set {} instead: other users can read the command lines of processes", setting.env);
        return problem.hint(hint);
    }
    let flags: Vec<String> = SETTINGS.iter().filter_map(Setting::flag).collect();
    let near = nearest(name, flags.iter().map(String::as_str)).map(|near| format!("--{near}"));
    did_you_mean(problem, near.as_deref())
}

fn did_you_mean(problem: Problem, near: Option<&str>) -> Problem {
    match near {
        Some(near) => problem.hint(format!("did you mean {near}?")),
        None => problem.hint("--help lists the settings"),
    }
}

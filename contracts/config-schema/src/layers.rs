//! The layers of configuration, and laying them over each other.
//!
//! Lower layers are said first and higher ones over them, so that a value which is overridden is still
//! checked: a fault that a flag hides today is the outage of the day on which the flag goes.

use std::{fmt, io, path::Path};

use crate::{
    draft::Draft,
    fault::{Fault, Problem, Source},
    file,
    schema::Rules,
    setting::{Reach, Setting},
    suggest::nearest,
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

impl Layers<'_> {
    /// Lays the layers over each other: flags over environment over file over default. The faults come in
    /// the order file, environment, flags, then rules over several settings.
    //= ORCH-3320
    pub(crate) fn resolve<C: Rules>(&self) -> Result<C, Vec<Fault>> {
        let mut draft = Draft::<C>::with_defaults();
        if let Some((path, source)) = self.file_path::<C>() {
            match (self.open)(Path::new(path)) {
                Ok(text) => file::read(&mut draft, &text),
                Err(error) => {
                    draft.fault(source, Problem::new(format!("the file cannot be read: {error}")));
                }
            }
        }
        say_env(&mut draft, &self.env);
        say_flags(&mut draft, &self.flags);
        C::settle(draft, self.open, &self.env)
    }

    fn file_path<C: Rules>(&self) -> Option<(&str, Source)> {
        let variable = C::settings().iter().find(|setting| setting.key == "config")?.env;
        let flag = last(&self.flags, "config").map(|path| (path, Source::Flag("config".to_owned())));
        let env = || last(&self.env, variable).filter(|path| !path.is_empty());
        flag.or_else(|| env().map(|path| (path, Source::Env(variable.to_owned()))))
    }
}

fn last<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
}

//= ORCH-3323
fn say_env<C: Rules>(draft: &mut Draft<C>, env: &[(String, String)]) {
    for (name, value) in env {
        let source = Source::Env(name.clone());
        // A setting that only the file has is called nothing here.
        match C::settings().iter().find(|setting| !name.is_empty() && setting.env == name) {
            Some(setting) if value.is_empty() && setting.empty_is_unset() => {}
            Some(setting) => draft.say(setting, value, source),
            None if name.starts_with(C::PREFIX) => {
                let problem = Problem::new("is not a setting");
                let near = nearest(name, C::settings().iter().map(|setting| setting.env));
                draft.fault(source, did_you_mean(problem, near));
            }
            None => {}
        }
    }
    let given = |wanted: &str| env.iter().any(|(name, _)| name == wanted);
    for [token, file] in C::token_pairs() {
        if given(token.env) && given(file.env) {
            let problem = Problem::new(format!("is set beside {}; one of the two must go", token.env));
            draft.fault(Source::Env(file.env.to_owned()), problem);
        }
    }
}

fn say_flags<C: Rules>(draft: &mut Draft<C>, flags: &[(String, String)]) {
    for (name, value) in flags {
        let source = Source::Flag(name.clone());
        match C::settings().iter().find(|setting| setting.flag().as_ref() == Some(name)) {
            Some(setting) => draft.say(setting, value, source),
            None => draft.fault(source, unknown_flag::<C>(name)),
        }
    }
}

//= ORCH-3323
fn unknown_flag<C: Rules>(name: &str) -> Problem {
    let problem = Problem::new("is not a flag");
    let is_meant = |setting: &&Setting<C>| setting.key.replace(['.', '_'], "-") == *name;
    match C::settings().iter().find(is_meant) {
        Some(Setting { reach: Reach::OnlyFile, .. }) => return problem.hint("write it into the file"),
        Some(setting) => {
            return problem.hint(format!(
                "set {} instead: other users can read the command lines of processes",
                setting.env
            ));
        }
        None => {}
    }
    let flags: Vec<String> = C::settings().iter().filter_map(Setting::flag).collect();
    let near = nearest(name, flags.iter().map(String::as_str)).map(|near| format!("--{near}"));
    did_you_mean(problem, near.as_deref())
}

fn did_you_mean(problem: Problem, near: Option<&str>) -> Problem {
    match near {
        Some(near) => problem.hint(format!("did you mean {near}?")),
        None => problem.hint("--help lists the settings"),
    }
}

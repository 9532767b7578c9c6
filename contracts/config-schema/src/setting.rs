//! One row of the table of settings.

use crate::{
    config::Config,
    draft::Draft,
    fault::Problem,
    form::{Form, Given},
};

/// Where a setting may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// As a flag, in the environment and in the file.
    Everywhere,
    /// Not as a flag, because every user of the machine can read the command lines of its processes.
    NoFlag,
    /// Not in the file, because it says which file.
    NoFile,
    /// In the file alone, because it has more to say than one value.
    OnlyFile,
}

/// What holds when nobody says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// This value, in the setting's own syntax.
    Value(&'static str),
    /// Nothing, or what follows from elsewhere; these words say so in the help.
    Derived(&'static str),
}

/// One setting of a program: all of its names, its syntax, its default and its meaning.
#[derive(Debug)]
pub struct Setting<C = Config> {
    /// Its key in the file, dotted.
    pub key: &'static str,
    /// Its environment variable; empty when it has none.
    pub env: &'static str,
    /// Where it may be written.
    pub reach: Reach,
    /// How its value looks.
    pub form: Form,
    /// Its default.
    pub preset: Preset,
    /// One line for the help.
    pub meaning: &'static str,
    /// Reads a value of any layer into the draft.
    pub(crate) apply: Apply<C>,
}

/// What reads a value into a draft.
pub(crate) type Apply<C> = fn(&mut Draft<C>, Given<'_>) -> Result<(), Vec<Problem>>;

/// A row of the usual kind: writable everywhere, with a plain default.
pub(crate) const fn row<C>(
    names: [&'static str; 3],
    form: Form,
    default: &'static str,
    apply: Apply<C>,
) -> Setting<C> {
    let [key, env, meaning] = names;
    Setting { key, env, reach: Reach::Everywhere, form, preset: Preset::Value(default), meaning, apply }
}

/// A row whose default is nothing, or follows from elsewhere.
pub(crate) const fn derived<C>(
    names: [&'static str; 3],
    form: Form,
    said: &'static str,
    apply: Apply<C>,
) -> Setting<C> {
    let [key, env, meaning] = names;
    Setting { key, env, reach: Reach::Everywhere, form, preset: Preset::Derived(said), meaning, apply }
}

impl<C> Setting<C> {
    /// The same row, which can be written in fewer places.
    pub(crate) const fn reaching(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// Its flag without dashes in front, when it has one.
    //= ORCH-3324
    pub fn flag(&self) -> Option<String> {
        (!matches!(self.reach, Reach::NoFlag | Reach::OnlyFile)).then(|| self.key.replace(['.', '_'], "-"))
    }

    /// The heading under which the help shows it.
    pub fn group(&self) -> &'static str {
        self.key.split_once('.').map_or("server", |(group, _)| group)
    }

    /// Whether it can stand in the file.
    pub fn is_in_file(&self) -> bool {
        self.reach != Reach::NoFile
    }

    /// An empty variable usually means "not set" (compose files do that). An empty token does not: it
    /// is a secret that failed to arrive, and going on without one would open the server.
    pub(crate) fn empty_is_unset(&self) -> bool {
        !self.key.ends_with("_token") && !self.key.ends_with("_token_file")
    }
}

//! The configuration of one program, as the layers see it.
//!
//! Each program has a table of settings and rules over several of them; how layers are laid over each
//! other, how files are read and how a slip of the finger is answered is the same for all.

use toml::Value;

use crate::{
    draft::Draft,
    fault::{Fault, Problem},
    layers::{Layers, Open},
    setting::Setting,
};

/// The configuration of a program.
pub trait Schema: Sized + 'static {
    /// Every setting, in the order of the help.
    fn settings() -> &'static [Setting<Self>];

    /// Lays the layers over each other: flags over environment over file over default.
    ///
    /// # Errors
    /// All faults of all layers, in the order file, environment, flags, then rules over several settings.
    fn resolve(layers: &Layers<'_>) -> Result<Self, Vec<Fault>>;
}

/// What the layers need to know of it.
pub(crate) trait Rules: Schema {
    /// Variables that begin so are the program's own, and must be settings.
    const PREFIX: &'static str;

    /// A frame for the table to fill.
    fn blank() -> Self;

    /// Takes the tables under `pools`.
    fn take_pools(&mut self, pools: &[Value]) -> Result<(), Vec<Problem>>;

    /// Settles what depends on several settings, and gives the configuration if there is no fault.
    fn settle(draft: Draft<Self>, open: Open<'_>, env: &[(String, String)]) -> Result<Self, Vec<Fault>>;

    /// Settings that hold a token, each with the one that names a file for it.
    fn token_pairs() -> impl Iterator<Item = [&'static Setting<Self>; 2]> {
        Self::settings().iter().filter_map(|file| {
            let token = file.key.strip_suffix("_token_file").map(|name| format!("{name}_token"))?;
            Some([Self::settings().iter().find(|setting| setting.key == token)?, file])
        })
    }
}

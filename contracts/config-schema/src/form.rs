//! What the values of settings, and of the keys of tables, look like.
//!
//! A range or a list of words stands in its row once, as data. The reader checks by it, and the help, the
//! schema of the file and the reference tell it, so that none of them promises what another refuses.

use std::time::Duration;

use crate::{
    fault::Problem,
    kind::Choice,
    setting::Preset,
    value::{self, shown},
};

/// What a whole number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Time.
    Milliseconds,
    /// Memory.
    Bytes,
    /// Jobs.
    Jobs,
    /// Tokens of prompts and answers.
    Tokens,
    /// Nothing: it is the number of a TCP port.
    Port,
    /// What the meaning of the row says.
    Things,
}

impl Unit {
    /// How the help calls a number of these.
    pub const fn syntax(self) -> &'static str {
        match self {
            Self::Milliseconds => "MS",
            Self::Bytes => "BYTES",
            Self::Jobs => "JOBS",
            Self::Tokens => "TOKENS",
            Self::Port => "PORT",
            Self::Things => "N",
        }
    }

    /// The word behind the number, where there is one.
    pub const fn word(self) -> Option<&'static str> {
        match self {
            Self::Milliseconds => Some("ms"),
            Self::Bytes => Some("bytes"),
            Self::Jobs => Some("jobs"),
            Self::Tokens => Some("tokens"),
            Self::Port | Self::Things => None,
        }
    }
}

/// A kind of text, with what can be said of it without reading it.
#[derive(Debug, PartialEq, Eq)]
pub struct Text {
    /// How the help calls it.
    pub syntax: &'static str,
    /// How it is written.
    pub said: &'static str,
    /// The fewest characters.
    pub chars_min: usize,
    /// The most characters, if there is such a bound.
    pub chars_max: Option<usize>,
    /// A regular expression that every good text matches; the reader may be stricter.
    pub pattern: &'static str,
}

impl Text {
    pub(crate) const fn new(syntax: &'static str, said: &'static str, pattern: &'static str) -> Self {
        Self { syntax, said, chars_min: 1, chars_max: None, pattern }
    }

    /// The same with as many characters.
    pub(crate) const fn of_chars(mut self, least: usize, most: usize) -> Self {
        self.chars_min = least;
        self.chars_max = Some(most);
        self
    }

    /// How it is written, with its length where that has an end.
    pub fn hint(&self) -> String {
        match self.chars_max {
            Some(most) => format!("use {} to {most} characters: {}", self.chars_min, self.said),
            None => format!("write {}", self.said),
        }
    }

    /// Whether a text is neither too short nor too long.
    pub(crate) fn fits(&self, text: &str) -> bool {
        text.len() >= self.chars_min && self.chars_max.is_none_or(|most| text.len() <= most)
    }
}

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A whole number.
    Whole {
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
        /// What it counts.
        unit: Unit,
    },
    /// An amount of money, with up to six decimals; in the file a number, or a string against rounding.
    Amount {
        /// What it stays below.
        below: u64,
    },
    /// `true` or `false`.
    Truth,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One text.
    Text(&'static Text),
    /// One text that nobody may see.
    Secret(&'static Text),
    /// One text or more: with commas between them, or in the file as a list.
    List(&'static Text),
    /// A list of strings, as they are.
    Strings,
    /// A program, or a list of strings that begins with one.
    Command,
    /// A table of strings by names that the operator chooses.
    Variables,
    /// A table with these keys.
    Table(&'static [Key]),
    /// A list of tables with these keys.
    Tables {
        /// The keys of each.
        keys: &'static [Key],
        /// What the value of one key asks of others.
        rules: &'static [Rule],
        /// How they are written outside of the file, if they can be.
        inline: Option<&'static Text>,
    },
}

impl Form {
    /// A whole number of `unit`.
    pub(crate) const fn whole(min: u64, max: u64, unit: Unit) -> Self {
        Self::Whole { min, max, unit }
    }

    /// How the help calls such a value.
    pub fn syntax(&self) -> String {
        match self {
            Self::Whole { unit, .. } => unit.syntax().to_owned(),
            Self::Amount { .. } => "AMOUNT".to_owned(),
            Self::Truth => "true|false".to_owned(),
            Self::Word(words) => words.join("|"),
            Self::Text(text) | Self::Secret(text) => text.syntax.to_owned(),
            Self::List(text) | Self::Tables { inline: Some(text), .. } => format!("{},...", text.syntax),
            Self::Strings => "[\"…\"]".to_owned(),
            Self::Command => "PROGRAM".to_owned(),
            Self::Variables => "{ NAME = \"…\" }".to_owned(),
            Self::Table(keys) => {
                format!("{{ {} }}", keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", "))
            }
            Self::Tables { inline: None, .. } => "[[pools]]".to_owned(),
        }
    }
}

/// Whether a key of a table must be there, and what holds when it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It must.
    Needed,
    /// It need not.
    Optional(Preset),
}

/// One key of a table.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// How its value looks.
    pub form: Form,
    /// Whether it must be there.
    pub presence: Presence,
    /// One line of meaning.
    pub meaning: &'static str,
}

impl Key {
    pub(crate) const fn needed(name: &'static str, form: Form, meaning: &'static str) -> Self {
        Self { name, form, presence: Presence::Needed, meaning }
    }

    /// A key with a plain default.
    pub(crate) const fn preset(
        name: &'static str,
        form: Form,
        default: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self { name, form, presence: Presence::Optional(Preset::Value(default)), meaning }
    }

    /// A key whose default is nothing, or follows from elsewhere.
    pub(crate) const fn derived(
        name: &'static str,
        form: Form,
        said: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self { name, form, presence: Presence::Optional(Preset::Derived(said)), meaning }
    }
}

/// What one value of a key asks of the other keys of its table.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// The key.
    pub key: &'static str,
    /// The value.
    pub word: &'static str,
    /// Keys that must be there as well.
    pub needs: &'static [&'static str],
    /// Keys that must not.
    pub excludes: &'static [&'static str],
}

impl Rule {
    /// The condition, as it stands in the file.
    pub fn condition(&self) -> String {
        format!("{} = \"{}\"", self.key, self.word)
    }
}

/// A value that was given, beside what its row says of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) form: Form,
    pub(crate) text: &'a str,
}

impl Given<'_> {
    /// A whole number in the range of the row.
    pub(crate) fn whole<T: TryFrom<u64>>(self) -> Result<T, Problem> {
        let Form::Whole { min, max, .. } = self.form else { return Err(self.other_form()) };
        let number = value::whole(self.text, min..=max)?;
        T::try_from(number).map_err(|_wide| Problem::new("is larger than this machine can count"))
    }

    /// A time in the range of the row.
    pub(crate) fn millis(self) -> Result<Duration, Problem> {
        self.whole().map(Duration::from_millis)
    }

    /// An amount, as millionths.
    pub(crate) fn amount(self) -> Result<u64, Problem> {
        let Form::Amount { below } = self.form else { return Err(self.other_form()) };
        value::amount(self.text, below)
    }

    /// One of the words of the row.
    pub(crate) fn choice<T: Choice>(self) -> Result<T, Problem> {
        let words = match self.form {
            Form::Word(words) => words,
            Form::Truth => &["true", "false"],
            _ => return Err(self.other_form()),
        };
        value::choice(self.text, words)
    }

    /// Only a mistake in the table leads here, and the test of every row finds it.
    fn other_form(self) -> Problem {
        Problem::new(format!("{} is not {}", shown(self.text), self.form.syntax()))
    }
}

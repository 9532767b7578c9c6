//! What is wrong with a configuration, and where it was written.
//!
//! An operator who gets one complaint per start gives up after the third, so faults are data: they are
//! gathered, and all are shown. None repeats a value that could be a secret.

use std::fmt;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// On the command line, as this flag (without dashes).
    Flag(String),
    /// On the command line, but not as a flag that has a name.
    CommandLine,
    /// In this environment variable.
    Env(String),
    /// In the file, under this key.
    File(String),
    /// In the file, where it is not TOML any more. Both count from 1.
    FileText {
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// Nowhere: it is the default of this key.
    Default(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag --{}", name.escape_debug()),
            Self::CommandLine => f.write_str("command line"),
            Self::Env(name) => write!(f, "environment {}", name.escape_debug()),
            Self::File(key) => write!(f, "file key {}", key.escape_debug()),
            Self::FileText { line, column } => write!(f, "file line {line}, column {column}"),
            Self::Default(key) => write!(f, "default of {key}"),
        }
    }
}

/// One thing that is wrong. Its `Display` is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub source: Source,
    /// What.
    pub problem: String,
    /// What was probably meant, or what to do.
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.problem)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for Fault {}

/// A fault that does not know its place yet.
#[derive(Debug)]
pub(crate) struct Problem {
    /// The place inside the value, such as `[1].endpoint` or `pool 2`; empty for the value itself.
    at: String,
    what: String,
    hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { at: String::new(), what: what.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts `at` in front of the place that the problem knows so far.
    pub(crate) fn at(mut self, at: &str) -> Self {
        self.at.insert_str(0, at);
        self
    }

    /// Gives the problem its place. Only the file's tables have keys inside; elsewhere the place is told.
    pub(crate) fn into_fault(self, source: Source) -> Fault {
        let Self { at, what: problem, hint } = self;
        match source {
            Source::File(key) if at.starts_with('[') => {
                Fault { source: Source::File(format!("{key}{at}")), problem, hint }
            }
            _ if at.is_empty() => Fault { source, problem, hint },
            _ => Fault { source, problem: format!("{at} {problem}"), hint },
        }
    }
}

impl From<Problem> for Vec<Problem> {
    fn from(problem: Problem) -> Self {
        vec![problem]
    }
}

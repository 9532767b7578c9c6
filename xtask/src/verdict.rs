//! What a command says when it ran to its end.
//!
//! A finding (a breach, a failed step) has already been printed in full, so it is not an error with a text
//! of its own; errors are for commands that could not do their work.

/// Whether the command is content with what it saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Exit code 0.
    Good,
    /// Exit code 1, with nothing more to say.
    Bad,
}

impl Verdict {
    /// Prints every breach and a closing line, and is bad when there was one.
    pub(crate) fn of_breaches(check: &str, breaches: &[String]) -> Self {
        for breach in breaches {
            println!("{breach}");
        }
        if breaches.is_empty() {
            println!("{check}: no breach");
            return Self::Good;
        }
        println!("{check}: {} breach(es)", breaches.len());
        Self::Bad
    }
}

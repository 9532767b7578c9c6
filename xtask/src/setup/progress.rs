//! A progress bar on a terminal, and two plain lines anywhere else.

use std::io::{IsTerminal, Write};

const WIDTH: usize = 32;
const MEGA: u64 = 1_000_000;

/// A bar over a known number of bytes.
#[derive(Debug)]
pub(super) struct Bar {
    label: String,
    total: u64,
    /// The share that was drawn last, in percent; a bar is drawn again only when it moves.
    drawn: Option<u64>,
    on_terminal: bool,
}

impl Bar {
    /// Begins a bar; a log file gets its label at once.
    pub(super) fn new(label: &str, total: u64) -> Self {
        let on_terminal = std::io::stdout().is_terminal();
        if !on_terminal {
            println!("{label}: {} MB", total / MEGA);
        }
        Self { label: label.to_owned(), total: total.max(1), drawn: None, on_terminal }
    }

    /// Moves the bar to this many bytes.
    pub(super) fn at(&mut self, bytes: u64) {
        let percent = percent(bytes, self.total);
        if self.on_terminal && self.drawn != Some(percent) {
            self.drawn = Some(percent);
            print!("\r{}: {}", self.label, picture(bytes, self.total));
            // A bar that could not be shown is no reason to stop the work.
            drop(std::io::stdout().flush());
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            println!();
        }
    }
}

fn percent(bytes: u64, total: u64) -> u64 {
    (bytes.saturating_mul(100) / total).min(100)
}

fn picture(bytes: u64, total: u64) -> String {
    let percent = percent(bytes, total);
    let filled = usize::try_from(percent).unwrap_or(100) * WIDTH / 100;
    let (done, open) = ("#".repeat(filled), "-".repeat(WIDTH - filled));
    format!("[{done}{open}] {percent:>3} %  {} of {} MB", bytes / MEGA, total / MEGA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picture_fills_with_the_share_and_never_over() {
        assert_eq!(picture(0, 98 * MEGA), format!("[{}]   0 %  0 of 98 MB", "-".repeat(32)));
        assert_eq!(
            picture(49 * MEGA, 98 * MEGA),
            format!("[{0}{1}]  50 %  49 of 98 MB", "#".repeat(16), "-".repeat(16))
        );
        assert!(picture(99 * MEGA, 98 * MEGA).contains("100 %"));
    }
}

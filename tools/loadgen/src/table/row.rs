//! One line of the table: a figure, what it is held against, and whether that is enough.

use serde_json::{Value, json};

pub(super) const HEAD: &str = "part          what                                                                        measured     control    ratio  aim            met";

/// A figure.
#[derive(Debug, Clone)]
pub(super) struct Row {
    what: String,
    unit: &'static str,
    measured: f64,
    control: Option<f64>,
    aim: Aim,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Aim {
    AtMost(f64),
    AtLeast(f64),
    /// So many times the control.
    Ratio(f64),
    /// It is only told.
    None,
}

impl Row {
    /// A figure that is only told.
    pub(super) fn new(what: impl Into<String>, unit: &'static str, measured: f64) -> Self {
        Self { what: what.into(), unit, measured, control: None, aim: Aim::None }
    }

    /// The figure that this one stands beside, if it could be measured.
    pub(super) fn against(self, control: Option<f64>) -> Self {
        Self { control, ..self }
    }

    pub(super) fn at_most(self, limit: f64) -> Self {
        Self { aim: Aim::AtMost(limit), ..self }
    }

    pub(super) fn at_least(self, limit: f64) -> Self {
        Self { aim: Aim::AtLeast(limit), ..self }
    }

    /// The aim is in times the control.
    pub(super) fn ratio_at_most(self, limit: f64) -> Self {
        Self { aim: Aim::Ratio(limit), ..self }
    }

    /// A control of nothing, or of less, makes no ratio.
    fn ratio(&self) -> Option<f64> {
        self.control.filter(|control| *control > 0.0).map(|control| self.measured / control)
    }

    /// Whether the aim is reached; nothing when there is none, or nothing to compare with.
    fn met(&self) -> Option<bool> {
        match self.aim {
            Aim::AtMost(limit) => Some(self.measured <= limit),
            Aim::AtLeast(limit) => Some(self.measured >= limit),
            Aim::Ratio(limit) => self.ratio().map(|ratio| ratio <= limit),
            Aim::None => None,
        }
    }

    fn aim_text(&self) -> String {
        match self.aim {
            Aim::AtMost(limit) => format!("<= {}", shown(limit)),
            Aim::AtLeast(limit) => format!(">= {}", shown(limit)),
            Aim::Ratio(limit) => format!("<= {limit} x"),
            Aim::None => "-".to_owned(),
        }
    }

    /// The line as it is printed.
    pub(super) fn line(&self, part: &str) -> String {
        let dash = || "-".to_owned();
        let met = match self.met() {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        };
        let what = format!("{}, {}", self.what, self.unit);
        let (measured, control) = (shown(self.measured), self.control.map_or_else(dash, shown));
        let ratio = self.ratio().map_or_else(dash, |ratio| format!("{ratio:.2}"));
        let aim = self.aim_text();
        format!("{part:<13} {what:<70} {measured:>13} {control:>11} {ratio:>8}  {aim:<13}  {met}")
    }

    pub(super) fn json(&self, part: &str) -> Value {
        json!({
            "part": part, "what": self.what, "unit": self.unit, "measured": self.measured,
            "control": self.control, "ratio": self.ratio(), "aim": self.aim_text(), "met": self.met(),
        })
    }
}

/// Three digits that count, or more before the point.
fn shown(figure: f64) -> String {
    let places = match figure.abs() {
        size if size >= 100.0 || figure == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{figure:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(measured: f64) -> Row {
        Row::new("a token", "us", measured)
    }

    #[test]
    fn aim_is_met_at_its_limit_and_missed_behind_it() {
        assert_eq!(row(2.0).at_most(2.0).met(), Some(true));
        assert_eq!(row(2.1).at_most(2.0).met(), Some(false));
        assert_eq!(row(2.0).at_least(2.0).met(), Some(true));
        assert_eq!(row(1.9).at_least(2.0).met(), Some(false));
        assert_eq!(row(3.0).against(Some(2.0)).ratio_at_most(1.5).met(), Some(true));
        assert_eq!(row(3.1).against(Some(2.0)).ratio_at_most(1.5).met(), Some(false));
    }

    #[test]
    fn figure_that_is_none_meets_no_aim() {
        assert_eq!(row(f64::NAN).at_most(2.0).met(), Some(false));
        assert_eq!(row(f64::NAN).at_least(2.0).met(), Some(false));
        assert_eq!(row(f64::NAN).json("x")["measured"], Value::Null);
    }

    #[test]
    fn nothing_is_said_without_an_aim_or_a_control() {
        assert_eq!(row(1.0).met(), None);
        assert_eq!(row(1.0).against(None).ratio_at_most(2.0).met(), None);
        assert_eq!(row(1.0).against(Some(0.0)).ratio_at_most(2.0).met(), None);
        assert_eq!(row(1.0).against(Some(-1.0)).ratio_at_most(2.0).met(), None);
    }

    #[test]
    fn line_and_json_say_the_same() {
        let row = row(3.1).against(Some(2.0)).ratio_at_most(1.5);
        let line = row.line("relay");
        for word in ["relay", "a token, us", "3.10", "2.00", "1.55", "<= 1.5 x", "NO"] {
            assert!(line.contains(word), "{word} is not in {line}");
        }
        assert_eq!(row.json("relay")["met"], false);
        assert_eq!(row.json("relay")["aim"], "<= 1.5 x");
    }
}

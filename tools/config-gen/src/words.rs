//! Numbers, ranges and kinds of text as people read them.

use config_schema::{Text, Unit};

/// The words for larger units, the largest first.
const TIMES: &[(u64, &str)] = &[(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
const SIZES: &[(u64, &str)] =
    &[(1 << 50, "PiB"), (1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

/// A range, and again in larger units where those are shorter.
pub(crate) fn range(min: u64, max: u64, unit: Unit) -> String {
    if in_larger(min, unit).or_else(|| in_larger(max, unit)).is_some() {
        return format!("{min} to {max} ({} to {})", short(min, unit), short(max, unit));
    }
    let word = unit.word().map(|word| format!(" {word}")).unwrap_or_default();
    format!("{min} to {max}{word}")
}

/// A number with its unit, in a larger one where it is a whole number of those.
pub(crate) fn short(number: u64, unit: Unit) -> String {
    let word = if unit == Unit::Bytes { "B" } else { unit.word().unwrap_or_default() };
    in_larger(number, unit).unwrap_or_else(|| format!("{number} {word}"))
}

/// A value, and again in a larger unit where it is a whole number of those.
pub(crate) fn value(text: &str, unit: Unit) -> String {
    let larger = text.parse().ok().and_then(|number| in_larger(number, unit));
    larger.map_or_else(|| text.to_owned(), |larger| format!("{text} ({larger})"))
}

/// How a text is written.
pub(crate) fn of_text(text: &Text) -> String {
    match text.chars_max {
        Some(most) if most == text.chars_min => text.said.to_owned(),
        Some(most) => format!("{} to {most} characters: {}", text.chars_min, text.said),
        None => text.said.to_owned(),
    }
}

fn in_larger(number: u64, unit: Unit) -> Option<String> {
    let units = match unit {
        Unit::Milliseconds => TIMES,
        Unit::Bytes => SIZES,
        Unit::Jobs | Unit::Tokens | Unit::Port | Unit::Things => return None,
    };
    let (size, word) = units.iter().find(|(size, _)| number > 0 && number.is_multiple_of(*size))?;
    Some(format!("{} {word}", number / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_told_in_the_largest_unit_that_divides_it() {
        assert_eq!(value("600000", Unit::Milliseconds), "600000 (10 min)");
        assert_eq!(value("90000", Unit::Milliseconds), "90000 (90 s)");
        assert_eq!(value("1500", Unit::Milliseconds), "1500");
        assert_eq!(value("1073741824", Unit::Bytes), "1073741824 (1 GiB)");
        assert_eq!(value("0", Unit::Milliseconds), "0");
        assert_eq!(value("1000", Unit::Jobs), "1000");
    }

    #[test]
    fn both_ends_of_a_range_have_their_units() {
        assert_eq!(range(1, 60_000, Unit::Milliseconds), "1 to 60000 (1 ms to 1 min)");
        assert_eq!(range(1, 1 << 30, Unit::Bytes), "1 to 1073741824 (1 B to 1 GiB)");
        assert_eq!(range(1, 999, Unit::Milliseconds), "1 to 999 ms");
        assert_eq!(range(1, 5, Unit::Things), "1 to 5");
        assert_eq!(range(1, 5, Unit::Jobs), "1 to 5 jobs");
    }
}

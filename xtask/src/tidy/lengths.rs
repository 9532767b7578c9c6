//! Median and 90th percentile of a list of lengths, as one line.

/// Describes the lengths; an empty list has nothing to describe.
pub(super) fn summary(mut lengths: Vec<usize>) -> String {
    lengths.sort_unstable();
    let Some(longest) = lengths.last() else {
        return "none".to_owned();
    };
    let at = |percent: usize| lengths[(lengths.len() - 1) * percent / 100];
    format!("{} in all, median {}, p90 {}, longest {longest}", lengths.len(), at(50), at(90))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_takes_the_middle_and_the_ninth_tenth() {
        let lengths = (1..=11).rev().collect();
        assert_eq!(summary(lengths), "11 in all, median 6, p90 10, longest 11");
    }

    #[test]
    fn nothing_has_no_median() {
        assert_eq!(summary(Vec::new()), "none");
    }
}

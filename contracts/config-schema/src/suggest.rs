//! The name that was probably meant.

use strsim::damerau_levenshtein;

/// The candidate nearest to `given`, when one is near enough to be meant.
///
/// A candidate also counts as near when only its last word was written: `capacity` for
/// `admission.capacity`, or a key at the top of the file that belongs under a heading.
pub(crate) fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Distance costs the product of the lengths, and nobody means a name with a thousand letters.
    if given.len() > 100 {
        return None;
    }
    let distance = |candidate: &str| {
        let whole = damerau_levenshtein(given, candidate);
        let last = candidate.rsplit('.').next().unwrap_or(candidate);
        whole.min(damerau_levenshtein(given, last) + 1)
    };
    let tolerated = (given.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerated)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 4] = ["bind_addr", "admission.capacity", "admission.policy", "gpu_policy"];

    #[test]
    fn a_slip_of_the_finger_finds_its_name() {
        assert_eq!(nearest("bind_adr", KEYS), Some("bind_addr"));
        assert_eq!(nearest("admission.capcaity", KEYS), Some("admission.capacity"));
        assert_eq!(nearest("capacity", KEYS), Some("admission.capacity"));
    }

    #[test]
    fn something_else_altogether_finds_nothing() {
        assert_eq!(nearest("colour", KEYS), None);
        assert_eq!(nearest("", KEYS), None);
        assert_eq!(nearest(&"a".repeat(5_000), KEYS), None);
    }
}

//! The mock's vectors: texts that share their letters lie close to each other.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// Numbers of a vector.
const DIMENSIONS: usize = 16;

/// A unit vector for a text, from the triples of its bytes.
pub(crate) fn vector(text: &str) -> [f64; DIMENSIONS] {
    let mut vector = [0.0; DIMENSIONS];
    let padded = [b" ", text.as_bytes(), b" "].concat();
    for triple in padded.windows(3) {
        let hash = triple.iter().fold(17_usize, |hash, byte| hash.wrapping_mul(31) ^ usize::from(*byte));
        vector[hash % DIMENSIONS] += 1.0;
    }
    let length = vector.iter().map(|number| number * number).sum::<f64>().sqrt().max(1.0);
    vector.map(|number| number / length)
}

/// A text's vector as `OpenAI`'s clients ask for it: 32-bit floats, little end first, in base 64.
pub(crate) fn base64(text: &str) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "that is what the encoding holds")]
    let bytes: Vec<u8> = vector(text).iter().flat_map(|number| (*number as f32).to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

/// A list of vectors, one for each text.
pub(crate) fn vectors<'a>(texts: impl IntoIterator<Item = &'a str>) -> Value {
    texts.into_iter().map(|text| json!(vector(text))).collect()
}

/// The texts by their likeness to `query`, the most alike first.
pub(crate) fn ranking<'a>(query: &str, texts: impl IntoIterator<Item = &'a str>) -> Value {
    let wanted = vector(query);
    let score = |text: &str| vector(text).iter().zip(wanted).map(|(a, b)| a * b).sum::<f64>();
    let mut scored: Vec<(usize, f64)> =
        texts.into_iter().enumerate().map(|(index, text)| (index, score(text))).collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    scored.into_iter().map(|(index, score)| json!({"index": index, "score": score})).collect()
}

/// Tokens of these texts, by the mock's own count.
pub(crate) fn tokens<'a>(texts: impl IntoIterator<Item = &'a str>) -> u32 {
    let tokens = texts.into_iter().map(|text| text.len().div_ceil(4)).sum::<usize>();
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_ranked_by_what_they_share() {
        let ranked = ranking("the old river", ["a bright door", "the old river", "an old river"]);
        let order: Vec<_> =
            ranked.as_array().unwrap().iter().map(|it| it["index"].as_u64().unwrap()).collect();
        assert_eq!(order, [1, 2, 0]);
        assert!((ranked[0]["score"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    }
}

//! The types in which ggml stores numbers, and the bytes that they take.

/// A type of ggml: so many numbers are stored together, in so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GgmlType {
    pub(super) name: &'static str,
    pub(super) block: u64,
    pub(super) block_bytes: u64,
}

/// The type that a tensor's `ggml_type` number means, unless it is not known here.
///
/// Numbers, names and sizes are those of `ggml_type` in `ggml.h` and of the blocks in `ggml-common.h`, which
/// `GGML_QUANT_SIZES` in `gguf-py/gguf/constants.py` repeats, but for `Q8_1`: its block has 36 bytes in C and
/// 40 there, and is in no file. Numbers 4, 5, 31 to 33 and 36 to 38 were taken out of ggml.
pub(super) fn ggml_type(number: u32) -> Option<GgmlType> {
    let (name, block, block_bytes) = match number {
        0 => ("F32", 1, 4),
        1 => ("F16", 1, 2),
        2 => ("Q4_0", 32, 18),
        3 => ("Q4_1", 32, 20),
        6 => ("Q5_0", 32, 22),
        7 => ("Q5_1", 32, 24),
        8 => ("Q8_0", 32, 34),
        9 => ("Q8_1", 32, 36),
        10 => ("Q2_K", 256, 84),
        11 => ("Q3_K", 256, 110),
        12 => ("Q4_K", 256, 144),
        13 => ("Q5_K", 256, 176),
        14 => ("Q6_K", 256, 210),
        15 => ("Q8_K", 256, 292),
        16 => ("IQ2_XXS", 256, 66),
        17 => ("IQ2_XS", 256, 74),
        18 => ("IQ3_XXS", 256, 98),
        19 => ("IQ1_S", 256, 50),
        20 => ("IQ4_NL", 32, 18),
        21 => ("IQ3_S", 256, 110),
        22 => ("IQ2_S", 256, 82),
        23 => ("IQ4_XS", 256, 136),
        24 => ("I8", 1, 1),
        25 => ("I16", 1, 2),
        26 => ("I32", 1, 4),
        27 => ("I64", 1, 8),
        28 => ("F64", 1, 8),
        29 => ("IQ1_M", 256, 56),
        30 => ("BF16", 1, 2),
        34 => ("TQ1_0", 256, 54),
        35 => ("TQ2_0", 256, 66),
        39 => ("MXFP4", 32, 17),
        40 => ("NVFP4", 64, 36),
        41 => ("Q1_0", 128, 18),
        _ => return None,
    };
    Some(GgmlType { name, block, block_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_from_the_fields_of_each_block() {
        let (half, scales) = (2, 12);
        for (number, bytes) in [
            // A scale, then half a byte for each of 32 numbers.
            (2, half + 32 / 2),
            // Scales and minimums of 16 groups, two bits for each of 256 numbers, and two more scales.
            (10, 256 / 16 + 256 / 4 + 2 * half),
            (11, 256 / 8 + 256 / 4 + scales + half),
            (12, 2 * half + scales + 256 / 2),
            (13, 2 * half + scales + 256 / 8 + 256 / 2),
            (14, 256 / 2 + 256 / 4 + 256 / 16 + half),
            (15, 4 + 256 + 256 / 16 * 2),
            (16, half + 256 / 8 * 2),
            (17, half + 256 / 8 * 2 + 256 / 32),
            (18, half + 256 / 4 + 256 / 8),
            (19, half + 256 / 8 + 256 / 32 * 2),
            (21, half + 256 / 4 + 256 / 32 + 256 / 8 + 256 / 64),
            (22, half + 256 / 4 + 256 / 16),
            (23, half + 2 + 256 / 64 + 256 / 2),
            (29, 256 / 8 + 256 / 16 + 256 / 32),
        ] {
            assert_eq!(ggml_type(number).map(|known| known.block_bytes), Some(bytes), "{number}");
        }
        for removed in [4, 5, 31, 32, 33, 36, 37, 38, 1000] {
            assert_eq!(ggml_type(removed), None, "{removed}");
        }
    }
}

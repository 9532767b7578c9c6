//! How much memory of an accelerator one replica of a model needs.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::header::ModelMeta;

/// What an engine needs beside weights and cache, in bytes: its context on the device and the buffers of
/// one batch. It is a round figure and not a measurement; engines differ by some hundred MiB.
pub const COMPUTE_OVERHEAD_BYTES: u64 = 512 << 20;

/// How the cache of keys and values stores numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvType {
    /// Four bytes each.
    F32,
    /// Two bytes each, which is what engines do unless told otherwise.
    #[default]
    F16,
    /// Blocks of 32 numbers in 34 bytes.
    Q8_0,
    /// Blocks of 32 numbers in 18 bytes.
    Q4_0,
}

/// The need of one replica, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VramNeed {
    /// All tensors, as they lie in the file.
    pub weights: u64,
    /// The keys and values of a full context.
    pub kv_cache: u64,
    /// [`COMPUTE_OVERHEAD_BYTES`].
    pub overhead: u64,
}

/// Why a need cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnknownNeed {
    /// The header does not tell something that the cache's size depends on.
    #[error("the header does not tell the {0}")]
    Missing(&'static str),
    /// The numbers of the header are beyond any machine.
    #[error("the header's numbers multiply to more bytes than any machine has")]
    Overflow,
}

impl VramNeed {
    /// The need of a replica with a context of `ctx` tokens in all its slots together.
    ///
    /// The weights need their bytes in the file. The cache holds a key and a value for each token, each layer
    /// and each head that has its own: `2 * layers * ctx * kv_heads * head_dim * bytes`, as in
    /// "Efficient Memory Management for Large Language Model Serving with `PagedAttention`" (Kwon et al.,
    /// 2023, section 3) and in llama.cpp's `llama-kv-cache.cpp`, which takes the lengths of keys and values
    /// apart and layer by layer, as is done here. It is an upper bound for models that slide a window over
    /// the context or compress their cache.
    ///
    /// # Errors
    /// When the header lacks one of these numbers, or they overflow.
    //= ORCH-3415
    pub fn estimate(meta: &ModelMeta, ctx: u32, kv_type: KvType) -> Result<Self, UnknownNeed> {
        let heads = meta.kv_heads_total.ok_or(UnknownNeed::Missing("layers and heads"))?;
        let key = meta.key_length.ok_or(UnknownNeed::Missing("length of keys"))?;
        let value = meta.value_length.ok_or(UnknownNeed::Missing("length of values"))?;
        let numbers = [heads, u64::from(key) + u64::from(value), u64::from(ctx)];
        let numbers = numbers.iter().try_fold(1_u64, |product, one| product.checked_mul(*one));
        let kv_cache = numbers.and_then(|numbers| kv_type.bytes_of(numbers));
        let need = Self {
            weights: meta.tensor_bytes,
            kv_cache: kv_cache.ok_or(UnknownNeed::Overflow)?,
            overhead: COMPUTE_OVERHEAD_BYTES,
        };
        need.checked_total().map(|_| need).ok_or(UnknownNeed::Overflow)
    }

    /// Everything together.
    pub fn total(&self) -> u64 {
        self.checked_total().unwrap_or(u64::MAX)
    }

    fn checked_total(&self) -> Option<u64> {
        self.weights.checked_add(self.kv_cache)?.checked_add(self.overhead)
    }
}

impl KvType {
    fn bytes_of(self, numbers: u64) -> Option<u64> {
        let (block, block_bytes) = match self {
            Self::F32 => (1, 4),
            Self::F16 => (1, 2),
            Self::Q8_0 => (32, 34),
            Self::Q4_0 => (32, 18),
        };
        numbers.div_ceil(block).checked_mul(block_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::ModelFormat;

    /// Llama 3.1 8B as its header tells it.
    fn llama_8b() -> ModelMeta {
        ModelMeta {
            format: ModelFormat::Gguf,
            architecture: Some("llama".to_owned()),
            parameters: 8_030_261_312,
            tensor_bytes: 4_912_898_304,
            quantization: Vec::new(),
            layers: Some(32),
            heads: Some(32),
            kv_heads: Some(8),
            kv_heads_total: Some(256),
            key_length: Some(128),
            value_length: Some(128),
            embedding: Some(4096),
            ctx_max: Some(131_072),
            vocab: Some(128_256),
        }
    }

    //= ORCH-3415 type=test
    #[test]
    fn the_cache_of_a_known_model_has_its_known_size() {
        // llama.cpp reports 1024 MiB for a context of 8192 tokens of this model.
        let need = VramNeed::estimate(&llama_8b(), 8192, KvType::F16).unwrap();
        assert_eq!(need.kv_cache, 1 << 30);
        assert_eq!(need.weights, 4_912_898_304);
        assert_eq!(need.total(), 4_912_898_304 + (1 << 30) + (512 << 20));
        for (kv_type, bytes) in [(KvType::F32, 2 << 30), (KvType::Q8_0, 544 << 20), (KvType::Q4_0, 288 << 20)]
        {
            assert_eq!(VramNeed::estimate(&llama_8b(), 8192, kv_type).unwrap().kv_cache, bytes);
        }
    }

    //= ORCH-3415 type=test
    #[test]
    fn keys_and_values_count_apart() {
        let meta = ModelMeta { key_length: Some(192), value_length: Some(128), ..llama_8b() };
        let need = VramNeed::estimate(&meta, 1, KvType::F16).unwrap();
        assert_eq!(need.kv_cache, 256 * (192 + 128) * 2);
    }

    //= ORCH-3415 type=test
    #[test]
    fn a_header_that_tells_too_little_or_too_much_gives_no_estimate() {
        let missing = |meta: ModelMeta| VramNeed::estimate(&meta, 1, KvType::F16).unwrap_err();
        let meta = ModelMeta { kv_heads_total: None, ..llama_8b() };
        assert_eq!(missing(meta), UnknownNeed::Missing("layers and heads"));
        let meta = ModelMeta { key_length: None, ..llama_8b() };
        assert_eq!(missing(meta), UnknownNeed::Missing("length of keys"));
        let meta = ModelMeta { value_length: None, ..llama_8b() };
        assert_eq!(missing(meta), UnknownNeed::Missing("length of values"));
        let meta = ModelMeta { kv_heads_total: Some(u64::MAX), ..llama_8b() };
        assert_eq!(missing(meta), UnknownNeed::Overflow);
        let meta = ModelMeta { tensor_bytes: u64::MAX, ..llama_8b() };
        assert_eq!(missing(meta), UnknownNeed::Overflow);
    }
}

//! A folder with a small model in it.

use std::fs;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A GGUF file of the Llama architecture: 2 layers, 2 of 4 heads with keys, 272 numbers in 208 bytes.
fn small_gguf() -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let number =
        |key: &str, value: u32| [&text(key)[..], &4_u32.to_le_bytes(), &value.to_le_bytes()].concat();
    let tensor = |name: &str, dimensions: &[u64], kind: u32, offset: u64| {
        let count = u32::try_from(dimensions.len()).unwrap().to_le_bytes();
        let dimensions: Vec<u8> = dimensions.iter().flat_map(|it| it.to_le_bytes()).collect();
        [&text(name)[..], &count, &dimensions, &kind.to_le_bytes(), &offset.to_le_bytes()].concat()
    };
    let keys = [
        [&text("general.architecture")[..], &8_u32.to_le_bytes(), &text("llama")].concat(),
        number("llama.block_count", 2),
        number("llama.context_length", 2048),
        number("llama.embedding_length", 64),
        number("llama.attention.head_count", 4),
        number("llama.attention.head_count_kv", 2),
    ];
    let tensors = [tensor("a", &[64, 4], 2, 0), tensor("b", &[16], 0, 160)].concat();
    let head = [&b"GGUF"[..], &3_u32.to_le_bytes(), &2_u64.to_le_bytes(), &(keys.len() as u64).to_le_bytes()];
    let mut file = [head.concat(), keys.concat(), tensors].concat();
    file.resize(file.len().next_multiple_of(32) + 224, 0x5a);
    file
}

pub(crate) fn digest_of(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A folder with one model in it.
pub(crate) struct Root {
    pub(crate) folder: TempDir,
    pub(crate) bytes: Vec<u8>,
}

impl Root {
    pub(crate) fn new() -> Self {
        let root = Self { folder: TempDir::new().unwrap(), bytes: small_gguf() };
        fs::write(root.folder.path().join("m.gguf"), &root.bytes).unwrap();
        root
    }

    pub(crate) fn path(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    pub(crate) fn model_ref(&self) -> String {
        format!("file:{}/m.gguf", self.path())
    }

    pub(crate) fn digest(&self) -> String {
        digest_of(&self.bytes)
    }
}

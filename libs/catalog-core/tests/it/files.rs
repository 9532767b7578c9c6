//! Tiny writers of model files.

/// A GGUF file in the making.
pub(crate) struct Gguf {
    version: u32,
    keys: Vec<u8>,
    key_count: u64,
    tensors: Vec<u8>,
    tensor_count: u64,
    data_bytes: usize,
}

/// The numbers of GGUF's types of values.
pub(crate) const U32: u32 = 4;
pub(crate) const STRING: u32 = 8;
pub(crate) const LIST: u32 = 9;

/// A text behind its length.
pub(crate) fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// A list of values that are written already.
pub(crate) fn list(value_type: u32, values: &[Vec<u8>]) -> Vec<u8> {
    [&value_type.to_le_bytes()[..], &(values.len() as u64).to_le_bytes(), &values.concat()].concat()
}

impl Gguf {
    pub(crate) fn new(version: u32) -> Self {
        let (keys, tensors) = (Vec::new(), Vec::new());
        Self { version, keys, key_count: 0, tensors, tensor_count: 0, data_bytes: 0 }
    }

    pub(crate) fn key(mut self, key: &str, value_type: u32, value: &[u8]) -> Self {
        self.keys.extend([&text(key)[..], &value_type.to_le_bytes(), value].concat());
        self.key_count += 1;
        self
    }

    pub(crate) fn number(self, key: &str, number: u32) -> Self {
        self.key(key, U32, &number.to_le_bytes())
    }

    /// A row of the table, for data at `offset` that ends before `data_bytes`.
    pub(crate) fn tensor(mut self, dimensions: &[u64], kind: u32, offset: u64) -> Self {
        self.tensors.extend(text(&format!("tensor.{}", self.tensor_count)));
        self.tensors.extend((u32::try_from(dimensions.len()).unwrap()).to_le_bytes());
        self.tensors.extend(dimensions.iter().flat_map(|dimension| dimension.to_le_bytes()));
        self.tensors.extend(kind.to_le_bytes());
        self.tensors.extend(offset.to_le_bytes());
        self.tensor_count += 1;
        self
    }

    pub(crate) fn data(mut self, bytes: usize) -> Self {
        self.data_bytes = bytes;
        self
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut file = [
            &b"GGUF"[..],
            &self.version.to_le_bytes(),
            &self.tensor_count.to_le_bytes(),
            &self.key_count.to_le_bytes(),
            &self.keys,
            &self.tensors,
        ]
        .concat();
        file.resize(file.len().next_multiple_of(32) + self.data_bytes, 0x5a);
        file
    }
}

/// A small model of the Llama architecture, with every key that is read.
pub(crate) fn small_gguf() -> Gguf {
    Gguf::new(3)
        .key("general.architecture", STRING, &text("llama"))
        .key("general.name", STRING, &text("small"))
        .number("general.alignment", 32)
        .number("llama.block_count", 2)
        .number("llama.context_length", 2048)
        .number("llama.embedding_length", 64)
        .number("llama.attention.head_count", 4)
        .number("llama.attention.head_count_kv", 2)
        .key("tokenizer.ggml.tokens", LIST, &list(STRING, &[text("a"), text("b"), text("")]))
        // 64 * 4 numbers in Q4_0 take 8 blocks of 18 bytes.
        .tensor(&[64, 4], 2, 0)
        // 16 numbers in F32.
        .tensor(&[16], 0, 160)
        .data(160 + 64)
}

/// A safetensors file with this table and so many bytes of data.
pub(crate) fn safetensors(table: &str, data_bytes: usize) -> Vec<u8> {
    let mut file = text(table);
    file.resize(file.len() + data_bytes, 0x5a);
    file
}

/// A small model: 8 numbers in F16, 4 in I8.
pub(crate) fn small_safetensors() -> Vec<u8> {
    let table = r#"{"__metadata__":{"format":"pt"},
        "a":{"dtype":"F16","shape":[2,4],"data_offsets":[4,20]},
        "b":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}}  "#;
    safetensors(table, 20)
}

//! What the header of a model file tells: shape, size, and what a replica of it needs.
//!
//! The file may come from anybody. Only its header is read, no length in it is believed before it was held
//! against the bytes that are there, and nothing is kept but a few numbers.

mod ggml_type;
mod gguf;
mod safetensors;
mod scan;

use std::{
    collections::BTreeMap,
    io::{self, BufReader, Read},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::scan::Scan;

/// No more bytes of a file are read in search of its header's end.
pub const HEADER_BYTES_MAX: u64 = 64 << 20;
/// No more tensors may be in one file.
const TENSORS_MAX: u64 = 1_000_000;

/// The format of a model file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelFormat {
    /// The format of ggml and llama.cpp, in version 2 or 3.
    Gguf,
    /// The format of Hugging Face, which tells tensors and nothing about the model.
    Safetensors,
}

/// What a header tells. What it does not tell is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelMeta {
    /// The file's format.
    pub format: ModelFormat,
    /// The model's architecture, such as `llama`.
    pub architecture: Option<String>,
    /// The numbers in all tensors together.
    pub parameters: u64,
    /// The bytes of all tensors together, as they lie in the file.
    pub tensor_bytes: u64,
    /// How many bytes are stored as which type, the most first.
    #[serde(default)]
    pub quantization: Vec<TypeShare>,
    /// Blocks of attention and feed-forward.
    pub layers: Option<u32>,
    /// Heads of attention, in the layer that has most.
    pub heads: Option<u32>,
    /// Heads that have keys and values of their own, in the layer that has most.
    pub kv_heads: Option<u32>,
    /// Heads that have keys and values of their own, in all layers together.
    pub kv_heads_total: Option<u64>,
    /// Numbers in the key of one head.
    pub key_length: Option<u32>,
    /// Numbers in the value of one head.
    pub value_length: Option<u32>,
    /// Numbers that stand for one token between layers.
    pub embedding: Option<u32>,
    /// The longest context that the model was trained for, in tokens.
    pub ctx_max: Option<u32>,
    /// Different tokens.
    pub vocab: Option<u32>,
}

/// How much of a model is stored as one type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeShare {
    /// The type, as its format calls it.
    pub type_name: String,
    /// The bytes of all tensors of the type.
    pub bytes: u64,
}

/// Why a header tells nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnreadableHeader {
    /// It begins like no format that is known here.
    #[error("the file is neither GGUF nor safetensors")]
    UnknownFormat,
    /// It is GGUF of a version that is not known here, or of a big-endian machine.
    #[error("version {0} of GGUF cannot be read")]
    Version(u32),
    /// The file ends before what its header promises.
    #[error("the file ends before what its header promises")]
    Truncated,
    /// The header does not end in time.
    #[error("the header has more than {HEADER_BYTES_MAX} bytes")]
    TooLarge,
    /// There are more of something than any model has.
    #[error("the header counts {count} {what}, where there may be {max}")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// How many the header promises.
        count: u64,
        /// How many there may be.
        max: u64,
    },
    /// A value has a type that the format does not know.
    #[error("a value of the header has the unknown type {0}")]
    ValueType(u32),
    /// Lists within lists, deeper than any model has them.
    #[error("the header nests its lists too deeply")]
    Nesting,
    /// A name is no UTF-8.
    #[error("a name in the header is no UTF-8")]
    Text,
    /// A tensor has a type that is not known here.
    #[error("a tensor has the unknown type {0}")]
    TensorType(String),
    /// A tensor contradicts itself or the others.
    #[error("a tensor {0}")]
    Tensor(&'static str),
    /// The alignment of tensors is no power of two.
    #[error("the alignment {0} of tensors is no power of two")]
    Alignment(u64),
    /// The table of tensors is no such table.
    #[error("the table of tensors is malformed near its byte {0}")]
    Table(usize),
    /// The system could not read.
    #[error("the header cannot be read: {}", io::Error::from(*.0))]
    Io(io::ErrorKind),
}

/// Reads the header of a model file of `size_bytes` from its beginning.
///
/// # Errors
/// When the header is of no known format, contradicts itself, or promises more than the file holds.
pub fn read_header<R: Read>(reader: R, size_bytes: u64) -> Result<ModelMeta, UnreadableHeader> {
    let mut scan = Scan::new(BufReader::new(reader), size_bytes);
    if size_bytes < 8 {
        return Err(UnreadableHeader::UnknownFormat);
    }
    match scan.bytes::<8>()? {
        [b'G', b'G', b'U', b'F', version @ ..] => gguf::read(scan, u32::from_le_bytes(version)),
        length => safetensors::read(scan, u64::from_le_bytes(length)),
    }
}

/// Sums of the tensors seen so far.
#[derive(Debug, Default)]
struct Tally {
    parameters: u64,
    bytes: u64,
    by_type: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn add(&mut self, type_name: &'static str, parameters: u64, bytes: u64) -> Result<(), UnreadableHeader> {
        let sum = |a: u64, b: u64| a.checked_add(b).ok_or(UnreadableHeader::Tensor(TOO_LARGE));
        self.parameters = sum(self.parameters, parameters)?;
        self.bytes = sum(self.bytes, bytes)?;
        // A part is never more than the whole, which was just found to fit.
        *self.by_type.entry(type_name).or_default() += bytes;
        Ok(())
    }

    fn into_meta(self, format: ModelFormat) -> ModelMeta {
        let share = |(name, bytes): (&&str, &u64)| TypeShare { type_name: (*name).to_owned(), bytes: *bytes };
        let mut quantization: Vec<_> = self.by_type.iter().map(share).collect();
        quantization.sort_by_key(|share| std::cmp::Reverse(share.bytes));
        ModelMeta {
            format,
            architecture: None,
            parameters: self.parameters,
            tensor_bytes: self.bytes,
            quantization,
            layers: None,
            heads: None,
            kv_heads: None,
            kv_heads_total: None,
            key_length: None,
            value_length: None,
            embedding: None,
            ctx_max: None,
            vocab: None,
        }
    }
}

const TOO_LARGE: &str = "is larger than any file";

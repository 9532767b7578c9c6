//! GGUF: keys with values, then a table of tensors, then their data.
//!
//! The layout is that of the GGUF specification in ggml's `docs/gguf.md`, for versions 2 and 3 of
//! little-endian machines. Tokens, templates and everything else that is long is passed over.

use std::{collections::BTreeMap, io::BufRead};

use super::{
    ModelFormat, ModelMeta, TENSORS_MAX, TOO_LARGE, Tally, UnreadableHeader, ggml_type::ggml_type, scan::Scan,
};

const KEYS_MAX: u64 = 65_536;
const NAME_BYTES_MAX: u64 = 65_535;
const ARCHITECTURE_BYTES_MAX: u64 = 256;
const NESTING_MAX: u32 = 4;
const DIMENSIONS_MAX: u32 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;
/// The fewest bytes of a key with its value, of a tensor in the table, and of a text and a list in a list.
const KEY_BYTES_MIN: u64 = 8 + 4 + 1;
const TENSOR_BYTES_MIN: u64 = 8 + 4 + 4 + 8;
const TEXT_BYTES_MIN: u64 = 8;
const LIST_BYTES_MIN: u64 = 4 + 8;
/// The keys of which the number is kept, behind the name of the architecture.
const WANTED: &[&str] = &[
    "block_count",
    "context_length",
    "embedding_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "vocab_size",
];

/// Reads everything behind the magic and the version.
pub(super) fn read<R: BufRead>(mut scan: Scan<R>, version: u32) -> Result<ModelMeta, UnreadableHeader> {
    if !matches!(version, 2 | 3) {
        return Err(UnreadableHeader::Version(version));
    }
    let (tensors, keys) = (scan.u64()?, scan.u64()?);
    at_most("tensors", tensors, TENSORS_MAX)?;
    at_most("keys", keys, KEYS_MAX)?;
    scan.expect_room(keys, KEY_BYTES_MIN)?;
    let mut facts = Facts::default();
    for _ in 0..keys {
        read_key(&mut scan, &mut facts)?;
    }
    let alignment = facts.numbers.get("general.alignment").map_or(DEFAULT_ALIGNMENT, |it| it.largest);
    if !alignment.is_power_of_two() {
        return Err(UnreadableHeader::Alignment(alignment));
    }
    scan.expect_room(tensors, TENSOR_BYTES_MIN)?;
    let (mut tally, mut end) = (Tally::default(), 0);
    for _ in 0..tensors {
        end = read_tensor(&mut scan, alignment, &mut tally)?.max(end);
    }
    check_fit(&scan, alignment, end, tally.bytes)?;
    Ok(facts.into_meta(tally))
}

fn at_most(what: &'static str, count: u64, max: u64) -> Result<(), UnreadableHeader> {
    if count > max { Err(UnreadableHeader::TooMany { what, count, max }) } else { Ok(()) }
}

/// What was found among the keys.
#[derive(Default)]
struct Facts {
    architecture: Option<String>,
    numbers: BTreeMap<String, Numbers>,
    tokens: Option<u64>,
}

/// A number, or a list of numbers, one for each layer.
#[derive(Debug, Clone, Copy, Default)]
struct Numbers {
    largest: u64,
    sum: u64,
    is_list: bool,
}

impl Facts {
    fn into_meta(self, tally: Tally) -> ModelMeta {
        let architecture = self.architecture.as_deref().unwrap_or_default();
        let numbers = |key: &str| self.numbers.get(&format!("{architecture}.{key}")).copied();
        let number = |key: &str| numbers(key).and_then(|it| u32::try_from(it.largest).ok());
        let (layers, heads, embedding) =
            (number("block_count"), number("attention.head_count"), number("embedding_length"));
        // Models without the key have keys and values for each head.
        let kv = numbers("attention.head_count_kv").or_else(|| numbers("attention.head_count"));
        let kv_heads_total =
            kv.and_then(
                |kv| {
                    if kv.is_list { Some(kv.sum) } else { kv.largest.checked_mul(u64::from(layers?)) }
                },
            );
        let per_head = embedding.zip(heads).and_then(|(embedding, heads)| embedding.checked_div(heads));
        let vocab = number("vocab_size").or_else(|| self.tokens.and_then(|count| u32::try_from(count).ok()));
        ModelMeta {
            layers,
            heads,
            kv_heads: kv.and_then(|kv| u32::try_from(kv.largest).ok()),
            kv_heads_total,
            key_length: number("attention.key_length").or(per_head),
            value_length: number("attention.value_length").or(per_head),
            embedding,
            ctx_max: number("context_length"),
            vocab,
            architecture: self.architecture,
            ..tally.into_meta(ModelFormat::Gguf)
        }
    }
}

fn read_key<R: BufRead>(scan: &mut Scan<R>, facts: &mut Facts) -> Result<(), UnreadableHeader> {
    let key = scan.text("bytes of a key", NAME_BYTES_MAX)?;
    let value_type = scan.u32()?;
    match (key.as_str(), value_type) {
        ("general.architecture", STRING) => {
            let name = scan.text("bytes of the architecture", ARCHITECTURE_BYTES_MAX)?;
            facts.architecture = Some(name);
        }
        ("tokenizer.ggml.tokens", LIST) => facts.tokens = Some(skip_list(scan, NESTING_MAX)?),
        (_, LIST) if is_wanted(&key) => {
            if let Some(numbers) = read_numbers(scan)? {
                facts.numbers.insert(key, numbers);
            }
        }
        (_, STRING) => scan.skip_text()?,
        (_, LIST) => {
            skip_list(scan, NESTING_MAX)?;
        }
        _ => {
            let number = read_number(scan, value_type)?;
            if let Some(number) = number.filter(|_| is_wanted(&key)) {
                facts.numbers.insert(key, Numbers { largest: number, sum: number, is_list: false });
            }
        }
    }
    Ok(())
}

fn is_wanted(key: &str) -> bool {
    let behind = key.split_once('.').map(|(_, behind)| behind);
    key == "general.alignment" || behind.is_some_and(|behind| WANTED.contains(&behind))
}

const STRING: u32 = 8;
const LIST: u32 = 9;

/// The bytes of a value whose type has always the same.
fn bytes_of(value_type: u32) -> Option<u64> {
    match value_type {
        // u8, i8, bool.
        0 | 1 | 7 => Some(1),
        // u16, i16.
        2 | 3 => Some(2),
        // u32, i32, f32.
        4..=6 => Some(4),
        // u64, i64, f64.
        10..=12 => Some(8),
        _ => None,
    }
}

/// A value that is neither text nor list; `None` when it is no whole number from 0.
fn read_number<R: BufRead>(scan: &mut Scan<R>, value_type: u32) -> Result<Option<u64>, UnreadableHeader> {
    let number = match value_type {
        0 => u64::from(u8::from_le_bytes(scan.bytes()?)),
        2 => u64::from(u16::from_le_bytes(scan.bytes()?)),
        4 => u64::from(scan.u32()?),
        10 => scan.u64()?,
        1 => return Ok(u64::try_from(i8::from_le_bytes(scan.bytes()?)).ok()),
        3 => return Ok(u64::try_from(i16::from_le_bytes(scan.bytes()?)).ok()),
        5 => return Ok(u64::try_from(i32::from_le_bytes(scan.bytes()?)).ok()),
        11 => return Ok(u64::try_from(i64::from_le_bytes(scan.bytes()?)).ok()),
        other => {
            scan.skip(bytes_of(other).ok_or(UnreadableHeader::ValueType(other))?)?;
            return Ok(None);
        }
    };
    Ok(Some(number))
}

/// A list of numbers; `None` when something else is in it.
fn read_numbers<R: BufRead>(scan: &mut Scan<R>) -> Result<Option<Numbers>, UnreadableHeader> {
    let (value_type, count) = (scan.u32()?, scan.u64()?);
    let Some(bytes) = bytes_of(value_type) else {
        skip_values(scan, value_type, count, NESTING_MAX)?;
        return Ok(None);
    };
    scan.expect_room(count, bytes)?;
    let mut numbers = Some(Numbers { is_list: true, ..Numbers::default() });
    for _ in 0..count {
        let number = read_number(scan, value_type)?;
        numbers = numbers.zip(number).and_then(|(it, number)| {
            let sum = it.sum.checked_add(number)?;
            Some(Numbers { largest: it.largest.max(number), sum, ..it })
        });
    }
    Ok(numbers)
}

/// Passes over a list and tells how long it is.
fn skip_list<R: BufRead>(scan: &mut Scan<R>, depth: u32) -> Result<u64, UnreadableHeader> {
    let (value_type, count) = (scan.u32()?, scan.u64()?);
    skip_values(scan, value_type, count, depth)?;
    Ok(count)
}

fn skip_values<R: BufRead>(
    scan: &mut Scan<R>,
    value_type: u32,
    count: u64,
    depth: u32,
) -> Result<(), UnreadableHeader> {
    match value_type {
        STRING => {
            scan.expect_room(count, TEXT_BYTES_MIN)?;
            (0..count).try_for_each(|_| scan.skip_text())
        }
        LIST => {
            let depth = depth.checked_sub(1).ok_or(UnreadableHeader::Nesting)?;
            scan.expect_room(count, LIST_BYTES_MIN)?;
            (0..count).try_for_each(|_| skip_list(scan, depth).map(|_| ()))
        }
        other => {
            let bytes = bytes_of(other).ok_or(UnreadableHeader::ValueType(other))?;
            scan.skip(count.checked_mul(bytes).ok_or(UnreadableHeader::Truncated)?)
        }
    }
}

/// Reads a row of the table and tells where the tensor ends, counted from the beginning of the data.
fn read_tensor<R: BufRead>(
    scan: &mut Scan<R>,
    alignment: u64,
    tally: &mut Tally,
) -> Result<u64, UnreadableHeader> {
    scan.skip_text()?;
    let count = scan.u32()?;
    at_most("dimensions", count.into(), DIMENSIONS_MAX.into())?;
    let mut dimensions = [1_u64; DIMENSIONS_MAX as usize];
    for dimension in dimensions.iter_mut().take(count as usize) {
        *dimension = scan.u64()?;
    }
    let number = scan.u32()?;
    let offset = scan.u64()?;
    let kind = ggml_type(number).ok_or_else(|| UnreadableHeader::TensorType(number.to_string()))?;
    if !dimensions[0].is_multiple_of(kind.block) {
        return Err(UnreadableHeader::Tensor("has rows that are no whole blocks of its type"));
    }
    if !offset.is_multiple_of(alignment) {
        return Err(UnreadableHeader::Tensor("is not aligned"));
    }
    let product = dimensions.iter().try_fold(1_u64, |product, one| product.checked_mul(*one));
    let elements = product.ok_or(UnreadableHeader::Tensor(TOO_LARGE))?;
    let bytes = (elements / kind.block).checked_mul(kind.block_bytes);
    let bytes = bytes.ok_or(UnreadableHeader::Tensor(TOO_LARGE))?;
    tally.add(kind.name, elements, bytes)?;
    offset.checked_add(bytes).ok_or(UnreadableHeader::Truncated)
}

/// Whether the data of all tensors lies within the file, beside each other.
fn check_fit<R: BufRead>(
    scan: &Scan<R>,
    alignment: u64,
    end: u64,
    bytes: u64,
) -> Result<(), UnreadableHeader> {
    if end == 0 {
        return Ok(());
    }
    let start = scan.at().checked_next_multiple_of(alignment);
    let room = start.and_then(|start| scan.size().checked_sub(start));
    match room.filter(|room| end <= *room) {
        None => Err(UnreadableHeader::Truncated),
        Some(room) if bytes > room => Err(UnreadableHeader::Tensor("lies over another one")),
        Some(_) => Ok(()),
    }
}

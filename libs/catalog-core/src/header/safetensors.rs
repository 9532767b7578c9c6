//! Safetensors: the length of a JSON table, the table of tensors, then their data.
//!
//! As the format demands, the data must be covered by tensors without gaps and overlaps, so a file that was
//! cut, or that has something behind its data, is found out.

use std::{
    fmt,
    io::{BufRead, Read},
};

use serde::{
    Deserialize, Deserializer as _,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    HEADER_BYTES_MAX, ModelFormat, ModelMeta, TENSORS_MAX, TOO_LARGE, Tally, UnreadableHeader,
    scan::{Scan, because},
};

const LENGTH_BYTES: u64 = 8;
const BITS: u64 = 8;
/// The types of tensors, and the bits of one number of each.
const TYPES: &[(&str, u64)] = &[
    ("BOOL", 8),
    ("F4", 4),
    ("F6_E2M3", 6),
    ("F6_E3M2", 6),
    ("U8", 8),
    ("I8", 8),
    ("F8_E5M2", 8),
    ("F8_E4M3", 8),
    ("F8_E8M0", 8),
    ("I16", 16),
    ("U16", 16),
    ("F16", 16),
    ("BF16", 16),
    ("I32", 32),
    ("U32", 32),
    ("F32", 32),
    ("F64", 64),
    ("I64", 64),
    ("U64", 64),
    ("C64", 64),
];

/// Reads everything behind the length of the table.
pub(super) fn read<R: BufRead>(mut scan: Scan<R>, length: u64) -> Result<ModelMeta, UnreadableHeader> {
    if !(2..=HEADER_BYTES_MAX - LENGTH_BYTES).contains(&length) || scan.size() == LENGTH_BYTES {
        return Err(UnreadableHeader::UnknownFormat);
    }
    let [first] = scan.bytes()?;
    if first != b'{' {
        return Err(UnreadableHeader::UnknownFormat);
    }
    let data = scan.size().checked_sub(LENGTH_BYTES + length).ok_or(UnreadableHeader::Truncated)?;
    let first = [first];
    let rest = first.chain(scan.into_rest().take(length - 1));
    let mut json = serde_json::Deserializer::from_reader(rest);
    let rows = json.deserialize_map(Rows).and_then(|rows| json.end().map(|()| rows));
    let rows = rows.map_err(|error| match error.io_error_kind() {
        Some(kind) => because(&kind.into()),
        None => UnreadableHeader::Table(error.column()),
    })?;
    sum(rows, data)
}

/// A row of the table, without the tensor's name.
#[derive(Deserialize)]
struct Row {
    dtype: Dtype,
    #[serde(rename = "shape")]
    elements: Elements,
    data_offsets: (u64, u64),
}

/// A type, or the beginning of a name that none has.
#[derive(Deserialize)]
#[serde(from = "String")]
enum Dtype {
    /// Its place in [`TYPES`].
    Known(usize),
    Unknown(String),
}

impl From<String> for Dtype {
    fn from(dtype: String) -> Self {
        match TYPES.iter().position(|(name, _)| *name == dtype) {
            Some(place) => Self::Known(place),
            None => Self::Unknown(dtype.chars().filter(char::is_ascii_graphic).take(16).collect()),
        }
    }
}

/// The product of a shape, of which nothing else is kept: it may be as long as the table.
struct Elements(u64);

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Shape).map(Self)
    }
}

struct Shape;

impl<'de> Visitor<'de> for Shape {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the shape of a tensor")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut dimensions: A) -> Result<u64, A::Error> {
        let mut product = 1_u64;
        while let Some(dimension) = dimensions.next_element()? {
            product = product.checked_mul(dimension).ok_or_else(|| de::Error::custom(TOO_LARGE))?;
        }
        Ok(product)
    }
}

struct Rows;

impl<'de> Visitor<'de> for Rows {
    type Value = Vec<Row>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Row>, A::Error> {
        let mut rows = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if rows.len() as u64 == TENSORS_MAX {
                return Err(de::Error::custom("there are too many tensors"));
            }
            rows.push(map.next_value()?);
        }
        Ok(rows)
    }
}

fn sum(mut rows: Vec<Row>, data: u64) -> Result<ModelMeta, UnreadableHeader> {
    rows.sort_by_key(|row| row.data_offsets);
    let (mut tally, mut end) = (Tally::default(), 0);
    for row in &rows {
        let (name, bits) = match &row.dtype {
            Dtype::Known(place) => TYPES[*place],
            Dtype::Unknown(name) => return Err(UnreadableHeader::TensorType(name.clone())),
        };
        let (from, to) = row.data_offsets;
        if from != end {
            return Err(UnreadableHeader::Tensor("leaves a gap to another one, or lies over it"));
        }
        let Elements(elements) = row.elements;
        let bits = elements.checked_mul(bits).ok_or(UnreadableHeader::Tensor(TOO_LARGE))?;
        if !bits.is_multiple_of(BITS) || Some(bits / BITS) != to.checked_sub(from) {
            return Err(UnreadableHeader::Tensor("has other bytes than its shape needs"));
        }
        tally.add(name, elements, bits / BITS)?;
        end = to;
    }
    match end.cmp(&data) {
        std::cmp::Ordering::Greater => Err(UnreadableHeader::Truncated),
        std::cmp::Ordering::Less => Err(UnreadableHeader::Tensor("is missing: data is left over")),
        std::cmp::Ordering::Equal => Ok(tally.into_meta(ModelFormat::Safetensors)),
    }
}

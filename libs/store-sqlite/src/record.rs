//! Checksums: over the key and the content of each record, so that one cannot stand for another.

use crc32fast::Hasher;
use store_api::Shelf;

/// What kind of record it is, so that equal bytes of two kinds do not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Job = 1,
    Body = 2,
    Segment = 3,
    Record = 4,
}

/// The checksum of a record: its numbers, then its bytes.
pub(crate) fn sum(kind: Kind, numbers: &[i64], texts: &[Option<&[u8]>]) -> i64 {
    let mut hasher = Hasher::new();
    hasher.update(&[kind as u8]);
    for number in numbers {
        hasher.update(&number.to_le_bytes());
    }
    for text in texts {
        // Lengths keep two texts from being taken for two others with the same bytes in a row.
        let length = text.map_or(u64::MAX, |text| text.len() as u64);
        hasher.update(&length.to_le_bytes());
        hasher.update(text.unwrap_or_default());
    }
    i64::from(hasher.finalize())
}

/// How a shelf is called in the file.
pub(crate) fn shelf_number(shelf: Shelf) -> i64 {
    match shelf {
        Shelf::Sessions => 1,
        Shelf::Models => 2,
        Shelf::Pools => 3,
        Shelf::Nodes => 4,
    }
}

/// SQLite's integers are signed; none of ours comes near to the sign.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Back from a signed integer; a negative one was never written.
pub(crate) fn unsigned(number: i64) -> Option<u64> {
    u64::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_matches_neither_another_kind_nor_another_cut_nor_another_key() {
        let (a, b): (&[u8], &[u8]) = (b"ab", b"c");
        let all = [
            sum(Kind::Job, &[1, 2], &[Some(a), Some(b)]),
            sum(Kind::Body, &[1, 2], &[Some(a), Some(b)]),
            sum(Kind::Job, &[2, 1], &[Some(a), Some(b)]),
            sum(Kind::Job, &[1, 2], &[Some(b"a"), Some(b"bc")]),
            sum(Kind::Job, &[1, 2], &[Some(b"abc"), None]),
            sum(Kind::Job, &[1, 2], &[Some(b"abc"), Some(b"")]),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(all[index + 1..].iter().all(|other| other != one), "{index}");
        }
    }
}

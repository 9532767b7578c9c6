//! How one artifact lies in one file.
//!
//! All numbers are little-endian: 8 bytes of magic, a version (u32), the length of the description (u32),
//! the length of the content (u64), the description as JSON, the CRC-32 of everything so far (u32), and
//! then the content. The checksum guards the head; the content is guarded by the file's name.

use orchestrator_core::JobId;
use serde::{Deserialize, Serialize};

use crate::{
    error::Damage,
    id::ArtifactId,
    meta::{JOBS_MAX, Kind, MediaType, Meta, Name, WallMillis},
};

const MAGIC: [u8; 8] = *b"LLORCART";
const VERSION: u32 = 1;
/// Magic, version and the two lengths.
const PREFIX_BYTES: usize = 24;
const CHECKSUM_BYTES: usize = 4;
/// Labels and jobs at their longest stay below this.
const RECORD_BYTES_MAX: usize = 4096;
/// No head is longer.
pub(crate) const HEAD_BYTES_MAX: usize = PREFIX_BYTES + RECORD_BYTES_MAX + CHECKSUM_BYTES;

/// The description, as the file writes it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    kind: Kind,
    media_type: Option<MediaType>,
    name: Option<Name>,
    created_ms: WallMillis,
    jobs: Vec<String>,
}

/// The head of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) meta: Meta,
    /// Where the content begins.
    pub(crate) bytes: usize,
}

impl Head {
    /// How long the whole file must be.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.meta.bytes.saturating_add(self.bytes as u64)
    }
}

/// The head for an artifact.
pub(crate) fn encode(meta: &Meta) -> Result<Vec<u8>, Damage> {
    let record = Record {
        kind: meta.kind,
        media_type: meta.media_type.clone(),
        name: meta.name.clone(),
        created_ms: meta.created,
        jobs: meta.jobs.iter().map(JobId::to_string).collect(),
    };
    let record = serde_json::to_vec(&record).map_err(|_unwritable| Damage::Meta)?;
    let record_bytes = u32::try_from(record.len()).map_err(|_long| Damage::Meta)?;
    if record.len() > RECORD_BYTES_MAX {
        return Err(Damage::Meta);
    }
    let mut head = Vec::with_capacity(PREFIX_BYTES + record.len() + CHECKSUM_BYTES);
    head.extend_from_slice(&MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&record_bytes.to_le_bytes());
    head.extend_from_slice(&meta.bytes.to_le_bytes());
    head.extend_from_slice(&record);
    head.extend_from_slice(&crc32fast::hash(&head).to_le_bytes());
    Ok(head)
}

/// Reads the head of the artifact `id` from the first bytes of its file.
pub(crate) fn decode(id: ArtifactId, start: &[u8]) -> Result<Head, Damage> {
    let (magic, rest) = start.split_first_chunk::<8>().ok_or(Damage::Length)?;
    if *magic != MAGIC {
        return Err(Damage::Magic);
    }
    let (version, rest) = rest.split_first_chunk::<4>().ok_or(Damage::Length)?;
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(Damage::Version(version));
    }
    let (record_bytes, rest) = rest.split_first_chunk::<4>().ok_or(Damage::Length)?;
    let (bytes, rest) = rest.split_first_chunk::<8>().ok_or(Damage::Length)?;
    let record_bytes = usize::try_from(u32::from_le_bytes(*record_bytes)).unwrap_or(usize::MAX);
    if record_bytes > RECORD_BYTES_MAX {
        return Err(Damage::Length);
    }
    let (record, rest) = rest.split_at_checked(record_bytes).ok_or(Damage::Length)?;
    let (checksum, _) = rest.split_first_chunk::<CHECKSUM_BYTES>().ok_or(Damage::Length)?;
    let guarded = start.get(..PREFIX_BYTES + record_bytes).ok_or(Damage::Length)?;
    if crc32fast::hash(guarded) != u32::from_le_bytes(*checksum) {
        return Err(Damage::Checksum);
    }
    let record: Record = serde_json::from_slice(record).map_err(|_no_record| Damage::Meta)?;
    let meta = described(id, u64::from_le_bytes(*bytes), record)?;
    Ok(Head { meta, bytes: PREFIX_BYTES + record_bytes + CHECKSUM_BYTES })
}

fn described(id: ArtifactId, bytes: u64, record: Record) -> Result<Meta, Damage> {
    if record.jobs.len() > JOBS_MAX {
        return Err(Damage::Meta);
    }
    let jobs = record.jobs.iter().map(|job| job.parse()).collect::<Result<_, _>>();
    Ok(Meta {
        id,
        kind: record.kind,
        media_type: record.media_type,
        name: record.name,
        created: record.created_ms,
        jobs: jobs.map_err(|_no_job| Damage::Meta)?,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn meta(jobs: u128) -> Meta {
        Meta {
            id: ArtifactId::of(b"x"),
            kind: Kind::Diff,
            media_type: Some(MediaType::try_from(format!("a/{}", "\"".repeat(125))).unwrap()),
            name: Some(Name::try_from("\\".repeat(255)).unwrap()),
            created: WallMillis(u64::MAX),
            jobs: (0..jobs).map(|job| JobId::from_u128(u128::MAX - job)).collect(),
            bytes: 1,
        }
    }

    #[test]
    fn the_longest_head_is_read_back() {
        let meta = meta(JOBS_MAX as u128);
        let bytes = encode(&meta).unwrap();
        assert!(bytes.len() <= HEAD_BYTES_MAX);
        assert_eq!(decode(meta.id, &bytes), Ok(Head { meta, bytes: bytes.len() }));
    }

    #[test]
    fn a_head_without_its_end_is_damaged() {
        let bytes = encode(&meta(1)).unwrap();
        for end in 0..bytes.len() {
            assert_eq!(decode(meta(1).id, &bytes[..end]), Err(Damage::Length), "{end}");
        }
    }

    #[test]
    fn a_head_with_any_bit_flipped_is_damaged() {
        let good = encode(&meta(1)).unwrap();
        for at in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(decode(meta(1).id, &bad).is_err(), "bit {at}");
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut newer = encode(&meta(0)).unwrap();
        newer[8] = 2;
        assert_eq!(decode(meta(0).id, &newer), Err(Damage::Version(2)));
    }

    #[test]
    fn an_intact_head_that_describes_nothing_is_damaged() {
        for record in [&b"{}"[..], b"", b"{\"kind\":\"plan\",\"media_type\":null,\"name\":null}"] {
            let mut head = MAGIC.to_vec();
            head.extend_from_slice(&VERSION.to_le_bytes());
            head.extend_from_slice(&u32::try_from(record.len()).unwrap().to_le_bytes());
            head.extend_from_slice(&0_u64.to_le_bytes());
            head.extend_from_slice(record);
            head.extend_from_slice(&crc32fast::hash(&head).to_le_bytes());
            assert_eq!(decode(meta(0).id, &head), Err(Damage::Meta));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, with_magic: bool) {
            let mut start = if with_magic { [&MAGIC[..], &VERSION.to_le_bytes()].concat() } else { Vec::new() };
            start.extend(bytes);
            prop_assert!(decode(meta(0).id, &start).is_err());
        }
    }
}

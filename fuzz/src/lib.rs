//! What several fuzz targets share: cutting bytes as a network would, and making long inputs out of short ones.
//!
//! A target's input is raw bytes wherever a file or a peer would send raw bytes, so that its seeds are samples that
//! can be read, and a change of one byte in the input is a change of one byte in what is sent.

use orchestratord::fuzzing::{Refused, Server};

/// A server with nothing outside of it: its engine is the built-in mock, and it keeps nothing.
///
/// # Panics
/// When it does not start.
#[must_use]
pub fn without_network() -> Server {
    let settings = [("ORCHD_STORE_KIND", "memory"), ("ORCHD_JOBS_RETAINED_MAX", "1000")];
    Server::start(&settings).expect("the server starts")
}

/// A refusal says in one line which field it is about, and repeats no more of what the client sent than a line.
///
/// # Panics
/// When it does not.
pub fn must_name_a_field(refused: &Refused) {
    let message = &refused.message;
    assert!(!message.is_empty() && !message.contains(char::is_control), "{message:?}");
    assert!(message.len() < 2_048, "longer than anybody reads: {message:?}");
    match &refused.field {
        Some(field) => {
            assert!(!field.is_empty() && message.starts_with(field.as_str()), "{field:?}: {message:?}");
        }
        // Only what is no object at all, or has a field that cannot be named, has none.
        None => {
            assert!(message.starts_with("the body ") || message.starts_with("deadline_ms: "), "{message:?}");
        }
    }
}

/// About how many parts an input is cut into at most.
const PARTS_MAX: usize = 4_096;

/// A small generator of numbers, decided by its seed.
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// The numbers of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number from 1 to `most`.
    pub fn up_to(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        1 + usize::try_from(self.0 >> 33).unwrap_or(0) % most.max(1)
    }
}

/// Takes the first bytes of an input as a number; the rest is what the number is about.
#[must_use]
pub fn seeded(data: &[u8]) -> Option<(u64, &[u8])> {
    let (head, rest) = data.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*head).into(), rest))
}

/// The bytes in parts, cut where the seed says. The lowest bits choose how long the parts are.
#[must_use]
pub fn parts(seed: u64, bytes: &[u8]) -> Vec<&[u8]> {
    let most = [1, 2, 3, 7, 40, 300, 5_000, 100_000][usize::try_from(seed % 8).unwrap_or(0)];
    // Long inputs in single bytes would take most of the time, and short ones show the same.
    let most = most.max(bytes.len() / PARTS_MAX);
    let mut numbers = Numbers::new(seed);
    let (mut parts, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let (part, behind) = rest.split_at(numbers.up_to(most).min(rest.len()));
        parts.push(part);
        rest = behind;
    }
    parts
}

/// Makes long runs out of short inputs: `0xFF`, a byte and a count stand for that byte so many thousand times.
///
/// Limits of hundreds of kilobytes are met by inputs that a fuzzer can still change with sense.
#[must_use]
pub fn stretched(bytes: &[u8], limit: usize) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if let (0xFF, [byte, count, behind @ ..]) = (first, behind) {
            let room = limit.saturating_sub(out.len());
            out.resize(out.len() + room.min(usize::from(*count) * 2_048), *byte);
            rest = behind;
        } else {
            out.push(first);
        }
    }
    out
}

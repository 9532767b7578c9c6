//! The write-ahead log as it lies on the disk: whether a part of it is missing that had been whole.
//!
//! SQLite reads the log up to the first frame that does not fit and drops the rest in silence. That is right
//! for a commit that a power cut tore, which nobody was told of. It is wrong for a flipped bit in the middle,
//! behind which lie commits that were answered. A commit is only begun when the one before is on the disk, so
//! a bad frame with two commits of the same log behind it is damage.
//!
//! The format is that of <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::{
    fs::File,
    io::{self, BufReader, ErrorKind, Read},
    path::Path,
};

/// The log beside [`crate::open::FILE`].
pub(crate) const FILE: &str = "jobs.db-wal";

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The page sizes that SQLite knows.
const PAGE_SIZES: std::ops::RangeInclusive<usize> = 512..=65_536;

/// What the log looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WalState {
    /// There is none, or all of it fits.
    Whole,
    /// It ends in so many bytes of a commit that was not finished.
    Unfinished(u64),
    /// Something that was whole is not any more.
    Damaged(String),
}

/// Looks at the log in a folder.
//= ORCH-3402
pub(crate) fn look(folder: &Path) -> io::Result<WalState> {
    match File::open(folder.join(FILE)) {
        Ok(file) => read(&mut BufReader::with_capacity(1 << 20, file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(WalState::Whole),
        Err(error) => Err(error),
    }
}

fn read(log: &mut dyn Read) -> io::Result<WalState> {
    let mut header = [0; HEADER];
    match read_up_to(log, &mut header)? {
        0 => return Ok(WalState::Whole),
        HEADER => {}
        short => return Ok(WalState::Unfinished(short as u64)),
    }
    let Some(mut frames) = Frames::of(&header) else {
        return Ok(WalState::Damaged("the header of the log is not as it was written".to_owned()));
    };
    let mut frame = vec![0; FRAME_HEADER + frames.page];
    let mut at = HEADER as u64;
    let mut tail: Option<Tail> = None;
    while read_up_to(log, &mut frame)? == frame.len() {
        if tail.is_none() && !frames.fits(&frame) {
            tail = Some(Tail { from: at, until: at, commits: 0 });
        }
        at += frame.len() as u64;
        // Frames with other salts are of an earlier round of the log: they lie behind its end and mean nothing.
        if let Some(tail) = &mut tail
            && frame[8..16] == frames.salts
        {
            tail.until = at;
            tail.commits += u32::from(be(&frame, 4) != 0);
        }
    }
    Ok(tail.map_or(WalState::Whole, Tail::verdict))
}

/// What lies behind the last frame that fits.
struct Tail {
    from: u64,
    /// Where the last frame of this log ends.
    until: u64,
    commits: u32,
}

impl Tail {
    fn verdict(self) -> WalState {
        let Self { from, until, commits } = self;
        if commits >= 2 {
            return WalState::Damaged(format!(
                "the frame at byte {from} does not match its checksum, and {commits} commits lie behind it"
            ));
        }
        if until > from { WalState::Unfinished(until - from) } else { WalState::Whole }
    }
}

/// Reads until the buffer is full or nothing is left.
fn read_up_to(log: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match log.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

fn be(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Follows the running checksum from frame to frame.
struct Frames {
    page: usize,
    order: Endian,
    salts: [u8; 8],
    sum: (u32, u32),
}

/// In which order the checksum takes the bytes of a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Endian {
    Big,
    Little,
}

impl Frames {
    fn of(header: &[u8; HEADER]) -> Option<Self> {
        let order = match be(header, 0) {
            0x377f_0682 => Endian::Little,
            0x377f_0683 => Endian::Big,
            _ => return None,
        };
        let page = usize::try_from(be(header, 8)).ok().filter(|page| PAGE_SIZES.contains(page))?;
        let sum = running((0, 0), &header[..24], order);
        let salts = header[16..24].try_into().ok()?;
        let right = page.is_power_of_two() && sum == (be(header, 24), be(header, 28));
        right.then_some(Self { page, order, salts, sum })
    }

    /// Whether this is the next frame.
    fn fits(&mut self, frame: &[u8]) -> bool {
        if frame[8..16] != self.salts || be(frame, 0) == 0 {
            return false;
        }
        let sum = running(self.sum, &frame[..8], self.order);
        let sum = running(sum, &frame[FRAME_HEADER..], self.order);
        self.sum = sum;
        sum == (be(frame, 16), be(frame, 20))
    }
}

/// The log's checksum, which is a Fibonacci-weighted sum of words.
fn running((mut first, mut second): (u32, u32), bytes: &[u8], order: Endian) -> (u32, u32) {
    let word = |bytes: &[u8]| {
        let number = be(bytes, 0);
        if order == Endian::Big { number } else { number.swap_bytes() }
    };
    for pair in bytes.chunks_exact(8) {
        first = first.wrapping_add(word(&pair[..4])).wrapping_add(second);
        second = second.wrapping_add(word(&pair[4..])).wrapping_add(first);
    }
    (first, second)
}

//! Reading a header forwards, with every length held against what is left of the file.

use std::io::{self, BufRead, Read};

use super::{HEADER_BYTES_MAX, UnreadableHeader};

/// A reader that knows where it is and how far it may go.
pub(super) struct Scan<R> {
    reader: R,
    at: u64,
    size: u64,
}

impl<R: BufRead> Scan<R> {
    /// Reads a file of `size` bytes from its beginning.
    pub(super) fn new(reader: R, size: u64) -> Self {
        Self { reader, at: 0, size }
    }

    /// The bytes read so far.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The bytes of the whole file.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// What is left to read, without a place to go back to.
    pub(super) fn into_rest(self) -> R {
        self.reader
    }

    /// The next bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], UnreadableHeader> {
        self.claim(N as u64)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(|error| because(&error))?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, UnreadableHeader> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, UnreadableHeader> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// A text of at most `max` bytes, behind its length.
    pub(super) fn text(&mut self, what: &'static str, max: u64) -> Result<String, UnreadableHeader> {
        let length = self.u64()?;
        if length > max {
            return Err(UnreadableHeader::TooMany { what, count: length, max });
        }
        self.claim(length)?;
        let mut text = String::new();
        let mut bytes = self.reader.by_ref().take(length);
        match bytes.read_to_string(&mut text) {
            Ok(read) if read as u64 == length => Ok(text),
            Ok(_) => Err(UnreadableHeader::Truncated),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(UnreadableHeader::Text),
            Err(error) => Err(because(&error)),
        }
    }

    /// A text that nobody needs, behind its length.
    pub(super) fn skip_text(&mut self) -> Result<(), UnreadableHeader> {
        let length = self.u64()?;
        self.skip(length)
    }

    /// Passes over `count` bytes.
    pub(super) fn skip(&mut self, count: u64) -> Result<(), UnreadableHeader> {
        self.claim(count)?;
        let mut left = count;
        while left > 0 {
            let buffered = self.reader.fill_buf().map_err(|error| because(&error))?.len();
            if buffered == 0 {
                return Err(UnreadableHeader::Truncated);
            }
            let step = usize::try_from(left).map_or(buffered, |left| left.min(buffered));
            self.reader.consume(step);
            left -= step as u64;
        }
        Ok(())
    }

    /// Whether `count` things of at least `least` bytes each can still come.
    pub(super) fn expect_room(&self, count: u64, least: u64) -> Result<(), UnreadableHeader> {
        self.end_of(count.checked_mul(least)).map(|_| ())
    }

    fn claim(&mut self, count: u64) -> Result<(), UnreadableHeader> {
        self.at = self.end_of(Some(count))?;
        Ok(())
    }

    fn end_of(&self, count: Option<u64>) -> Result<u64, UnreadableHeader> {
        let end = count.and_then(|count| self.at.checked_add(count));
        let end = end.filter(|end| *end <= self.size).ok_or(UnreadableHeader::Truncated)?;
        if end > HEADER_BYTES_MAX { Err(UnreadableHeader::TooLarge) } else { Ok(end) }
    }
}

/// A file that ends too early was cut since its size was taken.
pub(super) fn because(error: &io::Error) -> UnreadableHeader {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => UnreadableHeader::Truncated,
        kind => UnreadableHeader::Io(kind),
    }
}

//! The bytes of an answer's body, told from the framing around them.
//!
//! By RFC 9112, sections 6 and 7: a length, chunks, or everything until the connection closes. The decoder
//! holds no bytes of its own, whatever the network cut: it hands on slices of what it is given.

use super::transport::TransportError;

/// The most that is taken of chunk extensions in one body, and of its trailer fields: nobody reads them.
const IGNORED_BYTES_MAX: u32 = 16 * 1024;
/// Digits of a chunk's size: as many as a `u64` holds.
const DIGITS_MAX: u8 = 16;

/// Where a body stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyDecoder {
    /// So many bytes are still to come.
    Sized(u64),
    /// Chunks, the last of which is empty.
    Chunked {
        /// What comes next.
        next: Next,
        /// How much may still come that nobody reads.
        ignored: u32,
    },
    /// All that comes, until the connection closes.
    UntilClose,
    /// All of it was handed on.
    Ended,
}

/// What comes next of a body in chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// A digit of a chunk's size, or what ends it.
    Size {
        size: u64,
        digits: u8,
    },
    /// Blanks or an extension behind the size.
    Extension {
        size: u64,
    },
    /// The line feed behind the size.
    SizeEnd {
        size: u64,
    },
    /// Bytes of the body.
    Data {
        left: u64,
    },
    /// The line end behind a chunk.
    DataCr,
    DataLf,
    /// The beginning of a trailer field, or the empty line that ends it all.
    Trailer,
    /// The rest of a trailer field.
    TrailerField,
    TrailerFieldEnd,
    LastLf,
}

const FIRST: Next = Next::Size { size: 0, digits: 0 };

impl BodyDecoder {
    /// A body in chunks.
    pub(crate) fn chunked() -> Self {
        Self::Chunked { next: FIRST, ignored: IGNORED_BYTES_MAX }
    }

    /// A body of `length` bytes.
    pub(crate) fn sized(length: u64) -> Self {
        if length == 0 { Self::Ended } else { Self::Sized(length) }
    }

    pub(crate) fn is_ended(self) -> bool {
        self == Self::Ended
    }

    /// Takes the next bytes of the connection and gives `sink` what is body in them. Returns what lies behind
    /// the body's end.
    ///
    /// # Errors
    /// When the framing is broken; what came before that was handed on.
    pub(crate) fn push<'a>(
        &mut self,
        bytes: &'a [u8],
        mut sink: impl FnMut(&'a [u8]),
    ) -> Result<&'a [u8], TransportError> {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_ended() {
            let taken = match self {
                Self::Sized(left) | Self::Chunked { next: Next::Data { left }, .. } => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    let (data, behind) = rest.split_at(length);
                    sink(data);
                    rest = behind;
                    *left -= length as u64;
                    *left == 0
                }
                Self::UntilClose => {
                    sink(rest);
                    rest = &[];
                    false
                }
                Self::Chunked { next, ignored } => {
                    let (&byte, behind) = rest.split_first().ok_or(TransportError::Broken)?;
                    rest = behind;
                    match next.after(byte, ignored)? {
                        Some(then) => {
                            *next = then;
                            false
                        }
                        None => true,
                    }
                }
                Self::Ended => false,
            };
            if taken {
                self.part_ended();
            }
        }
        Ok(rest)
    }

    /// The bytes of a chunk are through, or the body is.
    fn part_ended(&mut self) {
        match self {
            Self::Chunked { next: next @ Next::Data { .. }, .. } => *next = Next::DataCr,
            _ => *self = Self::Ended,
        }
    }
}

impl Next {
    /// What comes behind this byte of framing; `None` when it was the last one.
    fn after(self, byte: u8, ignored: &mut u32) -> Result<Option<Self>, TransportError> {
        Ok(Some(match (self, byte) {
            (Self::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < DIGITS_MAX => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                Self::Size { size: size << 4 | digit, digits: digits + 1 }
            }
            (Self::Size { digits: 0, .. }, _) => return Err(TransportError::Broken),
            (Self::Size { size, .. } | Self::Extension { size }, b'\r') => Self::SizeEnd { size },
            (Self::Size { size, .. }, b' ' | b'\t' | b';') => Self::Extension { size },
            (Self::SizeEnd { size: 0 } | Self::TrailerFieldEnd, b'\n') => Self::Trailer,
            (Self::SizeEnd { size }, b'\n') => Self::Data { left: size },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => FIRST,
            (Self::Trailer, b'\r') => Self::LastLf,
            (Self::LastLf, b'\n') => return Ok(None),
            (Self::TrailerField, b'\r') => Self::TrailerFieldEnd,
            // A line feed alone ends no line: what is a line to one reader must be one to all.
            (_, b'\n') => return Err(TransportError::Broken),
            (Self::Extension { .. }, _) => self.ignore(ignored)?,
            (Self::Trailer | Self::TrailerField, _) => Self::TrailerField.ignore(ignored)?,
            _ => return Err(TransportError::Broken),
        }))
    }

    fn ignore(self, ignored: &mut u32) -> Result<Self, TransportError> {
        *ignored = ignored.checked_sub(1).ok_or(TransportError::Broken)?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The body, whether it ended, and what lay behind its end.
    fn read(mut body: BodyDecoder, parts: &[&[u8]]) -> Option<(Vec<u8>, bool, Vec<u8>)> {
        let (mut data, mut behind) = (Vec::new(), Vec::new());
        for part in parts {
            behind.extend_from_slice(body.push(part, |piece| data.extend_from_slice(piece)).ok()?);
        }
        Some((data, body.is_ended(), behind))
    }

    fn of(bytes: &[u8]) -> Option<(Vec<u8>, bool, Vec<u8>)> {
        read(BodyDecoder::chunked(), &[bytes])
    }

    #[test]
    fn chunks_are_joined_and_what_is_behind_the_last_one_is_not_theirs() {
        let whole = b"4\r\nWiki\r\n6;a=\"b\" \r\npedia \r\n00C \t\r\nin \r\n\r\nchunk\r\n0\r\nA: b\r\nC: d\r\n\r\nHTTP";
        let (data, ended, behind) = of(whole).unwrap();
        assert_eq!((data.as_slice(), ended), (b"Wikipedia in \r\n\r\nchunk".as_slice(), true));
        assert_eq!(behind, b"HTTP");
        assert_eq!(of(b"4\r\nWi").unwrap(), (b"Wi".to_vec(), false, Vec::new()));
        assert_eq!(of(b"0\r\n\r\n").unwrap(), (Vec::new(), true, Vec::new()));
    }

    #[test]
    fn framing_that_two_readers_could_read_in_two_ways_is_refused() {
        for broken in [
            "\r\n",
            ";\r\n",
            "g\r\n",
            "-1\r\n",
            "0x1\r\n",
            "1\na",
            "1\r\r\n",
            "1;x\ny\r\n",
            "1\r\nab\r\n",
            "1\r\na\n0\r\n\r\n",
            "00000000000000001\r\na",
            "0\r\nA: b\n\r\n",
            "0\r\n\n",
        ] {
            assert_eq!(of(broken.as_bytes()), None, "{broken:?}");
        }
    }

    #[test]
    fn what_nobody_reads_is_bounded() {
        let long = "x".repeat(IGNORED_BYTES_MAX as usize);
        assert!(of(format!("1;{long}\r\na\r\n0\r\n\r\n").as_bytes()).is_some());
        assert!(of(format!("1;{long}x\r\na\r\n0\r\n\r\n").as_bytes()).is_none());
        assert!(of(format!("0\r\n{long}x\r\n\r\n").as_bytes()).is_none());
        let many = "1;xxxxxxx\r\na\r\n".repeat(IGNORED_BYTES_MAX as usize / 7 + 1);
        assert!(of(many.as_bytes()).is_none(), "the bound is that of a body, not that of a chunk");
    }

    #[test]
    fn a_length_ends_a_body_and_a_close_ends_one_without() {
        let sized = read(BodyDecoder::sized(3), &[b"ab", b"cde", b"f"]).unwrap();
        assert_eq!(sized, (b"abc".to_vec(), true, b"def".to_vec()));
        assert!(BodyDecoder::sized(0).is_ended());
        let open = read(BodyDecoder::UntilClose, &[b"ab", b"0\r\n\r\n"]).unwrap();
        assert_eq!(open, (b"ab0\r\n\r\n".to_vec(), false, Vec::new()));
    }

    proptest! {
        #[test]
        fn where_the_network_cuts_does_not_matter(
            pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..40), "[ \t]?(;[a-z=\" ]{0,5})?"), 0..6),
            size in 1_usize..50,
        ) {
            let (mut wire, mut body) = (Vec::new(), Vec::new());
            for (data, extension) in &pieces {
                wire.extend(format!("{:x}{extension}\r\n", data.len()).bytes());
                wire.extend(data);
                wire.extend(b"\r\n");
                body.extend(data);
            }
            wire.extend(b"0\r\nx: y\r\n\r\nmore");
            let expected = Some((body, true, b"more".to_vec()));
            prop_assert_eq!(&of(&wire), &expected);
            let parts: Vec<_> = wire.chunks(size).collect();
            prop_assert_eq!(&read(BodyDecoder::chunked(), &parts), &expected);
        }

        #[test]
        fn whatever_comes_is_read_alike_in_one_part_and_in_many(
            wire in prop::collection::vec(prop::sample::select(b"019af\r\n; x".to_vec()), 0..60),
            size in 1_usize..9,
        ) {
            let parts: Vec<_> = wire.chunks(size).collect();
            prop_assert_eq!(read(BodyDecoder::chunked(), &parts), of(&wire));
        }
    }
}

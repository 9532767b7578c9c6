//! Chunked transfer coding, decoded wherever the network cut it.

use anyhow::{Context, Result, bail, ensure};

#[derive(Debug, Clone, Copy)]
enum State {
    /// In the hexadecimal length, with so many digits read.
    Size {
        value: usize,
        digits: u8,
    },
    /// Behind the length, before its line feed: extensions are skipped.
    SizeEnd {
        value: usize,
    },
    Data {
        left: usize,
    },
    DataCr,
    DataLf,
    /// After the last chunk, with so many bytes in the current line.
    Trailer {
        line: usize,
    },
    Done,
}

/// Where in the body the decoder stands.
#[derive(Debug)]
pub(crate) struct ChunkedDecoder {
    state: State,
}

const START: State = State::Size { value: 0, digits: 0 };

impl ChunkedDecoder {
    pub(crate) fn new() -> Self {
        Self { state: START }
    }

    /// Whether the body has ended; what follows belongs to the next response.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Hands the data in `bytes` to `sink` and says how many bytes it used up.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<usize> {
        let mut at = 0;
        while at < bytes.len() && !self.is_done() {
            if let State::Data { left } = self.state {
                let piece = left.min(bytes.len() - at);
                sink(&bytes[at..at + piece])?;
                at += piece;
                self.state = if piece == left { State::DataCr } else { State::Data { left: left - piece } };
            } else {
                self.state = step(self.state, bytes[at])?;
                at += 1;
            }
        }
        Ok(at)
    }
}

/// One byte of framing.
fn step(state: State, byte: u8) -> Result<State> {
    Ok(match (state, byte) {
        (State::Size { value, digits: 1.. }, b'\r' | b';') => State::SizeEnd { value },
        (State::Size { value, digits }, _) => {
            let digit = char::from(byte).to_digit(16).context("a chunk's length is no number")?;
            ensure!(digits < 8, "a chunk's length is too long");
            State::Size { value: value * 16 + digit as usize, digits: digits + 1 }
        }
        (State::SizeEnd { value: 0 }, b'\n') => State::Trailer { line: 0 },
        (State::SizeEnd { value }, b'\n') => State::Data { left: value },
        (State::DataCr, b'\r') => State::DataLf,
        (State::DataLf, b'\n') => START,
        (State::DataCr | State::DataLf, _) => bail!("a chunk does not end where its length says"),
        (State::Trailer { line: 0 }, b'\n') => State::Done,
        (State::Trailer { .. }, b'\n') => State::Trailer { line: 0 },
        (State::Trailer { line }, b'\r') => State::Trailer { line },
        (State::Trailer { line }, _) => State::Trailer { line: line + 1 },
        (State::SizeEnd { .. } | State::Data { .. } | State::Done, _) => state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] =
        b"4\r\nWiki\r\n1A;note=x\r\npedia in\r\nseveral \r\nchunks\r\n0\r\nExpires: never\r\n\r\n";
    const DATA: &[u8] = b"Wikipedia in\r\nseveral \r\nchunks";

    fn decode(parts: &[&[u8]]) -> Result<(Vec<u8>, usize, bool)> {
        let (mut decoder, mut data, mut used) = (ChunkedDecoder::new(), Vec::new(), 0);
        for part in parts {
            used += decoder.feed(part, |piece| {
                data.extend_from_slice(piece);
                Ok(())
            })?;
        }
        Ok((data, used, decoder.is_done()))
    }

    #[test]
    fn body_cut_at_any_two_places_decodes_to_the_same() {
        for first in 0..=BODY.len() {
            for second in first..=BODY.len() {
                let parts = [&BODY[..first], &BODY[first..second], &BODY[second..]];
                assert_eq!(decode(&parts).unwrap(), (DATA.to_vec(), BODY.len(), true), "{first} {second}");
            }
        }
    }

    #[test]
    fn bytes_after_the_end_are_left_alone() {
        let (data, used, done) = decode(&[b"1\r\nx\r\n0\r\n\r\nHTTP/1.1 200 OK"]).unwrap();
        assert_eq!((data.as_slice(), used, done), (b"x".as_slice(), 11, true));
    }

    #[test]
    fn body_without_its_last_chunk_is_not_done() {
        assert!(!decode(&[b"1\r\nx\r\n"]).unwrap().2);
    }

    #[test]
    fn broken_framing_is_an_error() {
        for broken in [b"x\r\n".as_slice(), b"\r\n", b"1\r\nxy\r\n", b"1\r\nx\rz", b"123456789\r\n"] {
            decode(&[broken]).unwrap_err();
        }
    }
}

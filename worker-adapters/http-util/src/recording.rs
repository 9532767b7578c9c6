//! Recordings of engines, read as a stream is, for the tests of dialects.
//!
//! What a recording says must depend neither on how the network cuts it nor on when it breaks off.

use adapter_api::{AdapterError, Finish, TokenBatch};

use crate::{
    answer::read_head,
    body::BodyDecoder,
    sse::{LineTooLong, SseDecoder},
    stream::{Dialect, TextSink},
    utf8::Utf8Joiner,
};

/// The text that came, and the finish if there was one.
pub type Read = Result<(String, Option<Finish>), AdapterError>;

/// Reads a body that comes in these parts.
///
/// # Errors
/// As the dialect's, or when a line is too long.
pub fn read<'a>(mut dialect: impl Dialect, parts: impl IntoIterator<Item = &'a [u8]>) -> Read {
    let mut decoder = SseDecoder::default();
    let (mut batch, mut joiner, mut finish) = (TokenBatch::new(), Utf8Joiner::default(), None);
    for part in parts {
        decoder
            .push(part, |data| {
                if finish.is_none() {
                    finish = dialect.event(data, &mut TextSink::new(&mut batch, &mut joiner)).map_err(Cut)?;
                }
                Ok(())
            })
            .map_err(|Cut(error)| error)?;
    }
    joiner.finish(&mut batch);
    Ok((batch.pieces().map(|piece| piece.text).collect(), finish))
}

/// What the bytes of an engine's answer say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Its status code.
    pub status: u16,
    /// Its body, as far as it came.
    pub body: Vec<u8>,
    /// Whether that is all of it.
    pub ended: bool,
    /// What came behind the body.
    pub behind: Vec<u8>,
}

/// Reads an answer, head and body, that comes in these parts; `None` while there is no whole head, or when it
/// cannot be read.
pub fn answer<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Option<Answered> {
    let (mut came, mut read): (Vec<u8>, Option<(Answered, BodyDecoder)>) = (Vec::new(), None);
    for part in parts {
        let bytes = if read.is_some() {
            part.to_vec()
        } else {
            came.extend_from_slice(part);
            let Some(head) = read_head(&came).ok()? else { continue };
            let answered =
                Answered { status: head.answer.status, body: Vec::new(), ended: false, behind: Vec::new() };
            read = Some((answered, head.body));
            came.split_off(head.length)
        };
        let (answered, decoder) = read.as_mut()?;
        let behind = decoder.push(&bytes, |data| answered.body.extend_from_slice(data)).ok()?;
        answered.behind.extend_from_slice(behind);
        answered.ended = decoder.is_ended();
    }
    read.map(|(answered, _)| answered)
}

/// A body cut in two at each byte, and in chunks of every size.
pub fn ways_to_cut(body: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let in_two = |at| vec![&body[..at], &body[at..]];
    (1..body.len()).flat_map(move |at| [in_two(at), body.chunks(at).collect()])
}

/// A body that breaks off: at many places, and just before its last event.
pub fn ways_to_break_off(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let last = body.windows(6).rposition(|window| window == b"\ndata:").unwrap_or(0);
    let ends = (0..=last).step_by(7).chain([last, body.len().saturating_sub(1)]);
    ends.map(|end| &body[..end])
}

/// A text with a fault in it, twice: `put` in place of the `lose` characters at `at`, and nothing in their place.
pub fn with_a_fault(text: &str, at: usize, put: char, lose: usize) -> [String; 2] {
    let mut faulty: Vec<char> = text.chars().collect();
    let end = faulty.len().min(at.saturating_add(lose));
    faulty.splice(at.min(end)..end, [put]);
    let other = faulty.iter().collect();
    faulty.remove(at.min(end));
    [other, faulty.into_iter().collect()]
}

/// Why a reading stopped.
struct Cut(AdapterError);

impl From<LineTooLong> for Cut {
    fn from(error: LineTooLong) -> Self {
        Self(AdapterError::Protocol { what: error.to_string() })
    }
}

//! The head of an engine's answer: what of it decides how the rest is read, and nothing else.

use std::time::Duration;

use crate::{body::BodyDecoder, transport::TransportError};

/// The longest head that is taken.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// More header fields than these no engine has.
const FIELDS_MAX: usize = 96;

/// What a head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) media: Media,
    /// Its `Retry-After`, when that is whole seconds.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) compressed: bool,
}

/// What an answer's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    EventStream,
    Json,
    Other,
}

impl Media {
    /// Its name, as a request asks for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::EventStream => "text/event-stream",
            Self::Json => "application/json",
            Self::Other => "*/*",
        }
    }
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn is_redirect(&self) -> bool {
        (300..400).contains(&self.status)
    }
}

/// A head that was read whole.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) answer: Answer,
    pub(crate) body: BodyDecoder,
    /// Whether the connection may serve again when the body is through.
    pub(crate) stays: bool,
    /// How many bytes it took.
    pub(crate) length: usize,
}

/// Reads a head from the front of `bytes`; `None` when there is not all of it yet. Heads that only announce
/// another one (100 to 199) are passed over.
///
/// # Errors
/// When it is no head of HTTP/1.x, too long, or leaves open where its body ends.
pub(crate) fn read_head(bytes: &[u8]) -> Result<Option<Head>, TransportError> {
    let mut behind = 0;
    loop {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Response::new(&mut fields);
        let rest = bytes.get(behind..).unwrap_or_default();
        let httparse::Status::Complete(length) = parsed.parse(rest).map_err(|_odd| TransportError::Broken)?
        else {
            return if bytes.len() < HEAD_BYTES_MAX { Ok(None) } else { Err(TransportError::Broken) };
        };
        behind += length;
        match parsed.code {
            // Nothing was asked for that another protocol could answer.
            None | Some(..100 | 101) => return Err(TransportError::Broken),
            Some(100..200) => {}
            Some(status) => return head(status, &parsed, behind).map(Some),
        }
    }
}

fn head(status: u16, parsed: &httparse::Response<'_, '_>, length: usize) -> Result<Head, TransportError> {
    let mut answer = Answer { status, media: Media::Other, retry_after: None, compressed: false };
    let (mut size, mut coded, mut stays) = (None, false, parsed.version == Some(1));
    for field in &*parsed.headers {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        let value = field.value.trim_ascii();
        if is("content-type") {
            answer.media = media(value);
        } else if is("content-encoding") {
            answer.compressed = true;
        } else if is("retry-after") {
            answer.retry_after = number(value).map(Duration::from_secs);
        } else if is("connection") {
            stays &=
                !value.split(|&byte| byte == b',').any(|it| it.trim_ascii().eq_ignore_ascii_case(b"close"));
        } else if is("transfer-encoding") {
            if coded || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(TransportError::Broken);
            }
            coded = true;
        } else if is("content-length") {
            let told = number(value).ok_or(TransportError::Broken)?;
            if size.is_some_and(|size| size != told) {
                return Err(TransportError::Broken);
            }
            size = Some(told);
        }
    }
    let body = match (status, coded, size) {
        (204 | 304, ..) => BodyDecoder::Ended,
        // Of two ways to tell where a body ends, somebody between could have believed the other one.
        (_, true, _) => {
            stays &= size.is_none();
            BodyDecoder::chunked()
        }
        (_, false, Some(size)) => BodyDecoder::sized(size),
        (_, false, None) => {
            stays = false;
            BodyDecoder::UntilClose
        }
    };
    Ok(Head { answer, body, stays, length })
}

/// The media type, whatever its parameters.
fn media(value: &[u8]) -> Media {
    let named = value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let is = |media: &Media| named.eq_ignore_ascii_case(media.name().as_bytes());
    [Media::EventStream, Media::Json].into_iter().find(is).unwrap_or(Media::Other)
}

fn number(digits: &[u8]) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| all_digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str) -> Result<Option<Head>, TransportError> {
        read_head(format!("{}\r\n\r\n", lines.replace('\n', "\r\n")).as_bytes())
    }

    fn good(lines: &str) -> Head {
        read(lines).unwrap().unwrap()
    }

    #[test]
    fn a_head_says_what_its_body_is_and_where_it_ends() {
        let head = good(
            "HTTP/1.1 503 Busy\nContent-Type: Application/JSON; charset=utf-8\nRetry-After:  7 \nContent-Length: 5",
        );
        assert_eq!(head.answer.retry_after, Some(Duration::from_secs(7)));
        assert_eq!((head.answer.status, head.answer.media), (503, Media::Json));
        assert_eq!((head.body, head.stays), (BodyDecoder::Sized(5), true));
        let head = good("HTTP/1.1 200 OK\nTRANSFER-ENCODING: Chunked\nContent-Type: text/event-stream");
        assert_eq!((head.body, head.stays), (BodyDecoder::chunked(), true));
        assert_eq!((head.answer.media, head.answer.is_success()), (Media::EventStream, true));
        assert!(good("HTTP/1.1 200 OK\ncontent-encoding: gzip").answer.compressed);
        assert!(good("HTTP/1.1 302 Found\nlocation: /").answer.is_redirect());
    }

    #[test]
    fn a_connection_stays_only_if_both_ends_see_the_same_end_of_the_body() {
        for (lines, stays) in [
            ("HTTP/1.1 200 OK\nContent-Length: 1", true),
            ("HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 1", true),
            ("HTTP/1.1 204 No Content", true),
            ("HTTP/1.1 200 OK\nContent-Length: 1\nConnection: keep-alive, Close", false),
            ("HTTP/1.0 200 OK\nContent-Length: 1", false),
            ("HTTP/1.1 200 OK\nContent-Length: 1\nTransfer-Encoding: chunked", false),
            ("HTTP/1.1 200 OK", false),
        ] {
            assert_eq!(good(lines).stays, stays, "{lines}");
        }
    }

    #[test]
    fn a_head_that_can_be_read_in_two_ways_is_refused() {
        for lines in [
            "HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 2",
            "HTTP/1.1 200 OK\nContent-Length: +1",
            "HTTP/1.1 200 OK\nContent-Length: 1, 1",
            "HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked",
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked",
            "HTTP/1.1 101 Switching Protocols\nUpgrade: h2c",
            "HTTP/1.1 099 Odd",
            "HTTP/2 200 OK",
            "SSH-2.0-OpenSSH_9.6",
        ] {
            assert!(read(lines).is_err(), "{lines}");
        }
    }

    #[test]
    fn heads_that_announce_another_are_passed_over_and_an_endless_one_is_refused() {
        let both = "HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nLink: x\n\nHTTP/1.1 200 OK";
        assert_eq!(good(both).answer.status, 200);
        let text = format!("{}\r\n\r\n", both.replace('\n', "\r\n"));
        assert_eq!(good(both).length, text.len());
        for cut in 0..text.len() {
            assert!(read_head(&text.as_bytes()[..cut]).unwrap().is_none(), "cut at {cut}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(HEAD_BYTES_MAX));
        assert!(read_head(endless.as_bytes()).is_err());
    }
}

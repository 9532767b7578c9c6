//! What a client asks of the cheap engine.
//!
//! The body is never parsed as JSON: two names are searched in it. A name inside a prompt cannot be
//! taken for one of them, because its quotes are escaped there.

use std::io;

use memchr::memmem;
use tokio::{io::AsyncReadExt, net::TcpStream};

use super::script::Dialect;

const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One request, understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Health,
    Props,
    Models,
    Slots {
        refuse_when_full: bool,
    },
    /// A stream of so many tokens, `None` for no limit.
    Complete {
        tokens: Option<usize>,
        dialect: Dialect,
    },
    /// An error: status, type, message.
    Refuse(u16, &'static str, &'static str),
}

/// The bytes of a connection that are not answered yet.
#[derive(Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
}

impl Inbox {
    /// The next request; `None` when the peer has closed.
    pub(crate) async fn next(&mut self, stream: &mut TcpStream) -> io::Result<Option<Ask>> {
        loop {
            if let Some((ask, used)) = take(&self.bytes) {
                self.bytes.drain(..used);
                return Ok(Some(ask));
            }
            if stream.read_buf(&mut self.bytes).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// The first request of `bytes` and its length, once it is complete.
fn take(bytes: &[u8]) -> Option<(Ask, usize)> {
    let refuse = |message| Some((Ask::Refuse(400, "invalid_request_error", message), bytes.len()));
    let Some(head_end) = memmem::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > REQUEST_BYTES_MAX { refuse("the request head is too long") } else { None };
    };
    let mut lines = bytes[..head_end].split(|&byte| byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let mut length = 0;
    for line in lines {
        if header(line, b"transfer-encoding").is_some() {
            return refuse("a chunked request body is not understood here");
        }
        if let Some(value) = header(line, b"content-length") {
            match digits(value).filter(|&length| length <= REQUEST_BYTES_MAX) {
                Some(value) => length = value,
                None => return refuse("the content length is no number, or too big"),
            }
        }
    }
    let body = head_end + 4;
    let end = body + length;
    (bytes.len() >= end).then(|| (understand(first, &bytes[body..end]), end))
}

fn understand(first: &[u8], body: &[u8]) -> Ask {
    let mut words = first.split(|&byte| byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match (method, target) {
        (b"GET", b"/health" | b"/v1/health") => Ask::Health,
        (b"GET", b"/props") => Ask::Props,
        (b"GET", b"/slots") => Ask::Slots { refuse_when_full: false },
        (b"GET", b"/slots?fail_on_no_slot=1") => Ask::Slots { refuse_when_full: true },
        (b"GET", b"/v1/models" | b"/models") => Ask::Models,
        (b"GET", b"/metrics") => Ask::Refuse(501, "not_supported_error", "metrics are off"),
        (b"POST", b"/completion") => completion(body, Dialect::Llamacpp),
        (b"POST", b"/v1/chat/completions") => completion(body, Dialect::OpenAi),
        _ => Ask::Refuse(404, "not_found_error", "File Not Found"),
    }
}

fn completion(body: &[u8], dialect: Dialect) -> Ask {
    if !value(body, b"\"stream\"").is_some_and(|value| value.starts_with(b"true")) {
        return Ask::Refuse(501, "not_supported_error", "this engine only streams: set stream to true");
    }
    let limit = value(body, b"\"n_predict\"").or_else(|| value(body, b"\"max_tokens\""));
    match limit {
        None => Ask::Complete { tokens: None, dialect },
        Some(value) if value.starts_with(b"-1") => Ask::Complete { tokens: None, dialect },
        Some(value) => match digits(value) {
            Some(tokens) => Ask::Complete { tokens: Some(tokens), dialect },
            None => Ask::Refuse(400, "invalid_request_error", "n_predict must be a whole number"),
        },
    }
}

/// What follows `name` and its colon in a JSON text.
fn value<'a>(body: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let after = &body[memmem::find(body, name)? + name.len()..];
    Some(after.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start())
}

fn header<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (given, value) = line.split_at_checked(name.len())?;
    let value = value.strip_prefix(b":")?;
    given.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

fn digits(text: &[u8]) -> Option<usize> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    str::from_utf8(&text[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(body: &str) -> Vec<u8> {
        format!("POST /completion HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    fn asked(body: &str) -> Ask {
        take(&post(body)).unwrap().0
    }

    #[test]
    fn request_is_taken_only_when_its_body_is_complete() {
        let bytes = post(r#"{"stream":true,"n_predict":5}"#);
        for end in 0..bytes.len() {
            assert_eq!(take(&bytes[..end]), None, "after {end} bytes");
        }
        let (ask, used) = take(&[bytes.as_slice(), b"GET /health"].concat()).unwrap();
        assert_eq!((ask, used), (Ask::Complete { tokens: Some(5), dialect: Dialect::Llamacpp }, bytes.len()));
    }

    #[test]
    fn limit_is_found_under_both_of_its_names() {
        assert_eq!(
            asked(r#"{"stream": true, "max_tokens": 12}"#),
            Ask::Complete { tokens: Some(12), dialect: Dialect::Llamacpp }
        );
        assert_eq!(
            asked(r#"{"stream":true,"n_predict":-1}"#),
            Ask::Complete { tokens: None, dialect: Dialect::Llamacpp }
        );
        assert_eq!(asked(r#"{"stream":true}"#), Ask::Complete { tokens: None, dialect: Dialect::Llamacpp });
    }

    #[test]
    fn name_inside_a_prompt_is_not_taken_for_the_field() {
        let body = r#"{"prompt":"say \"n_predict\":9","stream":true,"n_predict":3}"#;
        assert_eq!(asked(body), Ask::Complete { tokens: Some(3), dialect: Dialect::Llamacpp });
    }

    #[test]
    fn what_is_not_served_is_refused() {
        assert!(matches!(asked(r#"{"prompt":"a"}"#), Ask::Refuse(501, ..)));
        assert!(matches!(asked(r#"{"stream":true,"n_predict":"x"}"#), Ask::Refuse(400, ..)));
        assert!(matches!(take(b"GET /nope HTTP/1.1\r\n\r\n"), Some((Ask::Refuse(404, ..), _))));
        let chunked = b"POST /completion HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(matches!(take(chunked), Some((Ask::Refuse(400, ..), _))));
    }
}

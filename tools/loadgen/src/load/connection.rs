//! One kept-alive HTTP/1.1 connection, read in place.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::chunked::ChunkedDecoder;

const BUFFER_BYTES: usize = 16 * 1024;
const TEXT_BYTES_MAX: usize = 1024 * 1024;

/// What the first lines of a response say.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    framing: Framing,
    keep_alive: bool,
}

#[derive(Debug)]
enum Framing {
    /// So many bytes are still to come.
    Length(usize),
    Chunked(ChunkedDecoder),
}

/// A connection and the bytes that were read from it but not used yet.
#[derive(Debug)]
pub(crate) struct Connection {
    target: SocketAddr,
    stream: TcpStream,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Connection {
    pub(crate) async fn open(target: SocketAddr) -> Result<Self> {
        let stream = connect(target).await?;
        Ok(Self { target, stream, buffer: vec![0; BUFFER_BYTES].into(), start: 0, end: 0 })
    }

    /// Sends a request and reads the head of its response.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<Head> {
        self.stream.write_all(request).await.context("sending a request")?;
        loop {
            let bytes = &self.buffer[self.start..self.end];
            if let Some(end) = memmem::find(bytes, b"\r\n\r\n") {
                let head = parse_head(&bytes[..end])?;
                self.start += end + 4;
                return Ok(head);
            }
            self.fill().await.context("reading a response's head")?;
        }
    }

    /// Reads a body to its end and hands its data, in pieces as they come, to `sink`.
    ///
    /// A server that wants to close the connection afterwards gets a new one for the next request.
    pub(crate) async fn read_body(
        &mut self,
        mut head: Head,
        mut sink: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        loop {
            self.start += head.framing.feed(&self.buffer[self.start..self.end], &mut sink)?;
            if head.framing.is_done() {
                break;
            }
            self.fill().await.context("reading a response's body")?;
        }
        if !head.keep_alive {
            self.stream = connect(self.target).await?;
            (self.start, self.end) = (0, 0);
        }
        Ok(())
    }

    /// Reads a short body.
    pub(crate) async fn read_text(&mut self, head: Head) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let sink = |data: &[u8]| {
            ensure!(text.len() + data.len() <= TEXT_BYTES_MAX, "the response is too long");
            text.extend_from_slice(data);
            Ok(())
        };
        self.read_body(head, sink).await?;
        Ok(text)
    }

    async fn fill(&mut self) -> Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        ensure!(self.end < self.buffer.len(), "the head is longer than {BUFFER_BYTES} bytes");
        let read = self.stream.read(&mut self.buffer[self.end..]).await?;
        ensure!(read > 0, "the server closed the connection");
        self.end += read;
        Ok(())
    }
}

async fn connect(target: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(target).await.with_context(|| format!("connecting to {target}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Framing {
    fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<usize> {
        match self {
            Self::Chunked(decoder) => decoder.feed(bytes, sink),
            Self::Length(left) => {
                let piece = bytes.len().min(*left);
                sink(&bytes[..piece])?;
                *left -= piece;
                Ok(piece)
            }
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Self::Chunked(decoder) => decoder.is_done(),
            Self::Length(left) => *left == 0,
        }
    }
}

fn parse_head(bytes: &[u8]) -> Result<Head> {
    let text = str::from_utf8(bytes).context("the response's head is no text")?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok())
        .context("the response is not HTTP/1.1")?;
    let (mut framing, mut keep_alive) = (None, true);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().with_context(|| format!("content-length: `{value}` is no number"))?;
            framing = Some(Framing::Length(length));
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Some(Framing::Chunked(ChunkedDecoder::new()));
        } else if name.eq_ignore_ascii_case("connection") {
            keep_alive = !value.eq_ignore_ascii_case("close");
        }
    }
    match framing {
        Some(framing) => Ok(Head { status, framing, keep_alive }),
        None if status == 204 => Ok(Head { status, framing: Framing::Length(0), keep_alive }),
        None => bail!("the response says neither its length nor that it is chunked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_is_read_whatever_the_case_of_its_names() {
        let head = parse_head(b"HTTP/1.1 202 Accepted\r\nCONTENT-length: 12\r\nconnection: Close").unwrap();
        assert_eq!((head.status, head.keep_alive), (202, false));
        assert!(matches!(head.framing, Framing::Length(12)));
        let head = parse_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked").unwrap();
        assert!(head.keep_alive && matches!(head.framing, Framing::Chunked(_)));
    }

    #[test]
    fn answer_without_content_has_no_body() {
        let head = parse_head(b"HTTP/1.1 204 No Content\r\nserver: x").unwrap();
        assert!(head.keep_alive && head.framing.is_done());
    }

    #[test]
    fn head_that_does_not_say_where_the_body_ends_is_an_error() {
        parse_head(b"HTTP/1.1 200 OK\r\nserver: x").unwrap_err();
        parse_head(b"SSH-2.0-OpenSSH").unwrap_err();
        parse_head(b"HTTP/1.1 200 OK\r\ncontent-length: many").unwrap_err();
    }
}

//! `OpenAI`'s chat completions, streamed: one POST, `data:` lines, a finish reason, and a mark.

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use serde_json::json;

use super::{
    Plan,
    connection::Connection,
    lines::{number, shown},
    stream::{self, Check, Streamed, TEXT_PERIOD},
};

/// A client that asks for the same again and again.
pub(crate) struct OpenAiClient {
    request: Vec<u8>,
}

impl OpenAiClient {
    pub(crate) fn new(plan: &Plan) -> Self {
        let body = json!({
            "model": plan.model,
            "messages": [{"role": "user", "content": &*plan.prompt}],
            "max_tokens": plan.tokens,
            "stream": true,
        })
        .to_string();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            plan.target,
            body.len()
        );
        Self { request: request.into_bytes() }
    }

    /// One task, from the request to the end of its stream.
    pub(crate) async fn task(&mut self, connection: &mut Connection) -> Result<Streamed> {
        let head = connection.send(&self.request).await?;
        if head.status != 200 {
            let status = head.status;
            bail!("POST /v1/chat/completions: {status}: {}", shown(&connection.read_text(head).await?));
        }
        stream::read(connection, head, OpenAiCheck::default()).await
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    Reasoned,
    Marked,
}

#[derive(Debug, Default)]
struct OpenAiCheck {
    tokens: u32,
    phase: Phase,
}

impl Check for OpenAiCheck {
    fn line(&mut self, line: &[u8]) -> Result<()> {
        if line.is_empty() || line.starts_with(b":") {
            return Ok(());
        }
        let wrong = || format!("the stream is wrong after {} tokens: {}", self.tokens, shown(line));
        let data = line.strip_prefix(b"data: ").with_context(wrong)?;
        if data == b"[DONE]" {
            ensure!(self.phase == Phase::Reasoned, wrong());
            self.phase = Phase::Marked;
            return Ok(());
        }
        ensure!(self.phase != Phase::Marked && memmem::find(data, b"\"error\"").is_none(), wrong());
        let text = b"\"content\":\" ";
        if let Some(at) = memmem::find(data, text) {
            ensure!(self.phase == Phase::Open, wrong());
            ensure!(number(&data[at + text.len()..]) == Some(self.tokens % TEXT_PERIOD), wrong());
            self.tokens += 1;
        } else if memmem::find(data, b"\"finish_reason\":\"length\"").is_some() {
            ensure!(self.phase == Phase::Open, wrong());
            self.phase = Phase::Reasoned;
        }
        Ok(())
    }

    fn tokens(&self) -> u32 {
        self.tokens
    }

    fn finish(&self) -> Result<()> {
        ensure!(
            self.phase == Phase::Marked,
            "the stream ended after {} tokens without its mark",
            self.tokens
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(lines: &[&str]) -> Result<u32> {
        let mut check = OpenAiCheck::default();
        lines.iter().try_for_each(|line| check.line(line.as_bytes()))?;
        check.finish()?;
        Ok(check.tokens())
    }

    const ROLE: &str = r#"data: {"choices":[{"delta":{"role":"assistant","content":null}}]}"#;
    const ZERO: &str = r#"data: {"choices":[{"delta":{"content":" 0"}}]}"#;
    const ONE: &str = r#"data: {"choices":[{"delta":{"content":" 1"}}]}"#;
    const REASON: &str = r#"data: {"choices":[{"finish_reason":"length","delta":{}}]}"#;
    const MARK: &str = "data: [DONE]";

    #[test]
    fn stream_in_order_is_counted() {
        assert_eq!(judge(&[ROLE, "", ZERO, ": ping", ONE, REASON, MARK]).unwrap(), 2);
    }

    #[test]
    fn lost_doubled_late_and_missing_events_are_errors() {
        for lines in [
            &[ROLE, ONE, REASON, MARK][..],
            &[ZERO, ZERO, REASON, MARK],
            &[ZERO, REASON, ONE, MARK],
            &[ZERO, MARK],
            &[ZERO, REASON],
            &[ZERO, REASON, MARK, ONE],
            &["data: {\"error\":{\"code\":500}}", REASON, MARK],
            &["id: 7", ZERO, REASON, MARK],
        ] {
            judge(lines).unwrap_err();
        }
    }
}

//! llama.cpp's own stream: one POST, `data:` lines, and an event that says `"stop":true`.

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use serde_json::json;

use super::{
    Plan,
    connection::Connection,
    lines::{number, number_after, shown},
    stream::{self, Check, Streamed, TEXT_PERIOD},
};

/// A client that asks for the same again and again.
pub(crate) struct RawClient {
    request: Vec<u8>,
}

impl RawClient {
    pub(crate) fn new(plan: &Plan) -> Self {
        let body = json!({
            "prompt": &*plan.prompt,
            "n_predict": plan.tokens,
            "temperature": 0,
            "seed": 1,
            "cache_prompt": true,
            "stream": true,
        })
        .to_string();
        let request = format!(
            "POST /completion HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
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
            bail!("POST /completion: {status}: {}", shown(&connection.read_text(head).await?));
        }
        stream::read(connection, head, RawCheck::default()).await
    }
}

#[derive(Debug, Default)]
struct RawCheck {
    tokens: u32,
    ended: bool,
}

impl Check for RawCheck {
    fn line(&mut self, line: &[u8]) -> Result<()> {
        if line.is_empty() || line.starts_with(b":") {
            return Ok(());
        }
        let wrong = || format!("the stream is wrong after {} tokens: {}", self.tokens, shown(line));
        ensure!(!self.ended, wrong());
        let data = line.strip_prefix(b"data: ").with_context(wrong)?;
        let counted = number_after(data, b"\"tokens_predicted\":").with_context(wrong)?;
        if memmem::find(data, b"\"stop\":true").is_some() {
            ensure!(counted == self.tokens, wrong());
            self.ended = true;
            return Ok(());
        }
        let text = b"\"content\":\" ";
        let at = memmem::find(data, text).with_context(wrong)? + text.len();
        ensure!(counted == self.tokens + 1, wrong());
        ensure!(number(&data[at..]) == Some(self.tokens % TEXT_PERIOD), wrong());
        self.tokens = counted;
        Ok(())
    }

    fn tokens(&self) -> u32 {
        self.tokens
    }

    fn finish(&self) -> Result<()> {
        ensure!(self.ended, "the stream ended after {} tokens without its last event", self.tokens);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u32, counted: u32) -> String {
        format!("data: {{\"content\":\" {number}\",\"stop\":false,\"tokens_predicted\":{counted}}}")
    }

    fn judge(lines: &[String]) -> Result<u32> {
        let mut check = RawCheck::default();
        lines.iter().try_for_each(|line| check.line(line.as_bytes()))?;
        check.finish()?;
        Ok(check.tokens())
    }

    fn stop(counted: u32) -> String {
        format!("data: {{\"content\":\"\",\"stop\":true,\"tokens_predicted\":{counted}}}")
    }

    #[test]
    fn stream_in_order_is_counted() {
        let lines = [token(0, 1), String::new(), token(1, 2), ":".to_owned(), stop(2)];
        assert_eq!(judge(&lines).unwrap(), 2);
    }

    #[test]
    fn lost_doubled_foreign_and_missing_events_are_errors() {
        judge(&[token(0, 1), token(2, 3), stop(3)]).unwrap_err();
        judge(&[token(0, 1), token(0, 1), stop(1)]).unwrap_err();
        judge(&[token(0, 1), token(7, 2), stop(2)]).unwrap_err();
        judge(&[token(0, 1), stop(2)]).unwrap_err();
        judge(&[token(0, 1), stop(1), token(1, 2)]).unwrap_err();
        judge(&[token(0, 1)]).unwrap_err();
        judge(&["data: {\"error\":{\"code\":500}}".to_owned()]).unwrap_err();
    }
}

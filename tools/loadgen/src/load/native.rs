//! The product's own API: a task goes in, its events are read, and nothing in them may be out of order.

use anyhow::{Context, Result, bail, ensure};
use memchr::{memchr, memmem};
use serde_json::json;

use super::{
    Plan,
    connection::Connection,
    lines::{number, number_after, shown},
    stream::{self, Check, Streamed, TEXT_PERIOD},
};

/// A client that submits the same task again and again.
pub(crate) struct NativeClient {
    submit: Vec<u8>,
    host: String,
}

/// What became of a request for a task.
#[derive(Debug)]
pub(crate) enum Submitted {
    /// It has this id.
    Accepted(String),
    /// There was no room, in the server's words.
    Refused(String),
}

impl NativeClient {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self::with_priority(plan, "interactive")
    }

    /// A client of this class.
    pub(crate) fn with_priority(plan: &Plan, priority: &str) -> Self {
        let body = json!({
            "model_ref": plan.model,
            "prompt": &*plan.prompt,
            "max_tokens": plan.tokens,
            "priority": priority,
            "durability": "memory",
        })
        .to_string();
        let host = plan.target.to_string();
        let submit = format!(
            "POST /v2/tasks HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Self { submit: submit.into_bytes(), host }
    }

    /// One task, from the request to the end of its stream.
    pub(crate) async fn task(&mut self, connection: &mut Connection) -> Result<Streamed> {
        match self.submit(connection).await? {
            Submitted::Accepted(job_id) => self.read(connection, &job_id).await,
            Submitted::Refused(answer) => bail!("POST /v2/tasks: 429: {answer}"),
        }
    }

    /// Asks for one task.
    pub(crate) async fn submit(&mut self, connection: &mut Connection) -> Result<Submitted> {
        let head = connection.send(&self.submit).await?;
        let status = head.status;
        let answer = connection.read_text(head).await?;
        if status == 429 {
            return Ok(Submitted::Refused(shown(&answer)));
        }
        ensure!(status == 202, "POST /v2/tasks: {status}: {}", shown(&answer));
        let job_id = job_id(&answer).context("POST /v2/tasks: the answer has no job_id")?;
        Ok(Submitted::Accepted(job_id.to_owned()))
    }

    /// Reads a task's stream to its end.
    pub(crate) async fn read(&self, connection: &mut Connection, job_id: &str) -> Result<Streamed> {
        let events = format!("GET /v2/tasks/{job_id}/events HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        let head = connection.send(events.as_bytes()).await?;
        if head.status != 200 {
            let status = head.status;
            bail!("GET /v2/tasks/{job_id}/events: {status}: {}", shown(&connection.read_text(head).await?));
        }
        stream::read(connection, head, NativeCheck::default()).await
    }
}

/// The id in the answer to a task.
pub(crate) fn job_id(answer: &[u8]) -> Option<&str> {
    let name = b"\"job_id\":\"";
    let after = &answer[memmem::find(answer, name)? + name.len()..];
    str::from_utf8(&after[..memchr(b'"', after)?]).ok()
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Event {
    #[default]
    None,
    Started,
    Token,
    Metrics,
    End,
    Error,
}

/// How far the stream has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Waiting,
    Started,
    Ended,
}

#[derive(Debug, Default)]
struct NativeCheck {
    phase: Phase,
    /// The kind of event whose lines are being read.
    event: Event,
    next_id: u32,
    tokens: u32,
}

impl NativeCheck {
    fn data(&mut self, data: &[u8]) -> Result<()> {
        match self.event {
            Event::Error => bail!("the stream ended with an error event: {}", shown(data)),
            Event::None => bail!("data without an event: {}", shown(data)),
            Event::Metrics => {}
            Event::Started => {
                ensure!(self.phase == Phase::Waiting, self.wrong(data));
                self.phase = Phase::Started;
            }
            Event::Token => {
                let text = b"\"t\":\" ";
                let at = memmem::find(data, text).with_context(|| self.wrong(data))? + text.len();
                ensure!(
                    self.phase == Phase::Started && number_after(data, b"\"i\":") == Some(self.tokens),
                    self.wrong(data)
                );
                ensure!(number(&data[at..]) == Some(self.tokens % TEXT_PERIOD), self.wrong(data));
                self.tokens += 1;
            }
            Event::End => {
                let counted = number_after(data, b"\"tokens_out\":");
                ensure!(self.phase == Phase::Started && counted == Some(self.tokens), self.wrong(data));
                self.phase = Phase::Ended;
            }
        }
        Ok(())
    }

    fn wrong(&self, line: &[u8]) -> String {
        format!("the stream is wrong after {} tokens: {}", self.tokens, shown(line))
    }
}

impl Check for NativeCheck {
    fn line(&mut self, line: &[u8]) -> Result<()> {
        if line.is_empty() {
            self.event = Event::None;
            return Ok(());
        }
        if line.starts_with(b":") {
            return Ok(());
        }
        ensure!(self.phase != Phase::Ended, self.wrong(line));
        if let Some(data) = line.strip_prefix(b"data: ") {
            return self.data(data);
        }
        if let Some(id) = line.strip_prefix(b"id: ") {
            ensure!(number(id) == Some(self.next_id), "event {} was due, got {}", self.next_id, shown(line));
            self.next_id += 1;
            return Ok(());
        }
        self.event = match line {
            b"event: token" => Event::Token,
            b"event: metrics" => Event::Metrics,
            b"event: started" => Event::Started,
            b"event: end" => Event::End,
            b"event: error" => Event::Error,
            _ => bail!(self.wrong(line)),
        };
        Ok(())
    }

    fn tokens(&self) -> u32 {
        self.tokens
    }

    fn finish(&self) -> Result<()> {
        ensure!(
            self.phase == Phase::Ended,
            "the stream ended after {} tokens without an end event",
            self.tokens
        );
        // One id per event: started, the tokens, at least one metrics, end.
        ensure!(self.next_id >= self.tokens + 3, "only {} events had an id", self.next_id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(stream: &str) -> Result<u32> {
        let mut check = NativeCheck::default();
        stream.split('\n').try_for_each(|line| check.line(line.as_bytes()))?;
        check.finish()?;
        Ok(check.tokens())
    }

    fn event(id: u32, name: &str, data: &str) -> String {
        format!("id: {id}\nevent: {name}\ndata: {data}\n\n")
    }

    fn right() -> Vec<String> {
        vec![
            event(0, "started", "{}"),
            event(1, "token", r#"{"t":" 0","i":0}"#),
            event(2, "token", r#"{"i":1,"t":" 1"}"#),
            event(3, "metrics", "{}"),
            event(4, "end", r#"{"tokens_in":2,"tokens_out":2}"#),
        ]
    }

    #[test]
    fn stream_in_order_is_counted() {
        assert_eq!(judge(&right().join(": keep-alive\n\n")).unwrap(), 2);
    }

    #[test]
    fn any_event_left_out_is_an_error() {
        for missing in 0..right().len() {
            let mut events = right();
            events.remove(missing);
            judge(&events.concat()).unwrap_err();
        }
    }

    #[test]
    fn any_two_events_exchanged_are_an_error() {
        for first in 1..right().len() {
            let mut events = right();
            events.swap(first - 1, first);
            judge(&events.concat()).unwrap_err();
        }
    }

    #[test]
    fn error_event_is_an_error_that_says_what_the_server_said() {
        let stream = event(0, "started", "{}") + &event(1, "error", r#"{"code":"WORKER_RESET"}"#);
        assert!(judge(&stream).unwrap_err().to_string().contains("WORKER_RESET"));
    }

    #[test]
    fn job_id_is_found_in_the_answer() {
        assert_eq!(job_id(br#"{"a":1,"job_id":"0192","task_id":"0192"}"#), Some("0192"));
        assert_eq!(job_id(b"{}"), None);
    }
}

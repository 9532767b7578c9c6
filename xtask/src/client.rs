//! The small HTTP client of the commands that start a server: wait, submit, read the stream.
//!
//! Every wait here looks at the interrupt and at the children, so that neither Ctrl-C nor a dead server
//! leaves anybody in front of a silent terminal.

use std::{
    io::{BufRead, BufReader, Write},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use ureq::Agent;

use crate::{
    interrupt::Interrupt,
    process::{self, Process},
    workspace,
};

const TICK: Duration = Duration::from_millis(100);
/// Longer than the server's keep-alive, which comes at least every 15 s.
const SILENCE_LIMIT: Duration = Duration::from_secs(40);
const CALL_LIMIT: Duration = Duration::from_secs(10);
const LINES_AHEAD: usize = 64;

/// Calls to servers on this machine.
#[derive(Debug)]
pub(crate) struct Client<'a> {
    agent: Agent,
    interrupt: &'a Interrupt,
}

impl<'a> Client<'a> {
    pub(crate) fn new(interrupt: &'a Interrupt) -> Self {
        let config = Agent::config_builder()
            // A proxy of the user's shell has no business with 127.0.0.1.
            .proxy(None)
            .http_status_as_error(false)
            .timeout_connect(Some(CALL_LIMIT))
            .timeout_per_read(Some(SILENCE_LIMIT))
            .build();
        Self { agent: config.new_agent(), interrupt }
    }

    /// Waits for a 200; the first of the processes is the one that must give it.
    pub(crate) fn wait_until_ok(
        &self,
        url: &str,
        processes: &mut [&mut Process],
        limit: Duration,
    ) -> Result<()> {
        let begun = workspace::now();
        let mut last = "no answer".to_owned();
        while begun.elapsed() < limit {
            self.check()?;
            process::expect_all_running(processes)?;
            match self.agent.get(url).call() {
                Ok(answer) if answer.status() == 200 => return Ok(()),
                Ok(mut answer) => {
                    last = format!(
                        "{} {}",
                        answer.status(),
                        answer.body_mut().read_to_string().unwrap_or_default()
                    );
                }
                Err(error) => last = error.to_string(),
            }
            std::thread::sleep(TICK);
        }
        process::timed_out(
            processes,
            &format!("gave no 200 at {url} within {} s (last: {last})", limit.as_secs()),
        )
    }

    /// Submits the task and gives its id.
    pub(crate) fn submit(&self, url: &str, task: &Value, daemon: &mut Process) -> Result<String> {
        let request = self.agent.post(format!("{url}/v2/tasks")).header("content-type", "application/json");
        let mut answer = request.send(task.to_string()).context("the task could not be submitted")?;
        let text = answer.body_mut().read_to_string()?;
        if answer.status() != 202 {
            return Err(daemon.failed(&format!("refused the task with {}: {text}", answer.status())));
        }
        let body: Value = serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))?;
        match body["job_id"].as_str() {
            Some(id) => Ok(id.to_owned()),
            None => bail!("the admission has no job_id: {text}"),
        }
    }

    /// Prints the answer's text as it comes, then what it took.
    pub(crate) fn show_answer(&self, url: &str, task: &str, processes: &mut [&mut Process]) -> Result<()> {
        let begun = workspace::now();
        let lines = self.open_stream(format!("{url}/v2/tasks/{task}/events"));
        let mut events = Events::default();
        print!("A: ");
        loop {
            let line = self.next_line(&lines, processes)?;
            match events.feed(&line)? {
                Some(Event::Token(text)) => {
                    print!("{text}");
                    std::io::stdout().flush()?;
                }
                Some(Event::End { tokens, reason }) => {
                    println!("\n\n{tokens} tokens in {:.1} s ({reason})", begun.elapsed().as_secs_f64());
                    return Ok(());
                }
                Some(Event::Error(text)) => bail!("the stream ended with an error: {text}"),
                None => {}
            }
        }
    }

    /// Reads in a thread of its own, which ends with the stream or with its receiver.
    fn open_stream(&self, url: String) -> Receiver<Result<String>> {
        let (sender, receiver) = sync_channel(LINES_AHEAD);
        let agent = self.agent.clone();
        std::thread::spawn(move || {
            let lines = match agent.get(&url).header("accept", "text/event-stream").call() {
                Ok(answer) if answer.status() == 200 => {
                    BufReader::new(answer.into_body().into_reader()).lines()
                }
                Ok(answer) => {
                    return drop(sender.send(Err(anyhow::anyhow!("{url} answered {}", answer.status()))));
                }
                Err(error) => return drop(sender.send(Err(error.into()))),
            };
            for line in lines {
                if sender.send(line.map_err(Into::into)).is_err() {
                    return;
                }
            }
        });
        receiver
    }

    fn next_line(&self, lines: &Receiver<Result<String>>, processes: &mut [&mut Process]) -> Result<String> {
        loop {
            self.check()?;
            match lines.recv_timeout(TICK) {
                Ok(line) => return line.context("the stream of events broke"),
                Err(RecvTimeoutError::Timeout) => process::expect_all_running(processes)?,
                Err(RecvTimeoutError::Disconnected) => bail!("the stream of events ended without `end`"),
            }
        }
    }

    fn check(&self) -> Result<()> {
        if self.interrupt.has_come() {
            bail!("interrupted");
        }
        Ok(())
    }
}

/// What the show cares for in a job's stream.
#[derive(Debug, PartialEq)]
enum Event {
    Token(String),
    End { tokens: u64, reason: String },
    Error(String),
}

/// Puts the lines of a stream together to events.
#[derive(Debug, Default)]
struct Events {
    name: String,
    data: String,
}

impl Events {
    fn feed(&mut self, line: &str) -> Result<Option<Event>> {
        if let Some(name) = line.strip_prefix("event:") {
            name.trim().clone_into(&mut self.name);
        } else if let Some(data) = line.strip_prefix("data:") {
            self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
        } else if line.is_empty() && !self.data.is_empty() {
            return std::mem::take(self).finish();
        }
        Ok(None)
    }

    fn finish(self) -> Result<Option<Event>> {
        let data: Value =
            serde_json::from_str(&self.data).with_context(|| format!("not JSON: {}", self.data))?;
        Ok(match self.name.as_str() {
            "token" => {
                Some(Event::Token(data["t"].as_str().context("a token event without `t`")?.to_owned()))
            }
            "end" => Some(Event::End {
                tokens: data["tokens_out"].as_u64().context("an end event without `tokens_out`")?,
                reason: data["finish_reason"].as_str().unwrap_or("no reason given").to_owned(),
            }),
            "error" => Some(Event::Error(self.data)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn feed(text: &str) -> Vec<Event> {
        let mut events = Events::default();
        text.lines().filter_map(|line| events.feed(line).unwrap()).collect()
    }

    #[test]
    fn stream_is_put_together_and_comments_are_passed_over() {
        let text = "id: 0\nevent: started\ndata: {}\n\n: keep-alive\n\nid: 1\nevent: token\ndata: {\"t\":\" a\",\"i\":0}\n\n\
                    event: end\ndata: {\"tokens_out\":1,\"finish_reason\":\"stop\"}\n\n";
        let end = Event::End { tokens: 1, reason: "stop".to_owned() };
        assert_eq!(feed(text), [Event::Token(" a".to_owned()), end]);
    }

    #[test]
    fn error_event_keeps_its_whole_text() {
        let found = feed("event: error\ndata: {\"code\":\"POOL_UNREADY\"}\n\n");
        assert_eq!(found, [Event::Error("{\"code\":\"POOL_UNREADY\"}".to_owned())]);
    }

    #[test]
    fn token_without_text_is_an_error() {
        let mut events = Events::default();
        events.feed("event: token").unwrap();
        events.feed("data: {}").unwrap();
        assert!(events.feed("").is_err());
    }

    #[test]
    fn wait_ends_at_once_when_interrupted() {
        let interrupt = Interrupt::default();
        interrupt.come();
        let client = Client::new(&interrupt);
        let error =
            client.wait_until_ok("http://127.0.0.1:1/", &mut [], Duration::from_mins(10)).unwrap_err();
        assert_eq!(error.to_string(), "interrupted");
    }

    #[test]
    fn wait_that_ends_in_vain_says_what_came_last() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/ready", listener.local_addr().unwrap());
        drop(listener);
        let interrupt = Interrupt::default();
        let error =
            Client::new(&interrupt).wait_until_ok(&url, &mut [], Duration::from_millis(200)).unwrap_err();
        assert!(error.to_string().contains(&url) && error.to_string().contains("refused"), "{error}");
    }

    #[test]
    fn stream_that_stops_without_end_is_an_error() {
        let (sender, lines) = sync_channel(1);
        sender.send(Ok("event: token".to_owned())).unwrap();
        drop(sender);
        let interrupt = Interrupt::default();
        let client = Client::new(&interrupt);
        client.next_line(&lines, &mut []).unwrap();
        let error = client.next_line(&lines, &mut []).unwrap_err();
        assert!(error.to_string().contains("without `end`"), "{error}");
    }
}

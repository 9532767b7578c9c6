//! Whatever a reader says of where it stands, it gets the rest of the stream from there, or a refusal that says why.
#![no_main]

use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderValue, Request, Uri};
use libfuzzer_sys::fuzz_target;
use orchestratord::fuzzing::Server;
use orchestratord_fuzz::without_network;

const TASK: &str = "/v2/tasks/00000000-0000-4000-8000-000000000001";

fuzz_target!(|data: &[u8]| {
    // A line of the header's value, then the query. Without a line there is no header.
    let (header, query) = match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (Some(&data[..at]), &data[at + 1..]),
        None => (None, data),
    };
    let header = header.map(HeaderValue::from_bytes);
    let (Ok(header), Ok(query)) = (header.transpose(), std::str::from_utf8(query)) else { return };
    let Ok(uri) = format!("{TASK}/events?{query}").parse::<Uri>() else { return };
    let (server, stream) = server();
    let mut request = Request::get(uri.clone()).header("host", "localhost");
    if let Some(header) = &header {
        request = request.header("last-event-id", header);
    }
    let request = request.body(Bytes::new()).expect("it is a request");
    let (status, body) = server.run(server.ask(request)).expect("the answer is whole");
    let asked = Asked::read(header.as_ref(), uri.query().unwrap_or_default());
    match status {
        200 => {
            let after =
                asked.after.as_deref().map(|after| number(after).unwrap_or_else(|| panic!("took {after:?}")));
            let rest = stream.iter().filter(|(id, _)| after.is_none_or(|after| *id > after));
            let rest: String = rest.map(|(_, frame)| frame.as_str()).collect();
            let whole = String::from_utf8(body.to_vec()).expect("a stream is text");
            if whole.contains("\"human\"") {
                assert_eq!(ids(&whole), ids(&rest));
            } else {
                assert_eq!(whole, rest);
            }
        }
        400 => {
            let body: serde_json::Value = serde_json::from_slice(&body).expect("a refusal is JSON");
            assert_eq!(body["code"], "INVALID_PARAMS");
            let named = ["Last-Event-ID: ", "after: ", "query: "];
            let message = body["message"].as_str().expect("it says why");
            assert!(named.iter().any(|name| message.starts_with(name)), "{message}");
            let last = stream.last().map_or(0, |(id, _)| *id);
            let good = asked.after.as_deref().is_none_or(|after| number(after).is_some_and(|id| id <= last));
            assert!(!good || message.starts_with("query: "), "refused {asked:?}: {message}");
        }
        other => panic!("{other} for {uri}"),
    }
});

/// Where a reader stands, read a second time by other means.
#[derive(Debug)]
struct Asked {
    after: Option<String>,
}

impl Asked {
    fn read(header: Option<&HeaderValue>, query: &str) -> Self {
        if let Some(header) = header {
            return Self { after: Some(String::from_utf8_lossy(header.as_bytes()).into_owned()) };
        }
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        Self { after: pairs.filter(|(name, _)| name == "after").map(|(_, value)| value.into_owned()).last() }
    }
}

/// An id as it is written: digits, and few of them.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= 10 && text.chars().all(|c| c.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn ids(stream: &str) -> Vec<&str> {
    stream.lines().filter(|line| line.starts_with("id: ")).collect()
}

/// The server, and the events of a task that has ended.
type Ready = (Server, Vec<(u32, String)>);

fn server() -> &'static Ready {
    static SERVER: OnceLock<Ready> = OnceLock::new();
    SERVER.get_or_init(|| told(without_network()))
}

fn told(server: Server) -> Ready {
    let body = r#"{"task_id":"00000000-0000-4000-8000-000000000001","model_ref":"mock","prompt":"a b","max_tokens":12}"#;
    let stream = server.run(async {
        for _ in 0..1_000 {
            let submit = Request::post("/v2/tasks").header("content-type", "application/json");
            let submit = submit.header("host", "localhost").body(Bytes::from_static(body.as_bytes()));
            let (status, _) =
                server.ask(submit.expect("it is a request")).await.expect("the answer is whole");
            if matches!(status, 200 | 202) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let read = Request::get(format!("{TASK}/events")).header("host", "localhost").body(Bytes::new());
        server.ask(read.expect("it is a request")).await.expect("the answer is whole").1
    });
    let stream = String::from_utf8(stream.to_vec()).expect("a stream is text");
    let events = stream.split_inclusive("\n\n").filter_map(|frame| {
        let id = frame.strip_prefix("id: ")?.split('\n').next()?.parse().ok()?;
        Some((id, frame.to_owned()))
    });
    let events: Vec<_> = events.collect();
    assert!(events.len() > 12, "{stream}");
    (server, events)
}

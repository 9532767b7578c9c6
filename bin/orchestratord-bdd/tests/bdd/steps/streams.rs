//! Streams of tasks: read as a whole, in part, or again from somewhere.

use reqwest::{Method, Response};
use tokio::time::timeout;

use super::answers;
use crate::{
    phrases::{Phrase, phrase},
    said::Said,
    stream::{Event, parse},
    support::PATIENCE,
    world::{Answer, World},
};

pub(super) const PHRASES: &[Phrase] = &[
    phrase!(r"^I read the stream of task (\w+)$", read),
    phrase!(r"^I read the stream of task (\w+) after event (\S+)$", read_after),
    phrase!(r"^I read (\d+) events? of task (\w+)$", read_some),
    phrase!(r"^I begin to read the stream of task (\w+)$", begin),
    phrase!(r"^I leave the stream of task (\w+)$", leave),
    phrase!(r"^my stream of task (\w+) breaks off without an end$", breaks_off),
    phrase!(r#"^the events of task (\w+) are "(.*)"$"#, are),
    phrase!(r#"^the last event of task (\w+) is "(\w+)"(?: with)?$"#, last),
    phrase!(r#"^the event "(\w+)" of task (\w+) has$"#, has),
    phrase!(r#"^the text of task (\w+) is "(.*)"$"#, text),
    phrase!(r"^the events of task (\w+) are numbered without a gap$", numbered),
    phrase!(r"^each event of task (\w+) can be resumed behind, byte for byte$", resumed),
    phrase!(r"^the stream of task (\w+) is what I read before$", as_before),
    phrase!(r"^the texts of tasks (\w+) and (\w+) are (the same|different)$", compare),
];

async fn opened(world: &mut World, name: &str, more: &str) -> Response {
    let path = format!("/v2/tasks/{}/events{more}", world.task(name));
    answers::ask(world, Method::GET, &path).send().await.expect("the server answers")
}

/// A task's stream from its first event to its last.
pub(super) async fn whole(world: &mut World, name: &str) -> String {
    let response = opened(world, name, "").await;
    let answer = Answer::of(response).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text
}

async fn events(world: &mut World, name: &str) -> Vec<Event> {
    parse(&whole(world, name).await)
}

async fn read(world: &mut World, said: Said) {
    let text = whole(world, said.word(0)).await;
    world.read.insert(said.word(0).to_owned(), text);
}

async fn read_after(world: &mut World, said: Said) {
    let path = format!("/v2/tasks/{}/events", world.task(said.word(0)));
    let request = answers::ask(world, Method::GET, &path).header("Last-Event-ID", said.word(1));
    world.answer = Answer::of(request.send().await.expect("the server answers")).await;
}

/// Reads so many events and leaves the stream open.
async fn read_some(world: &mut World, said: Said) {
    read_until(world, said.word(1), said.number(0)).await;
}

/// Opens the stream of a task, of which there may be no event yet.
async fn begin(world: &mut World, said: Said) {
    read_until(world, said.word(0), 0).await;
}

async fn read_until(world: &mut World, name: &str, count: u64) {
    let mut response = opened(world, name, "").await;
    let mut text = String::new();
    while (parse_begun(&text).len() as u64) < count {
        let chunk = timeout(PATIENCE, response.chunk()).await.expect("events come").expect("events come");
        text.push_str(std::str::from_utf8(&chunk.expect("the stream goes on")).expect("events are UTF-8"));
    }
    world.read.insert(name.to_owned(), text);
    world.open.insert(name.to_owned(), response);
}

/// The events of a stream that may end inside one.
fn parse_begun(text: &str) -> Vec<Event> {
    parse(text.rfind("\n\n").map_or("", |end| &text[..end + 2]))
}

async fn leave(world: &mut World, said: Said) {
    world.open.remove(said.word(0)).expect("the stream is open");
}

async fn breaks_off(world: &mut World, said: Said) {
    let mut response = world.open.remove(said.word(0)).expect("the stream is open");
    let mut text = world.read.remove(said.word(0)).unwrap_or_default();
    let rest = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    timeout(PATIENCE, rest).await.expect("the stream breaks off");
    let names: Vec<_> = parse_begun(&text).into_iter().map(|event| event.name).collect();
    assert!(!names.iter().any(|name| name == "end" || name == "error"), "{names:?}");
}

async fn are(world: &mut World, said: Said) {
    let events = events(world, said.word(0)).await;
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names.join(" "), said.word(1), "{events:?}");
}

async fn last(world: &mut World, said: Said) {
    let events = events(world, said.word(0)).await;
    let last = events.last().expect("a stream is not empty");
    assert_eq!(last.name, said.word(1), "{events:?}");
    answers::check_all(world, &last.data, &said).unwrap_or_else(|problem| panic!("{problem}"));
}

async fn has(world: &mut World, said: Said) {
    let events = events(world, said.word(1)).await;
    let found = events.iter().rfind(|event| event.name == said.word(0));
    let found = found.unwrap_or_else(|| panic!("no {} in {events:?}", said.word(0)));
    answers::check_all(world, &found.data, &said).unwrap_or_else(|problem| panic!("{problem}"));
}

/// What a reader has of a task when it follows the stream's own rules.
async fn told(world: &mut World, name: &str) -> String {
    let mut text: Vec<(u64, String)> = Vec::new();
    for event in events(world, name).await {
        if let Some(before) = event.data["discard_before_id"].as_u64() {
            text.retain(|(id, _)| *id >= before);
        }
        if let Some(after) = event.data["discard_after_id"].as_u64() {
            text.retain(|(id, _)| *id <= after);
        }
        if event.name == "token" {
            text.push((event.id, event.data["t"].as_str().expect("a token has a text").to_owned()));
        }
    }
    text.into_iter().map(|(_, text)| text).collect()
}

async fn text(world: &mut World, said: Said) {
    assert_eq!(told(world, said.word(0)).await, said.word(1));
}

async fn numbered(world: &mut World, said: Said) {
    let events = events(world, said.word(0)).await;
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    assert_eq!(ids, (0..events.len() as u64).collect::<Vec<_>>());
    let tokens = events.iter().filter(|event| event.name == "token");
    let numbers: Vec<_> = tokens.map(|token| token.data["i"].as_u64()).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).map(Some).collect::<Vec<_>>());
}

async fn resumed(world: &mut World, said: Said) {
    let name = said.word(0);
    let all = whole(world, name).await;
    for event in parse(&all) {
        let head = format!("id: {}\n", event.id);
        let from = all.find(&head).expect("the event is there");
        let rest = &all[from + all[from..].find("\n\n").expect("an event ends") + 2..];
        let response = opened(world, name, &format!("?after={}", event.id)).await;
        assert_eq!(response.text().await.expect("a stream"), rest, "after {}", event.id);
    }
}

async fn as_before(world: &mut World, said: Said) {
    let before = world.read.get(said.word(0)).expect("it was read before").clone();
    let now = whole(world, said.word(0)).await;
    assert!(now.starts_with(&before), "{now}\ndoes not begin with\n{before}");
}

async fn compare(world: &mut World, said: Said) {
    let (one, other) = (told(world, said.word(0)).await, told(world, said.word(1)).await);
    assert!(!one.is_empty());
    assert_eq!(one == other, said.word(2) == "the same", "{one:?} and {other:?}");
}

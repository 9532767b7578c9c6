//! Requests over HTTP, and what comes back.

use std::net::UdpSocket;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    facts::{self, set, value},
    phrases::{Phrase, phrase},
    said::Said,
    support::{LOOK, PATIENCE},
    world::{Answer, World},
};

pub(super) const PHRASES: &[Phrase] = &[
    phrase!(r"^my requests carry$", carry),
    phrase!(r#"^I hold the token "(.*)"$"#, hold),
    phrase!(r#"^I (get|post|put|delete) "([^"]*)"(?: with)?$"#, request),
    phrase!(r#"^I get "([^"]*)" (\d+) times$"#, get_times),
    phrase!(r#"^I post "(.*)" with (\d+) bytes of "(.)"$"#, post_bytes),
    phrase!(r"^I call from another address than loopback$", call_from_elsewhere),
    phrase!(r"^the answer is (\d+)(?: with code (\w+))?$", is),
    phrase!(r"^the answer has$", has),
    phrase!(r"^the answer has the headers$", has_headers),
    phrase!(r#"^the answer contains "(.*)"$"#, contains),
    phrase!(r#"^the answer does not contain "(.*)"$"#, does_not_contain),
    phrase!(r"^the answer is these events$", is_events),
    phrase!(r#"^I post "(.*)" and leave when engine (\w+) is busy, with$"#, leave_call),
    phrase!(r#"^"(.*)" soon shows$"#, soon_shows),
    phrase!(r"^task (\w+) soon shows$", task_soon_shows),
    phrase!(r"^task (\w+) becomes (\w+)$", becomes),
    phrase!(r"^pool (\w+) soon shows$", pool_soon_shows),
    phrase!(r#"^I remember the "(.*)" of the answer as (\w+)$"#, remember),
];

async fn carry(world: &mut World, said: Said) {
    for (name, value) in said.pairs() {
        let value = world.fill(value);
        world.headers.push((name.to_owned(), value));
    }
}

async fn hold(world: &mut World, said: Said) {
    world.headers.clear();
    world.headers.push(("Authorization".to_owned(), format!("Bearer {}", said.word(0))));
}

/// A request with what all requests carry.
pub(super) fn ask(world: &mut World, method: Method, path: &str) -> reqwest::RequestBuilder {
    let url = if path.starts_with("http") { path.to_owned() } else { world.base() + path };
    let mut request = world.client.request(method, url);
    for (name, value) in &world.headers {
        request = request.header(name, value);
    }
    request
}

/// The table below a step put over a document; `none` takes a field out.
pub(super) fn document(world: &mut World, said: &Said, start: Value) -> Value {
    let mut document = start;
    for (field, cell) in said.pairs() {
        match world.fill(cell).as_str() {
            "none" => drop(document.as_object_mut().and_then(|fields| fields.remove(field))),
            cell => set(&mut document, field, value(cell)),
        }
    }
    document
}

async fn request(world: &mut World, said: Said) {
    let path = world.fill(said.word(1));
    let method = Method::from_bytes(said.word(0).to_uppercase().as_bytes()).expect("a method");
    let has_body = method == Method::POST || method == Method::PUT;
    let mut request = ask(world, method, &path);
    if let Some(text) = &said.text {
        let text = world.fill(text);
        request = request.header("Content-Type", "application/json").body(text);
    } else if has_body {
        request = request.json(&document(world, &said, json!({})));
    }
    let response = request.send().await.expect("the server answers");
    world.answer = Answer::of(response).await;
}

async fn get_times(world: &mut World, said: Said) {
    let path = world.fill(said.word(0));
    for _ in 0..said.number(1) {
        let response = ask(world, Method::GET, &path).send().await.expect("the server answers");
        world.answer = Answer::of(response).await;
    }
}

async fn post_bytes(world: &mut World, said: Said) {
    let content = said.word(2).repeat(said.number(1).try_into().expect("a size"));
    let body = json!({"kind": "other", "content": content});
    let response = ask(world, Method::POST, said.word(0)).json(&body).send().await;
    world.answer = Answer::of(response.expect("the server answers")).await;
}

async fn call_from_elsewhere(world: &mut World, _: Said) {
    // Nothing is sent: the kernel only tells which address it would send from.
    let own = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    match own {
        Ok(own) if !own.ip().is_loopback() => world.calls = Some(own.ip()),
        _ => world.lacks = Some("an address that is not loopback"),
    }
}

async fn is(world: &mut World, said: Said) {
    let answer = &world.answer;
    assert_eq!(u64::from(answer.status), said.number(0), "{}", answer.text);
    if !said.word(1).is_empty() {
        let body = answer.json();
        let code = if body["error"].is_object() { &body["error"]["code"] } else { &body["code"] };
        assert_eq!(code, said.word(1), "{body}");
    }
}

/// Checks a document against the table below a step.
pub(super) fn check_all(world: &mut World, document: &Value, said: &Said) -> Result<(), String> {
    said.pairs().try_for_each(|(field, cell)| {
        let (field, cell) = (world.fill(field), world.fill(cell));
        facts::check(document, &field, &cell)
    })
}

async fn has(world: &mut World, said: Said) {
    let body = world.answer.json();
    check_all(world, &body, &said).unwrap_or_else(|problem| panic!("{problem}"));
}

async fn has_headers(world: &mut World, said: Said) {
    let headers = json!(world.answer.headers);
    let lower = |(name, cell): (&str, &str)| (name.to_lowercase(), cell.to_owned());
    for (name, cell) in said.pairs().map(lower).collect::<Vec<_>>() {
        let cell = world.fill(&cell);
        // A header is a text; a bound asks for its number.
        let mut headers = headers.clone();
        if let Some(number) = headers[&name].as_str().and_then(|text| text.parse::<f64>().ok()) {
            headers[&name] = json!(number);
        }
        facts::check(&headers, &name, &cell).unwrap_or_else(|problem| panic!("{problem}"));
    }
}

async fn contains(world: &mut World, said: Said) {
    let words = world.fill(said.word(0));
    assert!(world.answer.text.contains(&words), "`{words}` is not in {}", world.answer.text);
}

async fn does_not_contain(world: &mut World, said: Said) {
    let words = world.fill(said.word(0));
    assert!(!world.answer.text.contains(&words), "`{words}` is in {}", world.answer.text);
}

async fn is_events(world: &mut World, said: Said) {
    let events: Vec<_> =
        said.text.iter().flat_map(|text| text.lines()).map(|line| format!("data: {line}\n\n")).collect();
    assert_eq!(world.answer.text, events.concat());
}

/// A call whose client goes away once the engine works on it.
async fn leave_call(world: &mut World, said: Said) {
    let body = document(world, &said, json!({}));
    let call = ask(world, Method::POST, said.word(0)).json(&body).send();
    let busy = async {
        while world.engine(said.word(1)).wire.completions() == 0 {
            sleep(LOOK).await;
        }
    };
    let answered = async {
        if let Ok(response) = call.await {
            drop(response.text().await);
        }
    };
    tokio::select! {
        () = answered => panic!("the call was answered"),
        busy = timeout(PATIENCE, busy) => busy.expect("the engine is asked"),
    }
}

async fn soon_shows(world: &mut World, said: Said) {
    let path = world.fill(said.word(0));
    soon(world, &path, &said).await;
}

async fn task_soon_shows(world: &mut World, said: Said) {
    let path = format!("/v2/tasks/{}", world.task(said.word(0)));
    soon(world, &path, &said).await;
}

async fn pool_soon_shows(world: &mut World, said: Said) {
    let path = format!("/v2/pools/{}/health", said.word(0));
    soon(world, &path, &said).await;
}

/// Asks until the answer is as the table says.
async fn soon(world: &mut World, path: &str, said: &Said) {
    let began = Instant::now();
    loop {
        let response = ask(world, Method::GET, path).send().await.expect("the server answers");
        let answer = Answer::of(response).await;
        let checked = check_all(world, &answer.json(), said);
        world.answer = answer;
        match checked {
            Ok(()) => return,
            Err(problem) => assert!(began.elapsed() < PATIENCE, "{path}: {problem}"),
        }
        sleep(LOOK).await;
    }
}

async fn becomes(world: &mut World, said: Said) {
    let id = world.task(said.word(0));
    until_state(world, &id, said.word(1)).await;
}

/// Waits until a task is in this state.
pub(super) async fn until_state(world: &mut World, id: &str, wanted: &str) {
    let path = format!("/v2/tasks/{id}");
    let began = Instant::now();
    loop {
        let response = ask(world, Method::GET, &path).send().await.expect("the server answers");
        let answer = Answer::of(response).await;
        let state = answer.json()["state"].clone();
        if state == wanted {
            world.answer = answer;
            return;
        }
        let ended = ["completed", "failed", "canceled"].iter().any(|end| state == *end);
        assert!(!ended && began.elapsed() < PATIENCE, "{path}: {}", answer.text);
        sleep(LOOK).await;
    }
}

async fn remember(world: &mut World, said: Said) {
    let body = world.answer.json();
    let header = world.answer.headers.get(&said.word(0).to_lowercase()).cloned();
    let found = header.or_else(|| {
        let field = said.word(0).split('.').try_fold(&body, |place, part| match part.parse::<usize>() {
            Ok(number) => place.get(number),
            Err(_) => place.get(part),
        })?;
        Some(field.as_str().map_or_else(|| field.to_string(), str::to_owned))
    });
    let found = found.unwrap_or_else(|| panic!("no {} in {body}", said.word(0)));
    world.names.insert(said.word(1).to_owned(), found);
}

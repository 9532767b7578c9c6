//! Engines that do what they are told, and what was asked of them.

use std::{sync::Arc, time::Duration};

use mock::wire::{Act, Ending, Persona, Script, ScriptedEngine, Seen, answer, body_end};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::answers;
use crate::{
    phrases::{Phrase, phrase},
    said::Said,
    support::{LOOK, PATIENCE},
    world::{Engine, World},
};

/// Between two tokens of an engine that goes on.
const BEAT_MS: u64 = 80;

pub(super) const PHRASES: &[Phrase] = &[
    phrase!(r"^an engine (\w+)(?: with (\d+) slots?)?(?: that speaks (\w+))?$", start),
    phrase!(r#"^engine (\w+) will say "(.*)"$"#, say),
    phrase!(r#"^engine (\w+) will say "(.*)" and (stay|break)$"#, say_and),
    phrase!(r#"^engine (\w+) will take (\d+) ms to say "(.*)"$"#, say_slowly),
    phrase!(r"^engine (\w+) will go on for (\d+) ms$", go_on),
    phrase!(r"^engine (\w+) will think for ever$", think),
    phrase!(r"^engine (\w+) will break before it says anything$", break_at_once),
    phrase!(r"^engine (\w+) will be busy$", be_busy),
    phrase!(r#"^engine (\w+) will refuse with "(.*)"$"#, refuse),
    phrase!(r"^engine (\w+) is no longer well$", unwell),
    phrase!(r"^engine (\w+) is well again$", well),
    phrase!(r"^engine (\w+) has been asked (\d+) times?$", asked),
    phrase!(r"^engine (\w+) is busy with (\d+) tasks?$", busy_with),
    phrase!(r"^engine (\w+) was asked for tasks (.*) in this order$", order),
    phrase!(r"^the last request to engine (\w+) has$", last_request),
    phrase!(r"^the last request to engine (\w+) has the headers$", last_request_headers),
    phrase!(r"^the last request to engine (\w+) is$", last_request_is),
    phrase!(r"^engine (\w+) will send these events$", send_events),
    phrase!(r"^engine (\w+) sees its client leave$", client_leaves),
];

async fn start(world: &mut World, said: Said) {
    let slots = if said.word(1).is_empty() { 1 } else { said.number(1) };
    let slots = slots.try_into().expect("slots are few");
    let (kind, persona) = match said.word(2) {
        "" | "llamacpp" => ("llamacpp", Persona::llamacpp(slots)),
        "openai" => ("openai", Persona::openai()),
        "vllm" => ("vllm", Persona::vllm()),
        "tgi" => ("tgi", Persona::tgi()),
        other => panic!("nobody speaks {other}"),
    };
    let voice = persona.voice();
    let wire = ScriptedEngine::start_as(persona).await.expect("loopback can be listened on");
    let engine = Engine { wire: Arc::new(wire), kind: kind.to_owned(), voice };
    world.engines.insert(said.word(0).to_owned(), engine);
}

/// One token for each word, with the blank before it.
fn tokens(words: &str) -> Vec<String> {
    words.split_whitespace().map(|word| format!(" {word}")).collect()
}

fn push(world: &World, name: &str, script: Script) {
    world.engine(name).wire.push(script);
}

async fn say(world: &mut World, said: Said) {
    let script = world.engine(said.word(0)).voice.completion(&tokens(said.word(1)), Ending::Eos);
    push(world, said.word(0), script);
}

async fn say_and(world: &mut World, said: Said) {
    let mut script = world.engine(said.word(0)).voice.begun(&tokens(said.word(1)));
    match said.word(2) {
        "stay" => script.push(Act::UntilGone),
        // What was sent must arrive before the reset overtakes it.
        _ => script.extend([Act::Pause(Duration::from_millis(100)), Act::Reset]),
    }
    push(world, said.word(0), script);
}

async fn say_slowly(world: &mut World, said: Said) {
    let (voice, tokens) = (world.engine(said.word(0)).voice, tokens(said.word(2)));
    let mut script = voice.begun(&tokens[..1]);
    script.push(Act::Pause(Duration::from_millis(said.number(1))));
    script.extend(tokens.iter().enumerate().skip(1).map(|(index, text)| voice.token(text, index + 1)));
    script.extend([voice.end(Ending::Eos, tokens.len()), body_end()]);
    push(world, said.word(0), script);
}

async fn go_on(world: &mut World, said: Said) {
    let voice = world.engine(said.word(0)).voice;
    let count = usize::try_from(said.number(1)).expect("a time") / usize::try_from(BEAT_MS).expect("a time");
    let mut script = voice.begun::<&str>(&[]);
    for number in 1..=count {
        script.extend([voice.token(" on", number), Act::Pause(Duration::from_millis(BEAT_MS))]);
    }
    script.extend([voice.end(Ending::Eos, count), body_end()]);
    push(world, said.word(0), script);
}

async fn think(world: &mut World, said: Said) {
    push(world, said.word(0), vec![Act::UntilGone]);
}

async fn break_at_once(world: &mut World, said: Said) {
    push(world, said.word(0), vec![Act::Reset]);
}

async fn be_busy(world: &mut World, said: Said) {
    let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    push(world, said.word(0), vec![Act::Send(busy.as_bytes().to_vec()), Act::Close]);
}

async fn refuse(world: &mut World, said: Said) {
    let words = said.word(1);
    let body = format!(
        r#"{{"error":{{"message":"{words}","type":"invalid_request_error","param":null,"code":400}}}}"#
    );
    push(world, said.word(0), vec![Act::Send(answer("400 Bad Request", &body).into_bytes()), Act::Close]);
}

async fn unwell(world: &mut World, said: Said) {
    world.engine(said.word(0)).wire.becomes(Persona::llamacpp(1).without("/health"));
}

async fn well(world: &mut World, said: Said) {
    world.engine(said.word(0)).wire.becomes(Persona::llamacpp(1));
}

/// Waits until something is so of an engine.
async fn until(world: &World, name: &str, what: &str, is: impl Fn(&ScriptedEngine) -> bool) {
    let began = Instant::now();
    while !is(&world.engine(name).wire) {
        let seen = world.engine(name).wire.seen().len();
        assert!(
            began.elapsed() < PATIENCE,
            "engine {name} does not come to {what}; it was asked {seen} times"
        );
        sleep(LOOK).await;
    }
}

async fn asked(world: &mut World, said: Said) {
    let times = said.number(1);
    until(world, said.word(0), "that", |engine| engine.seen().len() as u64 == times).await;
}

async fn busy_with(world: &mut World, said: Said) {
    let count = said.number(1);
    until(world, said.word(0), "that", |engine| u64::from(engine.completions()) == count).await;
}

async fn order(world: &mut World, said: Said) {
    let names = said.word(1).replace("and", ",");
    let wanted: Vec<_> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let ids: Vec<_> = wanted.iter().map(|name| world.task(name)).collect();
    until(world, said.word(0), "all of them", |engine| engine.seen().len() >= ids.len()).await;
    let seen = world.engine(said.word(0)).wire.seen();
    let order: Vec<_> = seen.iter().filter_map(|seen| seen.header("x-request-id")).collect();
    assert_eq!(order, ids);
}

async fn last_request(world: &mut World, said: Said) {
    let seen: Seen = world.engine(said.word(0)).wire.seen().pop().expect("the engine was asked");
    let body: Value = serde_json::from_str(&seen.body).expect("a request is JSON");
    answers::check_all(world, &body, &said).unwrap_or_else(|problem| panic!("{problem}"));
}

async fn last_request_headers(world: &mut World, said: Said) {
    let seen: Seen = world.engine(said.word(0)).wire.seen().pop().expect("the engine was asked");
    let headers: Value = said.pairs().map(|(name, _)| (name.to_owned(), json!(seen.header(name)))).collect();
    answers::check_all(world, &headers, &said).unwrap_or_else(|problem| panic!("{problem}"));
}

async fn last_request_is(world: &mut World, said: Said) {
    let seen: Seen = world.engine(said.word(0)).wire.seen().pop().expect("the engine was asked");
    assert_eq!(Some(seen.body), said.text);
}

async fn send_events(world: &mut World, said: Said) {
    let mut script = world.engine(said.word(0)).voice.begun::<&str>(&[]);
    let events = said.text.iter().flat_map(|text| text.lines());
    script.extend(events.map(|line| Act::Chunk(format!("data: {line}\n\n").into_bytes())));
    script.push(body_end());
    push(world, said.word(0), script);
}

async fn client_leaves(world: &mut World, said: Said) {
    until(world, said.word(0), "a client that leaves", |engine| engine.gone() > 0).await;
}

//! Jobs whose engine is lost after their readers have seen tokens.

use std::time::Duration;

use mock::wire::{Act, Ending, Script, ScriptedEngine, Seen, completion, stream_head, token};
use serde_json::{Value, json};

use crate::support::{Event, TestApp, engine_task, parse, text_of};

/// Two engines, of which `a` gets the first attempt.
struct Pair {
    app: TestApp,
    a: ScriptedEngine,
    b: ScriptedEngine,
}

impl Pair {
    async fn start() -> Self {
        let (a, b) = (ScriptedEngine::start(1).await.unwrap(), ScriptedEngine::start(1).await.unwrap());
        let pools = format!("a=llamacpp+{},b=llamacpp+{}", a.url(), b.url());
        let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
        while app.get_json("/v2/meta/capabilities").await["engines"].as_array().unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self { app, a, b }
    }

    /// Runs a task that prefers `a`, with these further fields, to its end.
    async fn run(&self, fields: Value) -> (Value, Vec<Event>) {
        let mut task = engine_task();
        task["placement"] = json!({"mode": "prefer", "prefer_pools": ["a"]});
        for (name, value) in fields.as_object().unwrap() {
            task[name] = value.clone();
        }
        let id = self.app.submit(&task).await;
        let events = self.app.events(&id).await;
        (self.app.get_json(&format!("/v2/tasks/{id}")).await, events)
    }
}

/// Says these tokens and dies.
fn breaks_after(texts: &[&str]) -> Script {
    let mut script = vec![stream_head()];
    script.extend(texts.iter().enumerate().map(|(index, text)| token(text, index + 1)));
    script.extend([Act::Pause(Duration::from_millis(50)), Act::Reset]);
    script
}

fn named<'a>(events: &'a [Event], name: &str) -> Vec<&'a Event> {
    events.iter().filter(|event| event.name == name).collect()
}

fn body(seen: &Seen) -> Value {
    serde_json::from_str(&seen.body).unwrap()
}

//= ORCH-3030 type=test
#[tokio::test]
async fn a_restart_is_announced_with_the_id_before_which_all_is_to_be_forgotten() {
    let pair = Pair::start().await;
    pair.a.push(breaks_after(&[" a", " b"]));
    pair.b.push(completion(&[" x", " y"], Ending::Eos));
    let (task, events) = pair.run(json!({"on_engine_loss": "restart"})).await;
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(
        names,
        ["started", "token", "token", "started", "token", "token", "metrics", "end"],
        "{events:?}"
    );
    let anew = &events[3];
    assert_eq!(
        (&anew.data["recovery"], &anew.data["discard_before_id"], &anew.data["attempt"]),
        (&json!("restart"), &json!(3), &json!(2))
    );
    // Behind the announcement stands a stream like any other.
    let texts: Vec<_> = events[4..6].iter().map(|it| (it.data["i"].clone(), it.data["t"].clone())).collect();
    assert_eq!(texts, [(json!(0), json!(" x")), (json!(1), json!(" y"))]);
    let recovery = json!({"mode": "restart", "exact": true});
    assert_eq!(events.last().unwrap().data["recovery"], recovery);
    assert_eq!((&task["text"], &task["recovery"]), (&json!(" x y"), &recovery));
    // A reader that comes back in between gets the announcement, too.
    let id = task["job_id"].as_str().unwrap();
    assert_eq!(parse(&pair.app.stream(id, Some(2)).await), events[3..]);
    pair.app.finish().await;
}

//= ORCH-3030 type=test
#[tokio::test]
async fn without_a_seed_another_engine_goes_on_with_what_is_left_and_the_end_says_so() {
    let pair = Pair::start().await;
    pair.a.push(breaks_after(&[" a", " b"]));
    pair.b.push(completion(&[" c", " d"], Ending::Eos));
    let fields = json!({"on_engine_loss": "continue", "determinism": "best_effort", "max_tokens": 10});
    let (task, events) = pair.run(fields).await;
    assert_eq!(text_of(&events), " a b c d");
    let asked = body(&pair.b.seen()[0]);
    assert_eq!((&asked["prompt"], &asked["n_predict"]), (&json!("Count: a b"), &json!(8)));
    assert_eq!(named(&events, "started")[1].data["recovery"], "continue");
    let recovery = json!({"mode": "continue", "exact": false});
    let end = &events.last().unwrap().data;
    assert_eq!((&end["recovery"], &end["tokens_out"]), (&recovery, &json!(4)));
    assert_eq!(task["text"], " a b c d");
    pair.app.finish().await;
}

//= ORCH-3030 type=test
#[tokio::test]
async fn a_seeded_job_is_said_again_checked_and_gone_on_with_exactly() {
    let pair = Pair::start().await;
    pair.a.push(breaks_after(&[" a", " bc"]));
    // The same text, cut elsewhere.
    pair.b.push(completion(&[" a b", "c d", " e"], Ending::Eos));
    let (task, events) = pair.run(json!({"on_engine_loss": "continue"})).await;
    assert_eq!(text_of(&events), " a bc d e");
    let tokens: Vec<_> = named(&events, "token").iter().map(|it| it.data["t"].clone()).collect();
    assert_eq!(tokens, [" a", " bc", " d", " e"]);
    let (first, second) = (body(&pair.a.seen()[0]), body(&pair.b.seen()[0]));
    assert_eq!(second, first, "the second engine gets the same request, seed and all");
    assert_eq!(named(&events, "started")[1].data["recovery"], "replay");
    let recovery = json!({"mode": "replay", "exact": true});
    assert_eq!((&events.last().unwrap().data["recovery"], &task["recovery"]), (&recovery, &recovery));
    pair.app.finish().await;
}

//= ORCH-3030 type=test
#[tokio::test]
async fn an_engine_that_says_something_else_only_goes_on_and_that_is_told() {
    for other in [completion(&[" a", " X"], Ending::Eos), completion(&[" a"], Ending::Eos)] {
        let pair = Pair::start().await;
        pair.a.push(breaks_after(&[" a", " b"]));
        pair.b.push(other);
        pair.b.push(completion(&[" c"], Ending::Eos));
        let (_, events) = pair.run(json!({"on_engine_loss": "continue"})).await;
        assert_eq!(text_of(&events), " a b c", "not one byte of the other text is told");
        assert_eq!(body(&pair.b.seen()[1])["prompt"], "Count: a b");
        assert_eq!(events.last().unwrap().data["recovery"], json!({"mode": "continue", "exact": false}));
        pair.app.finish().await;
    }
}

#[tokio::test]
async fn a_job_that_was_all_said_when_its_engine_died_is_not_said_again() {
    let pair = Pair::start().await;
    pair.a.push(breaks_after(&[" a", " b"]));
    let fields = json!({"on_engine_loss": "continue", "determinism": "best_effort", "max_tokens": 2});
    let (task, events) = pair.run(fields).await;
    assert_eq!(text_of(&events), " a b");
    assert_eq!((&task["state"], &task["finish_reason"]), (&json!("completed"), &json!("length")));
    assert!(pair.b.seen().is_empty());
    pair.app.finish().await;
}

#[tokio::test]
async fn a_recovery_is_an_attempt_like_any_other_and_their_number_is_bounded() {
    let pair = Pair::start().await;
    pair.a.push(breaks_after(&[" a"]));
    let (task, events) = pair.run(json!({"on_engine_loss": "restart", "max_attempts": 1})).await;
    assert_eq!(events.last().unwrap().data["code"], "WORKER_RESET");
    assert_eq!((&task["attempts"], pair.b.seen().len()), (&json!(1), 0));
    pair.app.finish().await;
}

//= ORCH-3030 type=test
#[tokio::test]
async fn a_text_that_no_engine_says_by_itself_any_more_is_gone_on_with_at_the_next_try_too() {
    let pair = Pair::start().await;
    pair.a.push(breaks_after(&[" a"]));
    pair.b.push(completion(&[" X"], Ending::Eos));
    let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    pair.b.push(vec![Act::Send(busy.as_bytes().to_vec()), Act::Close]);
    pair.b.push(completion(&[" b"], Ending::Eos));
    let (_, events) = pair.run(json!({"on_engine_loss": "continue"})).await;
    assert_eq!(text_of(&events), " a b");
    let prompts: Vec<_> = pair.b.seen().iter().map(|seen| body(seen)["prompt"].clone()).collect();
    assert_eq!(prompts, ["Count:", "Count: a", "Count: a"]);
    assert_eq!(events.last().unwrap().data["recovery"], json!({"mode": "continue", "exact": false}));
    pair.app.finish().await;
}

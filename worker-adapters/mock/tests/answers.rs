//! What the mock answers: the same again for the same order, and wrong in just the way that was asked.
#![cfg(test)]

use std::{sync::Arc, time::Duration};

use adapter_api::{
    AdapterError, Finish, FinishReason, Generate, Input, Progress, Prompt, Relay, Route, Sampling,
    TokenBatch, TokenStream, UsageEvent, Work, WorkOrder, WorkerAdapter, next,
};
use mock::{MockAdapter, MockConfig, Script};
use tokio::time::{Instant, timeout};

fn order(prompt: &str, seed: Option<u64>, max_tokens: u32, stop: &[&str]) -> Arc<WorkOrder> {
    let stop = stop.iter().map(|text| (*text).to_owned()).collect();
    let generate = Generate {
        sampling: Sampling { seed, stop, ..Sampling::default() },
        ..Generate::from(Input::text(prompt), max_tokens)
    };
    order_of(Work::Generate(generate))
}

fn order_of(work: Work) -> Arc<WorkOrder> {
    Arc::new(WorkOrder { request_id: "r1".into(), model: "m".into(), work, trace: None })
}

async fn listen(stream: &mut dyn TokenStream) -> (Vec<String>, Result<Finish, AdapterError>) {
    let (mut texts, mut batch) = (Vec::new(), TokenBatch::new());
    loop {
        batch.clear();
        let progress = next(stream, &mut batch).await;
        texts.extend(batch.pieces().map(|piece| piece.text.to_owned()));
        match progress {
            Ok(Progress::More) => {}
            Ok(Progress::Ended(finish)) => return (texts, Ok(finish)),
            Err(error) => return (texts, Err(error)),
        }
    }
}

async fn answer(mock: &MockAdapter, order: Arc<WorkOrder>) -> (Vec<String>, Result<Finish, AdapterError>) {
    listen(mock.submit(order).await.unwrap().as_mut()).await
}

#[tokio::test]
async fn the_same_prompt_and_seed_give_the_same_text_on_any_mock() {
    let (one, other) = (MockAdapter::new(MockConfig::default()), MockAdapter::new(MockConfig::default()));
    let (first, _) = answer(&one, order("tell me", Some(5), 200, &[])).await;
    let (again, _) = answer(&one, order("tell me", Some(5), 200, &[])).await;
    let (elsewhere, _) = answer(&other, order("tell me", Some(5), 200, &[])).await;
    assert_eq!(first.len(), 200);
    assert_eq!(first, again);
    assert_eq!(first, elsewhere);
}

#[tokio::test]
async fn another_seed_or_another_prompt_gives_another_text() {
    let mock = MockAdapter::new(MockConfig::default());
    let (first, _) = answer(&mock, order("tell me", Some(5), 40, &[])).await;
    let (seeded, _) = answer(&mock, order("tell me", Some(6), 40, &[])).await;
    let (prompted, _) = answer(&mock, order("tell him", Some(5), 40, &[])).await;
    assert_ne!(first, seeded);
    assert_ne!(first, prompted);
}

#[tokio::test]
async fn a_shorter_answer_is_the_beginning_of_the_longer_one() {
    let mock = MockAdapter::new(MockConfig::default());
    let (long, _) = answer(&mock, order("count", None, 300, &[])).await;
    for limit in [0, 1, 63, 64, 65, 128] {
        let (short, end) = answer(&mock, order("count", None, limit, &[])).await;
        assert_eq!(short, long[..limit as usize]);
        let finish = end.unwrap();
        assert_eq!((finish.reason, finish.usage.generated), (FinishReason::Length, limit));
    }
}

#[tokio::test]
async fn a_stop_text_ends_the_answer_and_is_not_part_of_it() {
    let mock = MockAdapter::new(MockConfig::default());
    let (full, _) = answer(&mock, order("stop here", None, 100, &[])).await;
    let text = full.concat();
    // One whole word, the end of one word with all of the next, and the inside of a word.
    let across = [&full[3][2..], full[4].as_str()].concat();
    for stop in [full[7].as_str(), across.as_str(), "o"] {
        let (cut, end) = answer(&mock, order("stop here", None, 100, &["never said", stop])).await;
        assert_eq!(cut.concat(), text[..text.find(stop).unwrap()], "stop text {stop:?}");
        assert_eq!(end.unwrap().reason, FinishReason::Stop, "stop text {stop:?}");
    }
}

#[tokio::test]
async fn a_stop_text_that_never_comes_changes_nothing() {
    let mock = MockAdapter::new(MockConfig::default());
    let (full, _) = answer(&mock, order("go on", None, 100, &[])).await;
    let (same, end) = answer(&mock, order("go on", None, 100, &["never said", ""])).await;
    assert_eq!(same, full);
    assert_eq!(end.unwrap().reason, FinishReason::Length);
}

#[tokio::test]
async fn only_a_stream_that_is_dropped_before_its_end_counts_as_canceled() {
    let mock = MockAdapter::with_scripts(
        MockConfig::default(),
        [Script::Good, Script::DieAfter(1), Script::StallAfter(1), Script::Refuse],
    );
    let counts = mock.counts();
    answer(&mock, order("p", None, 3, &[])).await.1.unwrap();
    assert_eq!(answer(&mock, order("p", None, 3, &[])).await.1, Err(AdapterError::Lost));
    assert_eq!((counts.submits(), counts.running(), counts.canceled()), (2, 0, 0));

    let stalled = mock.submit(order("p", None, 3, &[])).await.unwrap();
    assert_eq!((counts.running(), counts.canceled()), (1, 0));
    assert_eq!(mock.probe().await.unwrap().slots_busy, Some(1));
    drop(stalled);
    assert_eq!((counts.running(), counts.canceled()), (0, 1));

    assert!(mock.submit(order("p", None, 3, &[])).await.is_err());
    assert_eq!((counts.submits(), counts.running(), counts.canceled()), (4, 0, 1));
}

//= ORCH-3058 type=test
#[tokio::test]
async fn each_script_is_taken_by_one_submit_and_good_answers_follow() {
    let mock = MockAdapter::with_scripts(MockConfig::default(), [Script::Refuse, Script::Unreachable]);
    assert!(matches!(mock.submit(order("p", None, 3, &[])).await, Err(AdapterError::Refused { .. })));
    assert!(matches!(mock.submit(order("p", None, 3, &[])).await, Err(AdapterError::Unreachable { .. })));
    let mock = MockAdapter::with_scripts(MockConfig::default(), [Script::DieAfter(1), Script::Good]);
    let (texts, end) = answer(&mock, order("p", None, 3, &[])).await;
    assert_eq!((texts.len(), end), (1, Err(AdapterError::Lost)));
    assert_eq!(answer(&mock, order("p", None, 3, &[])).await.0.len(), 3);
    let mock = MockAdapter::with_scripts(MockConfig::default(), [Script::Busy, Script::GarbageAfter(2)]);
    assert!(matches!(mock.submit(order("p", None, 3, &[])).await, Err(AdapterError::Busy { .. })));
    let (texts, end) = answer(&mock, order("p", None, 3, &[])).await;
    assert_eq!(texts.len(), 2);
    assert!(matches!(end, Err(AdapterError::Protocol { .. })));
    let (texts, end) = answer(&mock, order("p", None, 3, &[])).await;
    assert_eq!((texts.len(), end.is_ok()), (3, true));
}

#[tokio::test]
async fn an_engine_that_produces_too_much_goes_on_past_the_limit() {
    let mock = MockAdapter::with_scripts(MockConfig::default(), [Script::TooMany]);
    let mut stream = mock.submit(order("p", None, 3, &[])).await.unwrap();
    let (mut batch, mut count) = (TokenBatch::new(), 0);
    while count < 1_000 {
        batch.clear();
        assert_eq!(next(stream.as_mut(), &mut batch).await, Ok(Progress::More));
        count += batch.len();
    }
}

#[tokio::test(start_paused = true)]
async fn delays_are_kept_to_the_first_token_and_between_tokens() {
    let config = MockConfig {
        first_token_delay: Duration::from_millis(500),
        token_delay: Duration::from_millis(20),
        ..MockConfig::default()
    };
    let mock = MockAdapter::new(config);
    let start = Instant::now();
    let mut stream = mock.submit(order("p", None, 5, &[])).await.unwrap();
    let mut batch = TokenBatch::new();
    next(stream.as_mut(), &mut batch).await.unwrap();
    assert_eq!((batch.len(), start.elapsed().as_millis()), (1, 500));
    listen(stream.as_mut()).await.1.unwrap();
    assert!((580..=605).contains(&start.elapsed().as_millis()), "took {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_trickling_engine_is_never_silent_for_long_and_takes_its_time() {
    let mock = MockAdapter::with_scripts(MockConfig::default(), [Script::Trickle(Duration::from_secs(1))]);
    let start = Instant::now();
    let mut stream = mock.submit(order("p", None, 60, &[])).await.unwrap();
    let mut batch = TokenBatch::new();
    loop {
        batch.clear();
        let step = timeout(Duration::from_secs(2), next(stream.as_mut(), &mut batch)).await;
        if let Progress::Ended(_) = step.unwrap().unwrap() {
            break;
        }
    }
    assert!(start.elapsed() >= Duration::from_secs(58));
}

#[tokio::test]
async fn an_answer_that_broke_off_goes_on_where_it_broke_off() {
    let mock = MockAdapter::new(MockConfig::default());
    let (whole, _) = answer(&mock, order("go on", Some(3), 20, &[])).await;
    let generate = Generate {
        sampling: Sampling { seed: Some(3), ..Sampling::default() },
        so_far: Some(Prompt::new(whole[..8].concat())),
        ..Generate::from(Input::text("go on"), 12)
    };
    let (rest, _) = answer(&mock, order_of(Work::Generate(generate))).await;
    assert_eq!(rest, whole[8..]);
}

#[tokio::test]
async fn texts_become_vectors_and_are_ranked() {
    let mock = MockAdapter::new(MockConfig::default());
    let texts = || ["the sea", "a door"].map(Prompt::new).to_vec();
    let (pieces, end) = answer(&mock, order_of(Work::Embed(texts()))).await;
    let vectors: Vec<Vec<f64>> = serde_json::from_str(&pieces[0]).unwrap();
    assert_eq!((pieces.len(), vectors.len(), vectors[0].len(), end.unwrap().usage.prompt), (1, 2, 16, 4));
    let query = Prompt::new("a door");
    let (pieces, _) = answer(&mock, order_of(Work::Rerank { query, documents: texts() })).await;
    let ranking: serde_json::Value = serde_json::from_str(&pieces[0]).unwrap();
    assert_eq!((&ranking[0]["index"], &ranking[1]["index"]), (&1.into(), &0.into()));
}

/// The events of a call in `OpenAI`'s dialect.
async fn events(route: Route, members: &str, usage: UsageEvent) -> Vec<serde_json::Value> {
    let relay = Relay { route, members: Prompt::new(members), usage, answers: 1, max_tokens: None };
    let mock = MockAdapter::new(MockConfig::default());
    let (pieces, end) = answer(&mock, order_of(Work::Relay(relay))).await;
    end.unwrap();
    pieces.iter().map(|piece| serde_json::from_str(piece).unwrap()).collect()
}

#[tokio::test]
async fn a_call_is_answered_in_its_own_dialect_with_the_same_words() {
    let mock = MockAdapter::new(MockConfig::default());
    let (words, _) = answer(&mock, order("go on", Some(3), 4, &[])).await;
    let members = r#""prompt":"go on","seed":3,"max_tokens":4"#;
    let said = events(Route::Completions, members, UsageEvent::Wanted).await;
    let texts: Vec<_> = said[..4].iter().map(|event| event["choices"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(texts, words);
    assert_eq!(said[4]["choices"][0]["finish_reason"], "length");
    assert_eq!(said[5]["usage"]["completion_tokens"], 4);
    let withheld = events(Route::Completions, members, UsageEvent::Withheld).await;
    assert_eq!(withheld, said[..5]);
}

#[tokio::test]
async fn a_tool_that_must_be_called_is_called_with_what_its_schema_wants() {
    let members = r#""messages":[{"role":"user","content":"hi"}],"tool_choice":"required","tools":[{"type":"function",
        "function":{"name":"f","parameters":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}}}]"#;
    let said = events(Route::ChatCompletions, members, UsageEvent::Withheld).await;
    assert_eq!(said[0]["choices"][0]["delta"]["role"], "assistant");
    let calls: Vec<_> =
        said[1..3].iter().map(|event| &event["choices"][0]["delta"]["tool_calls"][0]["function"]).collect();
    let arguments = calls.iter().map(|call| call["arguments"].as_str().unwrap()).collect::<String>();
    assert_eq!((&calls[0]["name"], arguments.as_str()), (&"f".into(), r#"{"n":0}"#));
    assert_eq!(said[3]["choices"][0]["finish_reason"], "tool_calls");
}

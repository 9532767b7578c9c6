//! What the mock answers: the same again for the same order, and wrong in just the way that was asked.
#![cfg(test)]

use std::{sync::Arc, time::Duration};

use adapter_api::{
    AdapterError, Finish, FinishReason, Input, Progress, Sampling, TokenBatch, TokenStream, WorkOrder,
    WorkerAdapter, next,
};
use mock::{MockAdapter, MockConfig, Script};
use tokio::time::{Instant, timeout};

fn order(prompt: &str, seed: Option<u64>, max_tokens: u32, stop: &[&str]) -> Arc<WorkOrder> {
    let stop = stop.iter().map(|text| (*text).to_owned()).collect();
    Arc::new(WorkOrder {
        request_id: "r1".into(),
        model: "m".into(),
        input: Input::text(prompt),
        max_tokens,
        sampling: Sampling { seed, stop, ..Sampling::default() },
        traceparent: None,
    })
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

#[tokio::test]
async fn each_script_is_taken_by_one_submit_and_good_answers_follow() {
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

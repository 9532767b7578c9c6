//! Tests of one answer of the mock: fairness, stop texts, scripts.

use std::sync::atomic::{AtomicBool, Ordering};

use adapter_api::{Input, Sampling, Work, WorkOrder, WorkerAdapter, next};
use tokio::task::JoinSet;

use super::*;
use crate::MockAdapter;

fn order(max_tokens: u32, stop: &[&str]) -> Arc<WorkOrder> {
    let stop = stop.iter().map(|&stop| stop.to_owned()).collect();
    let generate = Generate {
        sampling: Sampling { stop, ..Sampling::default() },
        ..Generate::from(Input::text("Tell me a story."), max_tokens)
    };
    let work = Work::Generate(generate);
    Arc::new(WorkOrder { request_id: "r".into(), model: "m".into(), work, trace: None })
}

async fn read(max_tokens: u32, stop: &[&str]) -> (Vec<String>, Finish) {
    let mock = MockAdapter::new(MockConfig::default());
    let mut stream = mock.submit(order(max_tokens, stop)).await.unwrap();
    let mut batch = TokenBatch::new();
    loop {
        if let Progress::Ended(finish) = next(stream.as_mut(), &mut batch).await.unwrap() {
            return (batch.pieces().map(|piece| piece.text.to_owned()).collect(), finish);
        }
    }
}

#[tokio::test]
async fn a_stop_text_ends_the_answer_wherever_it_lies_and_is_no_part_of_it() {
    let (words, _) = read(30, &[]).await;
    let whole = words.concat();
    for start in 0..whole.len() - 12 {
        for length in [1, 4, 12] {
            let stop = &whole[start..start + length];
            let expected = &whole[..whole.find(stop).unwrap()];
            let (pieces, finish) = read(30, &[stop]).await;
            assert_eq!(pieces.concat(), expected, "stop text {stop:?}");
            assert_eq!(finish.reason, FinishReason::Stop);
            let used = words.concat().find(stop).unwrap() + length;
            let mut seen = 0;
            let count = 1 + words
                .iter()
                .take_while(|word| {
                    seen += word.len();
                    seen < used
                })
                .count();
            assert_eq!(finish.usage.generated as usize, count, "stop text {stop:?}");
        }
    }
}

#[tokio::test]
async fn a_stop_text_that_the_limit_cuts_off_does_not_stop() {
    let (words, _) = read(3, &[]).await;
    let (longer, _) = read(4, &[]).await;
    let stop = longer[2..].concat();
    let (pieces, finish) = read(3, &[&stop]).await;
    assert_eq!(pieces, words);
    assert_eq!(finish.reason, FinishReason::Length);
}

#[tokio::test]
async fn an_empty_stop_text_says_nothing() {
    let (pieces, finish) = read(5, &[""]).await;
    assert_eq!(pieces.len(), 5);
    assert_eq!(finish.reason, FinishReason::Length);
}

#[tokio::test]
async fn an_endless_answer_lets_other_tasks_of_its_thread_run() {
    let ran = Arc::new(AtomicBool::new(false));
    let mut others = JoinSet::new();
    let seen = Arc::clone(&ran);
    others.spawn(async move { seen.store(true, Ordering::SeqCst) });
    let mock = MockAdapter::with_scripts(MockConfig::default(), [Script::TooMany]);
    let mut stream = mock.submit(order(1, &[])).await.unwrap();
    let mut batch = TokenBatch::new();
    for _ in 0..4 {
        next(stream.as_mut(), &mut batch).await.unwrap();
        assert!(batch.len() <= TOKENS_PER_TURN as usize);
        batch.clear();
    }
    assert!(ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_cancel_that_is_ignored_keeps_the_slot_until_its_time() {
    let hour = Duration::from_hours(1);
    let scripts = [Script::IgnoreCancel(hour), Script::IgnoreCancel(Duration::from_millis(1))];
    let mock = MockAdapter::with_scripts(MockConfig::default(), scripts);
    let counts = mock.counts();
    for _ in 0..2 {
        drop(mock.submit(order(9, &[])).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!((counts.running(), counts.canceled()), (1, 2));
    drop(mock.submit(order(9, &[])).await.unwrap());
    assert_eq!((counts.running(), counts.canceled()), (1, 3));
}

#[tokio::test]
async fn a_cancel_ignored_after_the_end_is_no_cancel() {
    let script = Script::IgnoreCancel(Duration::from_hours(1));
    let mock = MockAdapter::with_scripts(MockConfig::default(), [script]);
    let mut stream = mock.submit(order(2, &[])).await.unwrap();
    let mut batch = TokenBatch::new();
    while !matches!(next(stream.as_mut(), &mut batch).await, Ok(Progress::Ended(_))) {}
    drop(stream);
    assert_eq!((mock.counts().running(), mock.counts().canceled()), (0, 0));
}

//! The promises themselves, one function for each kind.
//!
//! They compare what was promised with what came, and quote only what came: a failing run must not be
//! the first to print a prompt.
#![expect(clippy::panic, reason = "a test suite reports a broken rule by failing the test that runs it")]

use std::{fmt::Debug, future::Future, time::Duration};

use tokio::time::{sleep, timeout};

use crate::{AdapterError, SilencePhase, TokenStream, WorkerAdapter};

use super::{
    API_KEY, Behaviour, Harness, MAX_TOKENS, PROMPT,
    listen::{Heard, to_the_end, until},
    order,
};

/// No check may take longer, however slow the machine is.
const CHECK_TIME_MAX: Duration = Duration::from_secs(30);
/// How soon an engine must have noticed that its work was dropped.
const CANCEL_TIME_MAX: Duration = Duration::from_secs(2);
/// How long a stalled stream is watched that should wait for ever.
const STALL_TIME: Duration = Duration::from_millis(300);

/// Panics with the rule when it does not hold.
#[expect(clippy::fn_params_excessive_bools, reason = "an assertion takes what it asserts")]
pub(super) fn rule(holds: bool, rule: &str, behaviour: Behaviour, came: &dyn Debug) {
    assert!(holds, "{rule} (engine behaviour: {behaviour:?}; what came: {came:?})");
}

/// Checks all that holds for one behaviour.
pub(super) async fn behaviour(harness: &dyn Harness, behaviour: Behaviour) {
    let adapter = within(CHECK_TIME_MAX, behaviour, harness.adapter(behaviour)).await;
    no_secret("an adapter", behaviour, &format!("{adapter:?}"));
    if behaviour == Behaviour::Good {
        capabilities_and_probe(adapter.as_ref()).await;
    }
    match within(CHECK_TIME_MAX, behaviour, adapter.submit(order())).await {
        Err(error) => {
            shown(behaviour, &error);
            rule(
                opens_with(behaviour, &error),
                "a submit must fail with the right kind of error",
                behaviour,
                &error,
            );
        }
        Ok(stream) if behaviour == Behaviour::Stalls => stalled(harness, adapter.as_ref(), stream).await,
        Ok(mut stream) => {
            let heard = within(CHECK_TIME_MAX, behaviour, to_the_end(stream.as_mut(), behaviour)).await;
            drop(stream);
            ended(harness, behaviour, &heard);
        }
    }
    idle_soon(harness, behaviour, "a stream that is over must leave its engine idle within 2 s").await;
}

async fn capabilities_and_probe(adapter: &dyn WorkerAdapter) {
    let can = adapter.capabilities();
    rule(!can.engine.is_empty(), "an adapter must name its engine", Behaviour::Good, &can);
    rule(!can.workloads.is_empty(), "an adapter must name a kind of work", Behaviour::Good, &can);
    let report = within(CHECK_TIME_MAX, Behaviour::Good, adapter.probe()).await;
    let Ok(report) = report else {
        panic!("a probe of an engine that is well must succeed (what came: {report:?})");
    };
    let named = !report.models.is_empty() && report.models.iter().all(|name| !name.is_empty());
    rule(named, "a report must name the model, and every name must say something", Behaviour::Good, &report);
    rule(report.slots_total != Some(0), "an engine that is well must have a slot", Behaviour::Good, &report);
}

/// Whether a submit may fail so at once, instead of opening a stream.
fn opens_with(behaviour: Behaviour, error: &AdapterError) -> bool {
    match behaviour {
        Behaviour::Refuses => matches!(error, AdapterError::Refused { .. }),
        Behaviour::Busy => matches!(error, AdapterError::Busy { .. }),
        Behaviour::Loading => matches!(error, AdapterError::Unreachable { .. }),
        Behaviour::DiesBeforeFirstToken => {
            matches!(error, AdapterError::Lost | AdapterError::Unreachable { .. })
        }
        _ => false,
    }
}

/// Compares what a stream said with what its engine was made to say.
fn ended(harness: &dyn Harness, behaviour: Behaviour, heard: &Heard) {
    let texts = harness.texts(behaviour);
    let same = heard.text == texts.concat();
    rule(same, "the text must be the engine's, byte for byte, and nothing else", behaviour, &heard);
    match (&heard.end, harness.finish(behaviour)) {
        (Ok(finish), Some(reason)) => {
            rule(finish.reason == reason, "the finish must give the engine's reason", behaviour, finish);
            let counted = usize::try_from(finish.usage.generated).is_ok_and(|count| count == texts.len());
            rule(counted, "the usage must count the engine's tokens", behaviour, finish);
            rule(finish.usage.prompt > 0, "the usage must count the prompt", behaviour, finish);
            let limited = finish.usage.generated <= MAX_TOKENS;
            rule(limited, "an answer must keep the token limit", behaviour, finish);
            rule(!finish.invalid_utf8, "text that was good must not be called invalid", behaviour, finish);
        }
        (Err(error), None) => {
            shown(behaviour, error);
            let right = match behaviour {
                Behaviour::DiesAfterTokens | Behaviour::EndsWithoutMarker => *error == AdapterError::Lost,
                Behaviour::Garbage | Behaviour::EndlessLine => {
                    matches!(error, AdapterError::Protocol { .. })
                }
                _ => opens_with(behaviour, error),
            };
            rule(right, "a stream must fail with the right kind of error", behaviour, error);
        }
        (end, _) => rule(false, "only the engine's mark of a good end may end a stream well", behaviour, end),
    }
}

/// An engine that stays: dropping its stream must cancel it, and silence must not pass for an end.
async fn stalled(harness: &dyn Harness, adapter: &dyn WorkerAdapter, mut stream: Box<dyn TokenStream>) {
    let behaviour = Behaviour::Stalls;
    let texts = harness.texts(behaviour).concat();
    let text = within(CHECK_TIME_MAX, behaviour, until(stream.as_mut(), texts.len(), behaviour)).await;
    rule(text == texts, "text must come before its answer is over", behaviour, &text);
    rule(harness.is_generating().await, "an engine with an open stream must be at work", behaviour, &adapter);
    if harness.watches_silence() {
        let heard = within(CHECK_TIME_MAX, behaviour, to_the_end(stream.as_mut(), behaviour)).await;
        let silent = matches!(
            heard.end,
            Err(AdapterError::Silent {
                phase: SilencePhase::BeforeFirstToken | SilencePhase::BetweenTokens,
                ..
            })
        );
        rule(silent && heard.text.is_empty(), "silence must end a stream as silence", behaviour, &heard);
        if let Err(error) = &heard.end {
            shown(behaviour, error);
        }
    } else {
        let heard = timeout(STALL_TIME, to_the_end(stream.as_mut(), behaviour)).await;
        rule(heard.is_err(), "silence must not end a stream that does not watch for it", behaviour, &heard);
    }
    drop(stream);
    idle_soon(harness, behaviour, "dropping a stream must cancel its work within 2 s").await;
    dropped(harness).await;
}

/// The same once more, with the stream dropped while it is healthy.
async fn dropped(harness: &dyn Harness) {
    let behaviour = Behaviour::Stalls;
    let adapter = within(CHECK_TIME_MAX, behaviour, harness.adapter(behaviour)).await;
    let Ok(mut stream) = within(CHECK_TIME_MAX, behaviour, adapter.submit(order())).await else {
        panic!("an engine that is made anew must take work (engine behaviour: {behaviour:?})");
    };
    let length = harness.texts(behaviour).concat().len();
    within(CHECK_TIME_MAX, behaviour, until(stream.as_mut(), length, behaviour)).await;
    rule(harness.is_generating().await, "an engine with an open stream must be at work", behaviour, &adapter);
    drop(stream);
    idle_soon(harness, behaviour, "dropping a stream must cancel its work within 2 s").await;
}

async fn idle_soon(harness: &dyn Harness, behaviour: Behaviour, promise: &str) {
    let idle = timeout(CANCEL_TIME_MAX, async {
        while harness.is_generating().await {
            sleep(Duration::from_millis(5)).await;
        }
    });
    rule(idle.await.is_ok(), promise, behaviour, &harness);
}

/// An error may be shown to anyone, in either way that Rust shows things.
fn shown(behaviour: Behaviour, error: &AdapterError) {
    for text in [format!("{error:?}"), error.to_string()] {
        no_secret("an error", behaviour, &text);
        let plain = !text.is_empty() && text.len() <= 1_024 && !text.chars().any(char::is_control);
        rule(plain, "an error must read as one short line", behaviour, &text);
    }
}

fn no_secret(what: &str, behaviour: Behaviour, text: &str) {
    // The text itself is not shown: it holds the secret.
    for (secret, name) in [(PROMPT, "the prompt"), (API_KEY, "the API key")] {
        assert!(!text.contains(secret), "{what} must not show {name} (engine behaviour: {behaviour:?})");
    }
}

async fn within<T>(time: Duration, behaviour: Behaviour, work: impl Future<Output = T>) -> T {
    let Ok(done) = timeout(time, work).await else {
        panic!("no call may take longer than {time:?} (engine behaviour: {behaviour:?})");
    };
    done
}

//! The suite of the seam, run against the mock.
#![cfg(test)]

use std::sync::{Arc, Mutex};

use adapter_api::{
    FinishReason, WorkerAdapter,
    conformance::{Behaviour, Harness, run},
};
use async_trait::async_trait;
use mock::{MockAdapter, MockConfig, MockCounts, Script};

/// The mock's answer to the suite's order. If this changes, so does every recorded answer of the mock.
const TEXTS: [&str; 6] = [" morning", " bird", " waves", " over", " hill", " bright"];

#[derive(Debug, Default)]
struct MockHarness {
    counts: Mutex<Arc<MockCounts>>,
}

fn script(behaviour: Behaviour) -> Option<Script> {
    Some(match behaviour {
        Behaviour::Good | Behaviour::Limit => Script::Good,
        Behaviour::DiesBeforeFirstToken => Script::DieAfter(0),
        Behaviour::DiesAfterTokens => Script::DieAfter(2),
        Behaviour::Garbage => Script::GarbageAfter(1),
        Behaviour::Stalls => Script::StallAfter(1),
        Behaviour::Refuses => Script::Refuse,
        Behaviour::Busy => Script::Busy,
        Behaviour::Loading => Script::Unreachable,
        // Faults of a wire, which the mock does not have.
        Behaviour::Escapes
        | Behaviour::CutCharacters
        | Behaviour::TalksOn
        | Behaviour::EndsWithoutMarker
        | Behaviour::EndlessLine => return None,
    })
}

#[async_trait]
impl Harness for MockHarness {
    async fn adapter(&self, behaviour: Behaviour) -> Arc<dyn WorkerAdapter> {
        let adapter = MockAdapter::with_scripts(MockConfig::default(), script(behaviour));
        *self.counts.lock().unwrap() = adapter.counts();
        Arc::new(adapter)
    }

    fn can_show(&self, behaviour: Behaviour) -> bool {
        script(behaviour).is_some()
    }

    async fn is_generating(&self) -> bool {
        self.counts.lock().unwrap().running() > 0
    }

    fn texts(&self, behaviour: Behaviour) -> Vec<String> {
        let count = match behaviour {
            Behaviour::Good | Behaviour::Limit => TEXTS.len(),
            other => other.texts().len(),
        };
        TEXTS[..count].iter().map(|text| (*text).to_owned()).collect()
    }

    fn finish(&self, behaviour: Behaviour) -> Option<FinishReason> {
        // Its text has no end of its own, so only the limit ends it.
        behaviour.finish().map(|_reason| FinishReason::Length)
    }

    fn watches_silence(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn the_mock_keeps_the_promises_of_an_adapter() {
    run(&MockHarness::default()).await;
}

//! The suite against an adapter that keeps its promises, and against ones that each break one.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;

use super::{Behaviour, Harness, PROMPT, run};
use crate::{
    AdapterError, Capabilities, EngineReport, Finish, GoesOnWith, Progress, SilencePhase, TokenBatch,
    TokenStream, Usage, WorkOrder, WorkerAdapter, Workload,
};

/// How an adapter breaks a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    SwallowsText,
    CallsALossAnEnd,
    ShowsThePrompt,
    WorksOnWhenDropped,
    PromisesMoreForNothing,
    TurnsBusyIntoRefused,
    RelaysWhatFollowsTheEnd,
    CountsWrong,
    EndsSilenceWell,
}

#[derive(Debug)]
struct Fake {
    lie: Lie,
    behaviour: Behaviour,
    working: Arc<AtomicBool>,
}

#[async_trait]
impl WorkerAdapter for Fake {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            engine: "fake",
            workloads: &[Workload::Completion],
            deterministic: true,
            goes_on_with: GoesOnWith::Text,
        }
    }

    async fn probe(&self) -> Result<EngineReport, AdapterError> {
        Ok(EngineReport { models: vec!["fake".to_owned()], ..EngineReport::default() })
    }

    async fn submit(&self, _: Arc<WorkOrder>) -> Result<Box<dyn TokenStream>, AdapterError> {
        match self.behaviour {
            Behaviour::Refuses if self.lie == Lie::ShowsThePrompt => {
                Err(AdapterError::Refused { message: format!("bad: {PROMPT}") })
            }
            Behaviour::Refuses => Err(AdapterError::Refused { message: "bad".to_owned() }),
            Behaviour::Busy if self.lie == Lie::TurnsBusyIntoRefused => {
                Err(AdapterError::Refused { message: "full".to_owned() })
            }
            Behaviour::Busy => Err(AdapterError::Busy { retry_after: None }),
            Behaviour::Loading => Err(AdapterError::Unreachable { reason: "loading".to_owned() }),
            behaviour => {
                self.working.store(true, Ordering::SeqCst);
                let texts = behaviour.texts().to_vec();
                Ok(Box::new(FakeStream {
                    lie: self.lie,
                    behaviour,
                    texts,
                    step: 0,
                    working: Arc::clone(&self.working),
                }))
            }
        }
    }
}

struct FakeStream {
    lie: Lie,
    behaviour: Behaviour,
    texts: Vec<&'static str>,
    step: usize,
    working: Arc<AtomicBool>,
}

impl FakeStream {
    fn end(&self, batch: &mut TokenBatch) -> Result<Progress, AdapterError> {
        if self.lie == Lie::RelaysWhatFollowsTheEnd && self.behaviour == Behaviour::TalksOn {
            batch.push(" four");
        }
        let generated = u32::try_from(self.texts.len()).unwrap() + u32::from(self.lie == Lie::CountsWrong);
        let good = Finish {
            reason: self.behaviour.finish().unwrap_or_default(),
            usage: Usage { prompt: 3, generated, cached: None },
            ..Finish::default()
        };
        match self.behaviour {
            Behaviour::EndsWithoutMarker if self.lie == Lie::CallsALossAnEnd => Ok(Progress::Ended(good)),
            Behaviour::Stalls if self.lie == Lie::EndsSilenceWell => Ok(Progress::Ended(good)),
            Behaviour::Stalls => Err(AdapterError::Silent {
                waited: Duration::from_millis(1),
                phase: SilencePhase::BetweenTokens,
            }),
            Behaviour::Garbage | Behaviour::EndlessLine => {
                Err(AdapterError::Protocol { what: "nonsense".to_owned() })
            }
            behaviour if behaviour.finish().is_none() => Err(AdapterError::Lost),
            _ => Ok(Progress::Ended(good)),
        }
    }
}

impl TokenStream for FakeStream {
    fn poll_next(
        &mut self,
        _: &mut Context<'_>,
        batch: &mut TokenBatch,
    ) -> Poll<Result<Progress, AdapterError>> {
        let Some(text) = self.texts.get(self.step) else { return Poll::Ready(self.end(batch)) };
        self.step += 1;
        let swallowed = self.lie == Lie::SwallowsText && self.step == 2;
        if self.lie != Lie::PromisesMoreForNothing && !swallowed {
            batch.push(text);
        }
        if swallowed {
            return self.poll_next(&mut Context::from_waker(std::task::Waker::noop()), batch);
        }
        Poll::Ready(Ok(Progress::More))
    }
}

impl Drop for FakeStream {
    fn drop(&mut self) {
        if self.lie != Lie::WorksOnWhenDropped || self.behaviour != Behaviour::Stalls {
            self.working.store(false, Ordering::SeqCst);
        }
    }
}

#[derive(Debug)]
struct FakeHarness {
    lie: Lie,
    working: Mutex<Arc<AtomicBool>>,
}

#[async_trait]
impl Harness for FakeHarness {
    async fn adapter(&self, behaviour: Behaviour) -> Arc<dyn WorkerAdapter> {
        let working = Arc::new(AtomicBool::new(false));
        *self.working.lock().unwrap() = Arc::clone(&working);
        Arc::new(Fake { lie: self.lie, behaviour, working })
    }

    fn can_show(&self, _: Behaviour) -> bool {
        true
    }

    async fn is_generating(&self) -> bool {
        self.working.lock().unwrap().load(Ordering::SeqCst)
    }
}

async fn suite(lie: Lie) {
    run(&FakeHarness { lie, working: Mutex::default() }).await;
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_keeps_every_promise_passes() {
    suite(Lie::None).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the text must be the engine's, byte for byte, and nothing else")]
async fn swallowed_text_is_found() {
    suite(Lie::SwallowsText).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "only the engine's mark of a good end may end a stream well")]
async fn a_loss_that_passes_for_an_end_is_found() {
    suite(Lie::CallsALossAnEnd).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "an error must not show the prompt")]
async fn a_prompt_in_an_error_is_found() {
    suite(Lie::ShowsThePrompt).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "dropping a stream must cancel its work within 2 s")]
async fn work_that_goes_on_after_a_drop_is_found() {
    suite(Lie::WorksOnWhenDropped).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a stream that says there is more must have added a piece")]
async fn a_step_that_brings_nothing_is_found() {
    suite(Lie::PromisesMoreForNothing).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a submit must fail with the right kind of error")]
async fn a_wrong_kind_of_error_is_found() {
    suite(Lie::TurnsBusyIntoRefused).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the text must be the engine's, byte for byte, and nothing else")]
async fn text_from_behind_the_end_is_found() {
    suite(Lie::RelaysWhatFollowsTheEnd).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the usage must count the engine's tokens")]
async fn a_wrong_count_is_found() {
    suite(Lie::CountsWrong).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "silence must end a stream as silence")]
async fn silence_that_passes_for_an_end_is_found() {
    suite(Lie::EndsSilenceWell).await;
}

//! Carrying out what the machine wants.

use std::{sync::Arc, time::Duration};

use api_types::ErrorCode;
use config_schema::Provisioning;
use narration_core::{EngineMoment, Narration, narrate, record};
use pool_registry_types::{OperationKind, OperationState};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{Input, News, Pool, Refusal};
use crate::{
    adapters,
    child::Launch,
    gpu,
    machine::{Effect, Event, NotPrepared, Which},
    plan::{Place, shown},
    provision,
    state::Kept,
};

/// The time between two looks at an engine; shorter while it is coming up.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const LOOK_INTERVAL_FIRST: Duration = Duration::from_millis(100);

impl Pool {
    pub(super) fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Prepare(which) => self.prepare(which),
                Effect::Spawn(which) => self.spawn(which),
                Effect::Stop => self.stop(),
                Effect::WarmUp => self.warm_up(),
                Effect::Check => self.check(),
                Effect::Commit => self.commit(),
                Effect::CleanUp => self.clean_up(),
                Effect::Finished(kind, outcome) => self.finished(kind, outcome),
                Effect::Lost => self.home.metrics.restarted(&self.id),
            }
        }
    }

    /// Runs something beside this task, and takes what comes of it as news of the present life.
    fn beside(&self, work: impl Future<Output = News> + Send + 'static) {
        let (inbox, life) = (self.inbox.clone(), self.life);
        self.home.tracker.spawn(async move {
            let news = work.await;
            // A pool that has ended needs no news.
            drop(inbox.send(Input::News { life, news }).await);
        });
    }

    fn prepare(&mut self, which: Which) {
        self.life += 1;
        self.looking = None;
        self.report = adapter_api::EngineReport::default();
        if let Provisioning::External { .. } = self.spec.provisioning {
            self.beside(async { News::Event(Event::Prepared(Ok(()))) });
            return;
        }
        match self.choose_place() {
            Ok(place) => self.place = place,
            Err(why) => {
                self.beside(async { News::Prepared(Err(NotPrepared::Failed(why))) });
                return;
            }
        }
        let (choice, vram) = (self.choice(which), self.vram());
        let provisioner = Arc::clone(&self.home.provisioner);
        let prepared = provisioner.prepare(Arc::clone(&self.spec), choice, self.place.clone(), vram);
        self.beside(async { News::Prepared(prepared.await) });
    }

    fn choose_place(&mut self) -> Result<Place, String> {
        let state = &self.home.provisioner.state;
        let host = self.spec.host.clone().unwrap_or_else(|| self.home.host.clone());
        let port = provision::port(&host, self.spec.port, self.port)?;
        self.port = port;
        Ok(Place {
            host,
            port,
            cache: self.spec.cache_dir.clone().unwrap_or_else(|| state.cache(&self.id)),
            build: state.builds().join(&*self.id),
        })
    }

    /// All memory of the pool's devices. What is free now says little: it may be the old engine's.
    fn vram(&self) -> Option<u64> {
        let readings = self.home.readings.borrow();
        gpu::share(&readings, self.spec.devices.as_deref()).total_bytes
    }

    fn spawn(&mut self, which: Which) {
        if !matches!(self.spec.provisioning, Provisioning::External { .. })
            && let Err(why) = self.start_process(which)
        {
            self.beside(async { News::Event(Event::Exited(why)) });
            return;
        }
        let built = self
            .endpoint()
            .and_then(|endpoint| adapters::build(self.spec.engine, endpoint, self.spec.api_key.as_ref()));
        match built {
            Ok(adapter) => {
                self.adapter = Some(adapter);
                self.look();
            }
            Err(why) => {
                error!(pool_id = %self.id, error = why, "the engine cannot be asked how it is");
                self.said = Some(why);
            }
        }
    }

    fn start_process(&mut self, which: Which) -> Result<(), String> {
        let command = self.line.take().ok_or("there is no command line")?;
        narrate!(Narration::engine(EngineMoment::Starts), pool_id = %self.id, program = command.program, args = shown(&command.args), port = self.place.port,
            model = self.choice(which).reference, "starting the engine");
        let launch = Launch {
            pool: Arc::clone(&self.id),
            line: command,
            stop_timeout: self.spec.stop_timeout,
            secret: self.spec.api_key.as_ref().map(|key| key.reveal().to_owned()),
        };
        let (inbox, life, tracker) = (self.inbox.clone(), self.life, self.home.tracker.clone());
        let ended = move |how: String| {
            tracker.spawn(async move {
                // A pool that has ended needs no news.
                drop(inbox.send(Input::News { life, news: News::Event(Event::Exited(how)) }).await);
            });
        };
        let started = self.home.nursery.start(launch, ended);
        self.process = Some(started.map_err(|error| format!("the engine could not be started: {error}"))?);
        self.home.metrics.started(&self.id);
        Ok(())
    }

    /// Looks at the engine until its life ends.
    fn look(&mut self) {
        let Some(adapter) = self.adapter.clone() else { return };
        let stop = CancellationToken::new();
        self.looking = Some(stop.clone().drop_guard());
        let (inbox, life) = (self.inbox.clone(), self.life);
        self.home.tracker.spawn(stop.run_until_cancelled_owned(async move {
            let mut has_answered = false;
            loop {
                let news = match adapter.probe().await {
                    Ok(report) => {
                        has_answered = true;
                        News::Report(report)
                    }
                    Err(_reason) => News::Event(Event::Silent),
                };
                if inbox.send(Input::News { life, news }).await.is_err() {
                    return;
                }
                sleep(if has_answered { LOOK_INTERVAL } else { LOOK_INTERVAL_FIRST }).await;
            }
        }));
    }

    fn stop(&mut self) {
        self.looking = None;
        match &self.process {
            Some(process) => process.stop(),
            None => self.beside(async { News::Event(Event::Exited("it was only looked at".to_owned())) }),
        }
    }

    /// The process has ended.
    //= ORCH-3316
    pub(super) fn bury(&mut self, how: &str) {
        self.process = None;
        self.looking = None;
        self.adapter = None;
        let reason = if self.machine.phase() == "stopping" { "stopped" } else { "lost" };
        self.home.metrics.exited(&self.id, reason);
        if reason == "lost" {
            let told = Narration::engine(EngineMoment::Lost);
            record(told);
            warn!(pool_id = %self.id, how, actor = told.actor(), action = told.action(),
                target_kind = told.target(), human = %told, "the engine ended");
        } else {
            narrate!(Narration::engine(EngineMoment::Stops), pool_id = %self.id, "the engine stopped");
        }
    }

    fn warm_up(&self) {
        let Some(adapter) = self.adapter.clone() else { return };
        let (report, within) = (self.report.clone(), self.spec.ready_timeout);
        self.beside(async move {
            News::Event(Event::WarmedUp(adapters::warm_up(adapter, &report, within).await))
        });
    }

    fn check(&self) {
        let (choice, vram) = (self.choice(Which::Candidate), self.vram());
        let provisioner = Arc::clone(&self.home.provisioner);
        let checked = provisioner.check_model(Arc::clone(&self.spec), choice, vram);
        self.beside(async { News::Event(Event::Checked(checked.await.map(drop))) });
    }

    /// Keeps the candidate's name. Only then is it the model to come back with.
    // N12
    //= ORCH-3443
    fn commit(&mut self) {
        let candidate = self.choice(Which::Candidate);
        let outcome = self.keep(&candidate);
        if outcome.is_ok() {
            self.committed = candidate;
            self.candidate = None;
        }
        self.beside(async { News::Event(Event::Committed(outcome)) });
    }

    fn keep(&self, choice: &crate::provision::Choice) -> Result<(), String> {
        let kept = Kept {
            configured: self.spec.model.clone().unwrap_or_default(),
            model: choice.reference.clone(),
            digest: choice.digest.clone(),
            port: self.port,
        };
        let outcome = self.home.provisioner.state.keep(&self.id, &kept);
        outcome.map_err(|error| format!("the new model's name cannot be kept: {error}"))
    }

    /// Keeps the port, so that the engine is found where it was.
    pub(super) fn keep_port(&self) {
        if let Err(error) = self.keep(&self.committed) {
            warn!(pool_id = %self.id, error, "the next start may use another port");
        }
    }

    fn clean_up(&mut self) {
        let leftovers = std::mem::take(&mut self.leftovers);
        let (provisioner, spec) = (Arc::clone(&self.home.provisioner), Arc::clone(&self.spec));
        let place = self.place.clone();
        self.beside(async move {
            let cleaned =
                tokio::task::spawn_blocking(move || provisioner.clean_up(&spec, &leftovers, &place)).await;
            News::Event(Event::CleanedUp(cleaned.unwrap_or_else(|_panic| Err("it broke off".to_owned()))))
        });
    }

    fn finished(&mut self, kind: OperationKind, outcome: Result<(), String>) {
        let word = if outcome.is_ok() { "succeeded" } else { "failed" };
        self.home.metrics.operated(&self.id, kind.as_str(), word);
        match &outcome {
            Ok(()) => info!(pool_id = %self.id, operation = kind.as_str(), "done"),
            Err(error) => warn!(pool_id = %self.id, operation = kind.as_str(), error, "failed"),
        }
        let error = outcome.as_ref().err().map(|why| match kind {
            OperationKind::Reload => Refusal::of_candidate(why.clone()).code,
            OperationKind::Drain | OperationKind::Purge => ErrorCode::Internal,
        });
        self.traces.finished(error.map(ErrorCode::as_str));
        if let Some(operation) = &mut self.operation {
            operation.state =
                if outcome.is_ok() { OperationState::Succeeded } else { OperationState::Failed };
            operation.error = outcome.err();
        }
    }
}

//! How a pool is told to others.

use narration_core::{EngineMoment, Narration, narrate};
use pool_registry_types::{PoolReport, PoolStatus};
use tracing::warn;

use super::Pool;

/// No error is told at greater length.
const ERROR_BYTES_MAX: usize = 4_000;

impl Pool {
    /// Tells how it is now, and whether that concerns the control plane at once.
    pub(super) fn publish(&mut self) {
        let status = self.status();
        self.home.metrics.pool(&self.id, self.machine.phase());
        self.traces.stands(self.machine.phase());
        self.say(&status);
        let of_weight = |status: &PoolStatus| {
            let report = &status.report;
            (report.ready, report.draining, report.model_id.clone(), report.slots_total)
        };
        let before = self.view.borrow().clone();
        let has_changed = of_weight(&before) != of_weight(&status);
        if !before.report.ready && status.report.ready && self.process.is_some() {
            self.keep_port();
        }
        self.view.send_replace(status);
        if has_changed {
            self.home.changes.send_modify(|changes| *changes += 1);
        }
    }

    /// Says that it became ready, or what is wrong, once.
    fn say(&mut self, status: &PoolStatus) {
        if status.report.ready && !self.view.borrow().report.ready {
            narrate!(Narration::engine(EngineMoment::Ready), pool_id = %self.id, "the pool is ready");
        }
        let error = &status.report.last_error;
        if self.said == *error {
            return;
        }
        if let Some(error) = error {
            warn!(pool_id = %self.id, state = self.machine.phase(), error, "the pool is not ready");
        }
        self.said.clone_from(error);
    }

    fn status(&self) -> PoolStatus {
        let is_ready = self.machine.is_ready();
        let slots_total = self.report.slots_total.or(self.spec.slots);
        let slots_free = slots_total.unwrap_or(1).saturating_sub(self.machine.busy());
        let told = self.report.models.first().cloned();
        let model = Some(self.committed.reference.clone()).filter(|it| !it.is_empty()).or(told);
        let report = PoolReport {
            pool_id: self.id.to_string(),
            ready: is_ready,
            draining: self.machine.is_draining(),
            slots_free: if is_ready { slots_free } else { 0 },
            slots_total,
            engine: Some(self.spec.engine.as_str().to_owned()),
            engine_version: self.report.version.clone().filter(|version| is_line(version)),
            endpoint: self.public_endpoint().map(|url| url.to_string().trim_end_matches('/').to_owned()),
            model_id: model.filter(|name| is_line(name)),
            model_digest: self.committed.digest.clone().filter(|_| is_ready),
            ctx_max: self.report.ctx_max.or(self.spec.ctx).filter(|ctx| *ctx > 0),
            device_mask: self.spec.devices.clone(),
            last_error: self.machine.last_error().map(short),
            ..PoolReport::default()
        };
        let model_ref = Some(self.committed.reference.clone()).filter(|it| !it.is_empty());
        let operation = self.operation.clone();
        PoolStatus { report, live: self.machine.is_live(), model_ref, operation }
    }
}

/// Whether the wire takes it as a name.
fn is_line(text: &str) -> bool {
    (1..=2_048).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn short(text: &str) -> String {
    let mut end = text.len().min(ERROR_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

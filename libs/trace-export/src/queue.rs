//! Spans on their way to the collector: a bound, and what became of each.

use opentelemetry_sdk::trace::SpanData;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Some ten megabytes, and those of some two thousand tasks.
const WAITING_MAX: usize = 16_384;
/// So many are sent at once.
pub(crate) const BATCH_MAX: usize = 512;

/// What became of spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The collector has them.
    Exported,
    /// The collector did not take them.
    Failed,
    /// Too many waited already.
    Dropped,
}

impl Fate {
    /// The word for it, as metrics say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exported => "exported",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// Spans that wait.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    spans: Mutex<Spans>,
    /// Somebody has a batch, or wants to see all of them gone.
    pub(crate) wanted: Notify,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Spans {
    waiting: Vec<SpanData>,
    /// How many are being sent.
    sending: usize,
}

impl Queue {
    /// Takes all of these in, or none: half of a tree tells little. False when they do not fit.
    pub(crate) fn push(&self, spans: Vec<SpanData>) -> bool {
        let batch = {
            let mut all = self.spans.lock();
            if all.waiting.len() + spans.len() > WAITING_MAX {
                return false;
            }
            let before = all.waiting.len();
            all.waiting.extend(spans);
            before < BATCH_MAX && all.waiting.len() >= BATCH_MAX
        };
        if batch {
            self.wanted.notify_one();
        }
        true
    }

    /// The oldest ones, to be sent.
    pub(crate) fn take(&self) -> Vec<SpanData> {
        let mut all = self.spans.lock();
        let count = all.waiting.len().min(BATCH_MAX);
        all.sending = count;
        all.waiting.drain(..count).collect()
    }

    /// What was taken is sent, or given up.
    pub(crate) fn settle(&self) {
        self.spans.lock().sending = 0;
        self.emptied.notify_waiters();
    }

    /// Waits until nothing waits.
    pub(crate) async fn drained(&self) {
        loop {
            let emptied = self.emptied.notified();
            {
                let all = self.spans.lock();
                if all.waiting.is_empty() && all.sending == 0 {
                    return;
                }
            }
            self.wanted.notify_one();
            emptied.await;
        }
    }
}

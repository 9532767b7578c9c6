//! A timer for streams: cheap to push out, since it is only looked at when it fires.
//!
//! A stream that moves a deadline with every token would touch the runtime's timer wheel with every
//! token. This one writes down a time and lets the old alarm ring; then it sees whether it was early.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A deadline that moves often and passes rarely.
#[derive(Debug)]
pub struct LazyTimer {
    alarm: Pin<Box<Sleep>>,
    deadline: Instant,
}

impl LazyTimer {
    /// A timer that ends `after` from now.
    pub fn new(after: Duration) -> Self {
        let deadline = Instant::now() + after;
        Self { alarm: Box::pin(sleep_until(deadline)), deadline }
    }

    /// Moves the end. Moving it later costs an assignment; moving it earlier resets the alarm.
    pub fn set(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if deadline < self.alarm.deadline() {
            self.alarm.as_mut().reset(deadline);
        }
    }

    /// Ready once the deadline as it stands now has passed; wakes the task then.
    pub fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.alarm.as_mut().poll(cx).is_ready() {
            if self.alarm.deadline() >= self.deadline {
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(self.deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_was_moved_later_passes_at_the_later_time() {
        let start = Instant::now();
        let mut timer = LazyTimer::new(Duration::from_secs(1));
        timer.set(start + Duration::from_secs(5));
        poll_fn(|cx| timer.poll_passed(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_was_moved_earlier_passes_at_the_earlier_time() {
        let start = Instant::now();
        let mut timer = LazyTimer::new(Duration::from_secs(9));
        timer.set(start + Duration::from_secs(2));
        poll_fn(|cx| timer.poll_passed(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 2);
    }
}

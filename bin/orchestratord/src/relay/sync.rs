//! The locks and counters of the log: the usual ones, or those of a tester that tries interleavings.

#[cfg(not(feature = "shuttle"))]
pub(super) use {
    parking_lot::Mutex,
    std::sync::atomic::{AtomicU64, Ordering},
};

#[cfg(feature = "shuttle")]
pub(super) use {
    self::tried::Mutex,
    shuttle::sync::atomic::{AtomicU64, Ordering},
};

#[cfg(feature = "shuttle")]
mod tried {
    //! A lock whose every use is a point at which the tester may switch threads.

    use std::sync::PoisonError;

    use shuttle::sync::MutexGuard;

    #[derive(Debug, Default)]
    pub(in crate::relay) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(in crate::relay) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}

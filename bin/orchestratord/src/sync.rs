//! Locks and counters of what threads share: the usual ones, or those of a tester that tries interleavings.

#[cfg(not(feature = "shuttle"))]
pub(crate) use {
    parking_lot::Mutex,
    std::sync::atomic::{AtomicU64, Ordering},
};

#[cfg(feature = "shuttle")]
pub(crate) use {
    self::tried::Mutex,
    shuttle::sync::atomic::{AtomicU64, Ordering},
};

#[cfg(feature = "shuttle")]
mod tried {
    //! A lock whose every use is a point at which the tester may switch threads.

    use std::sync::{PoisonError, TryLockError};

    use shuttle::sync::MutexGuard;

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            match self.0.try_lock() {
                Ok(guard) => Some(guard),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            }
        }
    }
}

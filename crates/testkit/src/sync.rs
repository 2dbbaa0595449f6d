//! Locks that a panicking test does not spoil for the others.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes the lock. Everything behind one here is whole between any two statements, so a thread that
/// panicked while holding it has broken nothing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

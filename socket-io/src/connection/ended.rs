//! The list of clients that were closed, until the connection's task takes note.

use std::mem;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use manager_api::lock::Unpoisoned;

/// A list that any thread appends to, and one task takes out of.
pub(super) struct Ended<T> {
    /// `None` once the task is gone: an entry that is never taken out would keep its connection, and that this list, in memory.
    list: Mutex<Option<Vec<T>>>,
    has_some: AtomicBool,
}

impl<T> Ended<T> {
    pub(super) fn new() -> Self {
        Self {
            list: Mutex::new(Some(Vec::new())),
            has_some: AtomicBool::new(false),
        }
    }

    /// Appends an entry; returns it if the task is gone.
    pub(super) fn push(&self, entry: T) -> Result<(), T> {
        let mut list = self.list.lock().unpoisoned();
        let Some(list) = &mut *list else {
            return Err(entry);
        };
        list.push(entry);
        self.has_some.store(true, Ordering::Release);
        Ok(())
    }

    pub(super) fn has_some(&self) -> bool {
        self.has_some.load(Ordering::Acquire)
    }

    /// Takes all entries out, in the order in which they came.
    pub(super) fn take(&self) -> Vec<T> {
        if !self.has_some.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        let mut list = self.list.lock().unpoisoned();
        list.as_mut().map(mem::take).unwrap_or_default()
    }

    /// Drops all entries, and accepts no more.
    pub(super) fn close(&self) {
        let list = self.list.lock().unpoisoned().take();
        // Clients are the application's as well, by their sessions: none is dropped under the lock.
        drop(list);
    }
}

#[cfg(test)]
mod tests {
    use super::Ended;

    #[test]
    fn entries_are_taken_once_and_in_order() {
        let ended = Ended::new();
        assert!(!ended.has_some() && ended.take().is_empty());
        assert_eq!([ended.push(1), ended.push(2)], [Ok(()); 2]);
        assert!(ended.has_some());
        assert_eq!(ended.take(), [1, 2]);
        assert!(!ended.has_some() && ended.take().is_empty());
    }

    #[test]
    fn a_list_without_its_task_keeps_nothing() {
        let ended = Ended::new();
        ended.push(std::sync::Arc::new(1)).unwrap();
        let late = std::sync::Arc::new(2);
        ended.close();
        assert_eq!(ended.push(late.clone()), Err(late));
        assert!(ended.take().is_empty());
    }
}

//! The values that an application keeps with one client, for as long as the client is connected.

use std::any::{Any, TypeId};
use std::sync::{Arc, Mutex, MutexGuard};

use manager_api::lock::Unpoisoned;

/// The sessions of one client, one of each type; nothing is allocated before the first is used.
#[derive(Default)]
pub(crate) struct Sessions {
    state: Mutex<State>,
}

enum State {
    // A client has a few at most: a search through a vector is the fastest.
    Open(Vec<(TypeId, Slot)>),
    Gone,
}

impl Default for State {
    fn default() -> Self {
        Self::Open(Vec::new())
    }
}

#[derive(Clone, Default)]
struct Slot {
    value: Option<Arc<dyn Any + Send + Sync>>,
    /// Held by the one guard that may save.
    writer: Arc<tokio::sync::Mutex<()>>,
}

impl Sessions {
    /// Drops everything; nothing can be saved any more.
    pub(crate) fn end(&self) {
        let state = std::mem::replace(&mut *self.state(), State::Gone);
        // Values are the application's: none is dropped under the lock.
        drop(state);
    }

    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let value = match &*self.state() {
            State::Open(slots) => find::<T>(slots)?.value.clone()?,
            State::Gone => return None,
        };
        value.downcast().ok()
    }

    /// Saves; returns what was there before, so that it is not dropped under the lock. `Err` if the client is gone.
    pub(crate) fn set<T: Send + Sync + 'static>(
        &self,
        value: Arc<T>,
    ) -> Result<Option<Arc<dyn Any + Send + Sync>>, Arc<T>> {
        match &mut *self.state() {
            State::Open(slots) => Ok(slot_of::<T>(slots).value.replace(value)),
            State::Gone => Err(value),
        }
    }

    /// Returns what the application keeps for others to see: JSON text.
    pub(crate) fn data(&self) -> Option<Arc<str>> {
        self.get::<SharedData>().map(|data| data.0.clone())
    }

    pub(crate) fn writer<T: 'static>(&self) -> Arc<tokio::sync::Mutex<()>> {
        match &mut *self.state() {
            State::Open(slots) => slot_of::<T>(slots).writer.clone(),
            State::Gone => Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }
}

fn find<T: 'static>(slots: &[(TypeId, Slot)]) -> Option<&Slot> {
    let of_type = |(id, _): &&(TypeId, Slot)| *id == TypeId::of::<T>();
    slots.iter().find(of_type).map(|(_, slot)| slot)
}

fn slot_of<T: 'static>(slots: &mut Vec<(TypeId, Slot)>) -> &mut Slot {
    let at = match slots.iter().position(|(id, _)| *id == TypeId::of::<T>()) {
        Some(at) => at,
        None => {
            slots.reserve_exact(1);
            slots.push((TypeId::of::<T>(), Slot::default()));
            slots.len() - 1
        }
    };
    &mut slots[at].1
}

/// What `Socket::set_data` keeps: JSON text. A session of its own type, so that a client without costs nothing.
pub(crate) struct SharedData(pub(crate) Arc<str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_one_session_of_each_type() {
        let sessions = Sessions::default();
        assert!(sessions.get::<u32>().is_none());
        assert!(sessions.set(Arc::new(1_u32)).unwrap().is_none());
        assert!(sessions.set(Arc::new("one")).unwrap().is_none());
        let before = sessions.set(Arc::new(2_u32)).unwrap().unwrap();
        assert_eq!(before.downcast_ref::<u32>(), Some(&1));
        assert_eq!(
            (*sessions.get::<u32>().unwrap(), *sessions.get::<&str>().unwrap()),
            (2, "one")
        );
    }

    #[test]
    fn nothing_is_kept_once_the_client_is_gone() {
        let sessions = Sessions::default();
        assert!(sessions.set(Arc::new(1_u32)).is_ok());
        sessions.end();
        assert!(sessions.get::<u32>().is_none());
        assert_eq!(sessions.set(Arc::new(2_u32)).unwrap_err(), Arc::new(2));
    }

    #[test]
    fn only_one_guard_of_a_type_may_save_at_a_time() {
        let sessions = Sessions::default();
        let (first, second) = (sessions.writer::<u32>(), sessions.writer::<u32>());
        let _guard = first.try_lock().unwrap();
        assert!(second.try_lock().is_err() && sessions.writer::<u64>().try_lock().is_ok());
    }
}

//! The values of the application that handlers ask for by type.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

/// Values by their types, one of each.
#[derive(Clone, Default)]
pub(crate) struct States(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl States {
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, state: T) {
        self.0.insert(TypeId::of::<T>(), Arc::new(state));
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::States;

    #[test]
    fn there_is_one_value_of_each_type_and_the_last_one_counts() {
        let mut states = States::default();
        states.insert(1_u32);
        states.insert("one");
        states.insert(2_u32);
        assert_eq!(
            (states.get(), states.get(), states.get::<u64>()),
            (Some(&2_u32), Some(&"one"), None)
        );
    }
}

//! The arguments that are values of the application.

use super::from_context::FromContext;
use super::rejection::Rejection;
use crate::handler::Context;

/// A clone of a value that the server was [built with](crate::SocketIoBuilder::state).
#[derive(Clone, Copy, Debug)]
pub struct State<T>(pub T);

impl<C: Context, T: Clone + Send + Sync + 'static> FromContext<C> for State<T> {
    async fn from_context(context: &C) -> Result<Self, Rejection> {
        let state = context.socket().states().get::<T>().cloned();
        let missing = || {
            let name = std::any::type_name::<T>();
            Rejection::new(format!("the server has no state of type {name}"))
        };
        state.map(State).ok_or_else(missing)
    }
}

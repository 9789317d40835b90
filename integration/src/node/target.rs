//! The clients that a command of a server or emitter of Node.js is for.

use serde::Serialize;
use serde_json::{Value, json};

/// The clients that a broadcast is for: those in any of the rooms (all, where none is named) and in
/// none of the exceptions.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    /// The namespace: `/` or `/chat`, which the servers have.
    pub namespace: String,
    /// The rooms; a number is one, too.
    pub rooms: Vec<Value>,
    /// The exceptions.
    pub except: Vec<String>,
    /// Whether an emit is volatile.
    pub volatile: bool,
}

impl Target {
    /// Returns all clients of a namespace.
    #[must_use]
    pub fn all(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            rooms: Vec::new(),
            except: Vec::new(),
            volatile: false,
        }
    }

    /// Returns a room of a namespace.
    #[must_use]
    pub fn room(namespace: &str, room: &str) -> Self {
        Self::all(namespace).to(room)
    }

    /// Returns several rooms of a namespace.
    #[must_use]
    pub fn rooms(namespace: &str, rooms: Vec<Value>) -> Self {
        Self {
            rooms,
            ..Self::all(namespace)
        }
    }

    /// Adds a room.
    #[must_use]
    pub fn to(mut self, room: &str) -> Self {
        self.rooms.push(room.into());
        self
    }

    /// Adds an exception.
    #[must_use]
    pub fn except(mut self, room: &str) -> Self {
        self.except.push(room.to_owned());
        self
    }

    /// Makes emits volatile.
    #[must_use]
    pub fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Returns a command for these clients, with further fields.
    pub(super) fn command(&self, name: &str, fields: Value) -> Value {
        let mut command = json!(self);
        command["cmd"] = json!(name);
        if let (Value::Object(command), Value::Object(fields)) = (&mut command, fields) {
            command.extend(fields);
        }
        command
    }
}

//! The configuration of a mapping: its templates.

/// How the body of a record becomes an argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyKind {
    /// As the JSON value that it is, with its spelling.
    #[default]
    Json,
    /// As text.
    Text,
    /// As binary.
    Binary,
}

/// The templates of a [`Mapping`](super::Mapping).
///
/// A template is text in which placeholders in braces stand for parts of the record: `{/order/id}` for what a JSON
/// pointer leads to in the body, `{header:NAME}`, `{key}` for the record's own key, `{source}` for the name of its
/// topic, queue or stream, `{id}` for its place, `{body}`. A brace is written twice to stand for itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MapConfig {
    /// The namespace. Default `/`.
    pub namespace: String,
    /// The rooms, each a template. One that is only a pointer may lead to a list of rooms. Default none: all clients.
    pub rooms: Vec<String>,
    /// Rooms whose members do not get the event. Default none.
    pub except: Vec<String>,
    /// The name of the event.
    pub event: String,
    /// The arguments, each a template. One that is only a pointer keeps its JSON value; other ones are text. Default
    /// the body.
    pub args: Vec<String>,
    /// What `{body}` alone stands for among the arguments. Default JSON.
    pub body: BodyKind,
    /// The idempotency key. Default none: the record's place, where it has a lasting one.
    pub key: Option<String>,
}

impl MapConfig {
    /// Maps bodies to an event for all clients, with the body as its argument.
    pub fn event(name: impl Into<String>) -> Self {
        Self {
            namespace: "/".to_owned(),
            rooms: Vec::new(),
            except: Vec::new(),
            event: name.into(),
            args: vec!["{body}".to_owned()],
            body: BodyKind::Json,
            key: None,
        }
    }
}

//! Where a client connects, and what it does there.

use std::time::Duration;

use manager_api::{EventName, ManagerOptions, NamespaceName, Payload};
use serde_json::value::RawValue;

use super::{data, event, namespace};
use crate::args::ConnectArgs;
use crate::client::Target;
use crate::failure::Failure;

/// A client of a server.
#[derive(Debug)]
pub(crate) struct ConnectPlan {
    pub(crate) target: Target,
    pub(crate) namespace: NamespaceName,
    /// JSON.
    pub(crate) auth: Option<Box<RawValue>>,
    /// Only these are shown, if there are any.
    pub(crate) events: Vec<String>,
    pub(crate) wanted: Wanted,
    pub(crate) emit: Option<(EventName, Payload)>,
    pub(crate) limit: Option<Duration>,
}

/// What is waited for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) ack: bool,
    /// An event of this name.
    pub(crate) event: Option<String>,
    /// So many events that are shown.
    pub(crate) count: u64,
}

impl Wanted {
    /// Tells whether nothing is waited for.
    pub(crate) fn is_nothing(&self) -> bool {
        !self.ack && self.event.is_none() && self.count == 0
    }
}

impl ConnectPlan {
    /// Checks what the user typed.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`], which says what to change.
    pub(super) fn new(args: ConnectArgs) -> Result<Self, Failure> {
        let max_bytes = ManagerOptions::default().max_message_bytes;
        let emit = match args.emit.split_first() {
            None => None,
            Some((name, arguments)) => {
                let payload = data::payload(arguments, false, &args.binary, max_bytes)?;
                Some((event(name)?, payload))
            }
        };
        if let Some(wait) = args
            .wait
            .as_ref()
            .filter(|wait| !args.event.is_empty() && !args.event.contains(*wait))
        {
            return Err(Failure::input(format!(
                "--wait {wait:?} is not among the events that --event shows: add it there"
            )));
        }
        Ok(Self {
            target: Target::parse(&args.url, &args.path, args.ca, &args.header)?,
            namespace: namespace(&args.namespace)?,
            auth: args.auth.as_deref().map(|auth| auth_of(auth, max_bytes)).transpose()?,
            events: args.event,
            wanted: Wanted {
                ack: args.ack,
                event: args.wait,
                count: args.count.map_or(0, |count| count.get()),
            },
            emit,
            limit: args.timeout,
        })
    }
}

/// Reads what the server gets as `auth`. The text is not repeated: it may be a secret.
fn auth_of(argument: &str, max_bytes: usize) -> Result<Box<RawValue>, Failure> {
    let unusable = || Failure::input("--auth is not JSON, such as '{\"token\":\"…\"}', nor @FILE with JSON");
    let payload = data::payload(&[argument.to_owned()], false, &[], max_bytes);
    let payload = match payload {
        Err(_) if !argument.starts_with('@') => return Err(unusable()),
        payload => payload?,
    };
    let value = payload.arguments().first().map(|value| (*value).to_owned());
    value
        .filter(|value| value.get().starts_with('{'))
        .ok_or_else(|| Failure::input("--auth is not a JSON object, as Socket.IO wants it: '{\"token\":\"…\"}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auth_is_an_object_and_never_repeated() {
        assert_eq!(
            auth_of(" {\"token\": \"t\"} ", 100).unwrap().get().trim(),
            "{\"token\": \"t\"}"
        );
        for bad in ["s3cret", "\"s3cret\"", "[\"s3cret\"]", "{\"token\":s3cret}", ""] {
            let failure = auth_of(bad, 100).unwrap_err();
            assert_eq!(failure.code(), 2);
            assert!(!failure.to_string().contains("s3cret"), "{failure}");
        }
        assert!(
            auth_of("@/nonexistent/file", 100)
                .unwrap_err()
                .to_string()
                .contains("/nonexistent")
        );
    }
}

//! What a CONNECT brings, and its refusal before there is a client.

use engine_io::ProtocolError;
use manager_api::Payload;
use serde_json::value::RawValue;

use super::Connection;
use crate::error::Refusal;

/// The authentication details of a CONNECT: an object, or nothing.
pub(super) fn auth(json: &str) -> Result<Payload, ProtocolError> {
    if json.is_empty() {
        return Ok(Payload::empty());
    }
    let object: &RawValue = serde_json::from_str(json)
        .map_err(|error| ProtocolError::new("a CONNECT with malformed data").with_source(error))?;
    if !object.get().starts_with('{') {
        return Err(ProtocolError::new("a CONNECT whose data is no object"));
    }
    Ok(Payload::from_trusted(format!("[{}]", object.get()).into(), Vec::new()))
}

pub(super) fn refuse(connection: &Connection, namespace: &str, refusal: &Refusal) -> Result<(), ProtocolError> {
    // A connection that is gone needs no refusal.
    let parser = connection.server.config.parser;
    let _ = connection
        .socket
        .send(parser.connect_error(namespace, &refusal.to_json()));
    Ok(())
}

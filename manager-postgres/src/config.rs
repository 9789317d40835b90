//! The options of a [`PostgresManager`](crate::PostgresManager).

use std::time::Duration;

use manager_api::backend::{TlsOptions, bad};
use manager_api::{Error, ManagerOptions};

/// The options of a [`PostgresManager`](crate::PostgresManager): connections, batches, limits.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// The options of every manager: channel, deadline, limits, back-off.
    pub common: ManagerOptions,
    /// The schema of the tables and functions, which `sio postgres install` creates. Default `sio`; `?schema=` in the
    /// URL takes precedence.
    pub schema: String,
    /// The limit of one attempt to connect, login and subscription included. Default 5 s.
    pub connect_timeout: Duration,
    /// The time without a notification after which a subscription reads all the same, which is its sign of life.
    /// Default 10 s; a longer one, and zero, count as 10 s.
    pub keepalive_interval: Duration,
    /// The time without the answer to a statement after which a connection counts as dead and is replaced. Default 10 s.
    pub keepalive_timeout: Duration,
    /// The maximum number of messages that one transaction publishes. Default 512; zero counts as one. Their bytes are
    /// limited as well, to a mebibyte, unless one message alone is larger.
    pub max_batch: usize,
    /// The interval at which a connection deletes messages that are older than the retention, a few thousand at a time.
    /// One of all processes does so at a time. Default 5 s; zero never deletes.
    pub trim_interval: Duration,
    /// The name of the connections in `pg_stat_activity`; ` publish`, ` listen` or ` examine` is appended. Default none:
    /// `sio`. `?application_name=` in the URL takes precedence.
    pub application_name: Option<String>,
    /// The files of TLS, for URLs with `sslmode=require`.
    pub tls: TlsOptions,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            common: ManagerOptions::default(),
            schema: "sio".to_owned(),
            connect_timeout: Duration::from_secs(5),
            keepalive_interval: MAX_IDLE,
            keepalive_timeout: Duration::from_secs(10),
            max_batch: 512,
            trim_interval: Duration::from_secs(5),
            application_name: None,
            tls: TlsOptions::default(),
        }
    }
}

/// The longest time without reading. What was in progress at the latest read is compared with what was deleted since,
/// and nothing is deleted within half a minute.
const MAX_IDLE: Duration = Duration::from_secs(10);
/// The maximum length of an identifier in PostgreSQL, in bytes.
pub(crate) const MAX_NAME_LEN: usize = 63;
/// What ends the text of our functions, or stands in it for something else.
const RESERVED: [&str; 5] = ["$sio$", "@schema@", "@functions@", "@version@", "@wake@"];

impl PostgresOptions {
    /// Refuses names that are not identifiers of PostgreSQL.
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_name("the channel is", &self.common.channel)?;
        check_schema("the schema is", &self.schema)
    }

    /// Returns the time without a notification after which a subscription reads.
    pub(crate) fn idle(&self) -> Duration {
        match self.keepalive_interval.is_zero() {
            true => MAX_IDLE,
            false => self.keepalive_interval.min(MAX_IDLE),
        }
    }
}

/// Checks a name that becomes a quoted identifier.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), Error> {
    match name.len() {
        1..=MAX_NAME_LEN if !name.contains('\0') => Ok(()),
        len => Err(bad(format!(
            "{what} the name of a PostgreSQL object: 1 to {MAX_NAME_LEN} bytes without a zero byte; this one has {len}"
        ))),
    }
}

/// Checks the name of a schema, which also becomes part of our functions.
pub(crate) fn check_schema(what: &str, name: &str) -> Result<(), Error> {
    check_name(what, name)?;
    match RESERVED.iter().find(|reserved| name.contains(*reserved)) {
        None => Ok(()),
        Some(reserved) => Err(bad(format!(
            "{what} the name of a schema, which must not contain {reserved}"
        ))),
    }
}

/// Quotes an identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a text.
pub(crate) fn literal(text: &str) -> String {
    // The form with an E reads backslashes regardless of the server's setting.
    format!(" E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_of_63_bytes_is_accepted_and_a_longer_one_refused() {
        let mut options = PostgresOptions::default();
        options.check().unwrap();
        for (channel, is_accepted) in [
            ("x".repeat(63), true),
            ("ä".repeat(31), true),
            ("x".repeat(64), false),
            ("ä".repeat(32), false),
            (String::new(), false),
            ("a\0b".to_owned(), false),
        ] {
            options.common.channel = channel.clone();
            assert_eq!(options.check().is_ok(), is_accepted, "{channel:?}");
        }
    }

    #[test]
    fn a_schema_whose_name_would_change_the_text_of_our_functions_is_refused() {
        for (schema, is_accepted) in [
            ("it's \"other\" $1 @home@", true),
            ("a$sio$b", false),
            ("@schema@", false),
            ("x@functions@", false),
            ("@version@x", false),
            ("@wake@", false),
        ] {
            let options = PostgresOptions {
                schema: schema.to_owned(),
                ..PostgresOptions::default()
            };
            assert_eq!(options.check().is_ok(), is_accepted, "{schema:?}");
            let mut by_channel = PostgresOptions::default();
            by_channel.common.channel = schema.to_owned();
            by_channel.check().unwrap();
        }
    }

    #[test]
    fn names_and_texts_stay_within_their_quotes() {
        assert_eq!(quoted(r#"a"b\"#), r#""a""b\""#);
        assert_eq!(literal(r"a'b\"), r" E'a''b\\'");
    }
}

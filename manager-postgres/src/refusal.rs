//! The meaning of PostgreSQL's errors: which are refusals, and which right is missing.
//!
//! | class of SQLSTATE | meaning |
//! |---|---|
//! | 28, 42501 | a login, a right: refused, with the statement that grants it |
//! | 3D, 3F, 42P01, 42883, 42703 | the database, our objects, or a table of attachments are missing: refused, with what to run |
//! | 25006 | a standby: refused |
//! | 08, 53, 54, 55, 57, 58 | resources, limits, shutdown, start: tried again |
//! | others | tried again; the text says which |

use manager_api::diagnosis::Code;
use tokio_postgres::error::{DbError, SqlState};

/// What a server answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To be let in.
    Login,
    /// Publishing to the log.
    Publish,
    /// A subscription to the log.
    Listen,
    /// A diagnosis.
    Examine,
    /// To create our objects, or to remove them.
    Install,
    /// For a table of an application as a source.
    Relay,
    /// Publishing to topics.
    Notify,
    /// A subscription to topics.
    Notices,
}

impl Asked {
    /// Returns whether it was about topics, which need none of our objects, and at most a table that others have made.
    fn is_of_topics(self) -> bool {
        matches!(self, Self::Notify | Self::Notices)
    }
}

/// The meaning of an error.
pub(crate) struct Verdict {
    /// Whether retrying soon is pointless.
    pub(crate) is_refused: bool,
    /// Whether the URL or the installation is wrong, and not a login or a right.
    pub(crate) is_wrong_server: bool,
    /// The cause as a diagnosis calls it.
    pub(crate) cause: Code,
    /// The explanation, with what to do.
    pub(crate) what: String,
}

impl Verdict {
    /// A login or a right is wrong.
    fn refused(cause: Code, what: String) -> Self {
        Self {
            is_refused: true,
            is_wrong_server: false,
            cause,
            what,
        }
    }

    /// The URL or the installation is wrong.
    fn wrong(cause: Code, what: String) -> Self {
        Self {
            is_wrong_server: true,
            ..Self::refused(cause, what)
        }
    }

    /// Another attempt may succeed.
    fn transient(cause: Code, what: String) -> Self {
        Self {
            is_refused: false,
            is_wrong_server: false,
            cause,
            what,
        }
    }
}

/// Judges an error of the server; `schema` is the one of our objects.
pub(crate) fn judged(asked: Asked, error: &DbError, schema: &str) -> Verdict {
    let code = error.code();
    let text = error.message();
    if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        let what = format!("not permitted: {} ({text})", missing_right(asked, text, schema));
        return Verdict::refused(Code::MissingRight, what);
    }
    if is_not_installed(code) && asked == Asked::Relay {
        let what = format!("the table, or a column of it, does not exist in this database ({text})");
        return Verdict::wrong(Code::NotInstalled, what);
    }
    if is_not_installed(code) && asked.is_of_topics() {
        let what = format!(
            "the table of attachments is missing: {text}; create it as the documentation of the servers' adapter says, or name it as \
             they do"
        );
        return Verdict::wrong(Code::NotInstalled, what);
    }
    if is_not_installed(code) && asked != Asked::Login {
        let what =
            format!("the schema {schema:?} is not installed in this database: run `sio postgres install` ({text})");
        return Verdict::wrong(Code::NotInstalled, what);
    }
    if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        let what = format!("the server is read-only, as a standby is: name the primary in the URL ({text})");
        return Verdict::refused(Code::Replica, what);
    }
    if *code == SqlState::INVALID_CATALOG_NAME || is_unknown_to_pooler(code, text) {
        return Verdict::wrong(Code::DatabaseMissing, format!("no such database or user: {text}"));
    }
    if [
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
    ]
    .contains(code)
    {
        let advice = match text.contains("no encryption") || text.contains("SSL off") {
            true => ": this server may require TLS: sslmode=require in the URL",
            false => "",
        };
        return Verdict::refused(Code::Login, format!("authentication failed: {text}{advice}"));
    }
    if *code == SqlState::FEATURE_NOT_SUPPORTED {
        return Verdict::refused(Code::Refused, format!("not supported by this server: {text}"));
    }
    match code.code().get(..2) {
        // Out of resources, limits of the server, shutdown and start, connections.
        Some("53" | "54" | "55" | "57" | "58" | "08") => {
            Verdict::transient(Code::Unreachable, format!("the server is not ready: {text}"))
        }
        _ => Verdict::transient(Code::Refused, format!("the server refused: {text} ({})", code.code())),
    }
}

/// Returns whether the server does not know one of our objects.
fn is_not_installed(code: &SqlState) -> bool {
    let missing = [
        SqlState::INVALID_SCHEMA_NAME,
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_FUNCTION,
        SqlState::UNDEFINED_COLUMN,
    ];
    missing.contains(code)
}

/// PgBouncer's errors have one code.
fn is_unknown_to_pooler(code: &SqlState, text: &str) -> bool {
    *code == SqlState::PROTOCOL_VIOLATION && text.contains("no such ")
}

/// Returns the statement that grants what is missing.
fn missing_right(asked: Asked, text: &str, schema: &str) -> String {
    let schema = crate::config::quoted(schema);
    let name = text.rsplit(' ').next().unwrap_or_default();
    let grant = match () {
        () if text.contains("for table") && asked.is_of_topics() => {
            format!("GRANT SELECT, INSERT, DELETE ON {name} TO user")
        }
        () if text.contains("for sequence") => format!("GRANT USAGE ON SEQUENCE {name} TO user"),
        () if text.contains("for schema") && asked.is_of_topics() => format!("GRANT USAGE ON SCHEMA {name} TO user"),
        () if text.contains("for database") && asked == Asked::Login => {
            "GRANT CONNECT ON DATABASE … TO user".to_owned()
        }
        () if text.contains("for database") => "GRANT CREATE ON DATABASE … TO user".to_owned(),
        () if text.contains("for schema") && asked == Asked::Install => "GRANT CREATE ON SCHEMA … TO user".to_owned(),
        () if text.contains("for schema") && asked == Asked::Relay => {
            "GRANT USAGE ON SCHEMA … TO user; to create the table of dead letters GRANT CREATE".to_owned()
        }
        () if text.contains("for table") && asked == Asked::Relay => {
            "GRANT SELECT, UPDATE, DELETE ON … TO user; for the table of dead letters GRANT SELECT, INSERT".to_owned()
        }
        () if text.contains("for schema") => format!("GRANT USAGE ON SCHEMA {schema} TO user"),
        () if text.contains("for table") => format!("GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO user"),
        () if text.contains("for function") => format!("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO user"),
        () => return "the user lacks a right".to_owned(),
    };
    format!("the user lacks the right of `{grant}`")
}

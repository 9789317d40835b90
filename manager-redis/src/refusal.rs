//! The meaning of Redis' error replies: which are refusals, and which right is missing.

use manager_api::diagnosis::Code;
use redis::RedisError;

/// The command that a server answered with an error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Asked<'a> {
    Login,
    /// The request for its role, or a keep-alive.
    Hello,
    Sentinel,
    Subscribe(&'a str),
    Publish(&'a str),
    /// A command about a topic, a pattern or a stream of this name.
    Topic {
        command: &'a str,
        name: &'a str,
    },
}

/// Returns whether an error reply is a refusal, and its explanation.
pub(crate) fn judged(asked: Asked<'_>, error: &RedisError) -> (bool, String) {
    let detail = error.detail().unwrap_or_default();
    if error.code() == Some("NOPERM") {
        let right = missing_right(asked, detail);
        return (
            true,
            format!("not permitted: the user lacks the right {right} ({error})"),
        );
    }
    // Sent to every client, regardless of the command.
    let passes = matches!(
        error.code(),
        Some("LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN")
    );
    if passes || detail.contains("max number of clients") {
        return (false, format!("the server is not ready: {error}"));
    }
    if error.code() == Some("DENIED") {
        return (
            true,
            format!("not permitted: the server takes local connections only (protected mode): {error}"),
        );
    }
    if matches!(error.code(), Some("NOAUTH")) || detail.contains("NOAUTH") {
        return (
            true,
            format!("authentication failed: the server wants a password: {error}"),
        );
    }
    if is_not_sentinel(asked, error) {
        return (
            true,
            format!("a Redis server and not a sentinel: connect by redis:// instead of redis+sentinel://: {error}"),
        );
    }
    if let (Some("WRONGTYPE"), Asked::Topic { name, .. }) = (error.code(), asked) {
        return (true, format!("the key {name:?} is not a stream: {error}"));
    }
    if let Some(needed) = needed_version(asked, error) {
        return (true, format!("{needed}: {error}"));
    }
    match asked {
        Asked::Login => (true, format!("authentication failed: {}{error}", login_advice(detail))),
        _ if error.code() == Some("WRONGPASS") => (true, format!("authentication failed: {error}")),
        _ => (false, format!("the server refused: {error}")),
    }
}

/// Returns what a diagnosis calls the cause of an error reply.
pub(crate) fn cause_of(asked: Asked<'_>, error: &RedisError) -> Code {
    match error.code() {
        Some("NOPERM") => Code::MissingRight,
        Some("NOAUTH" | "WRONGPASS") => Code::Login,
        Some("LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN") => Code::Unreachable,
        Some("DENIED") => Code::Refused,
        _ if is_not_sentinel(asked, error) => Code::WrongService,
        _ if asked == Asked::Login || error.detail().is_some_and(|detail| detail.contains("NOAUTH")) => Code::Login,
        _ => Code::Refused,
    }
}

/// Returns what a server lacks that does not know a command about topics.
pub(crate) fn needed_version(asked: Asked<'_>, error: &RedisError) -> Option<&'static str> {
    let Asked::Topic { command, .. } = asked else {
        return None;
    };
    let detail = error.detail().unwrap_or_default().to_lowercase();
    let is_unknown = detail.contains("unknown command") || detail.contains("unknown subcommand");
    let needed = match command {
        "SPUBLISH" | "SSUBSCRIBE" | "PUBSUB SHARDNUMSUB" | "PUBSUB SHARDCHANNELS" => {
            "sharded publish/subscribe needs Redis 7"
        }
        "XAUTOCLAIM" => "groups of several consumers need Redis 6.2",
        _ => "streams need Redis 5",
    };
    is_unknown.then_some(needed)
}

/// Returns whether a server that was asked for a master does not know the command.
pub(crate) fn is_not_sentinel(asked: Asked<'_>, error: &RedisError) -> bool {
    asked == Asked::Sentinel && error.detail().is_some_and(|detail| detail.contains("unknown command"))
}

/// Returns the change to the URL that the server's text about a login suggests; empty if it suggests none.
fn login_advice(detail: &str) -> &'static str {
    if detail.contains("wrong number of arguments") {
        return "this server knows no users, as Redis before 6: leave the user out of the URL, as in redis://:password@host: ";
    }
    match detail.contains("without any password") || detail.contains("no password is set") {
        true => "the server has no password: leave it out of the URL: ",
        false => "",
    }
}

/// Returns the right that a refused command needs, as `ACL SETUSER` grants it.
fn missing_right(asked: Asked<'_>, detail: &str) -> String {
    let is_channel = detail.contains("channel");
    match asked {
        Asked::Subscribe(channel) | Asked::Publish(channel) if is_channel => format!("&{channel}"),
        Asked::Topic { name, .. } if is_channel => format!("&{name}"),
        Asked::Topic { name, .. } if detail.contains("key") => format!("~{name}"),
        Asked::Topic { command, .. } => format!("+{}", command.to_lowercase().split(' ').next().unwrap_or_default()),
        Asked::Subscribe(_) => "+subscribe".to_owned(),
        Asked::Publish(_) => "+publish".to_owned(),
        Asked::Sentinel => "+sentinel|get-master-addr-by-name".to_owned(),
        Asked::Login => "+auth".to_owned(),
        Asked::Hello => "+hello or +ping".to_owned(),
    }
}

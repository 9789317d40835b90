//! The parts of a broker's URL. Errors repeat its scheme and the names of known parameters, nothing else of it: the
//! rest may be a secret, or part of one.
//!
//! One rule applies to every scheme: the user info ends at the last `@`. A URL with a `/` or `?` before its last `@`,
//! or with a `#` anywhere, has a secret that is not percent-encoded. It is refused, and [`shown`] shows nothing but its
//! scheme.

use std::fmt::{self, Write as _};

use super::{TlsParameters, bad};
use crate::Error;
use crate::log::Escaped;

/// The longest scheme that is repeated, in bytes.
const MAX_SCHEME: usize = 32;

/// A URL split into its parts, of which only the scheme is interpreted.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// One of the accepted schemes.
    pub scheme: &'static str,
    /// The text before the last `@`, percent-encoded; empty if there is none.
    pub userinfo: &'a str,
    /// Host and port, or several, up to the first `/`.
    pub hosts: &'a str,
    /// From the first `/` on, that included; empty if there is none.
    pub path: &'a str,
    query: &'a str,
}

/// Splits a URL whose scheme is one of `schemes`, in any case.
///
/// # Errors
///
/// [`Config`](crate::ErrorKind::Config) if it has no scheme, or another one; if a `/` or `?` precedes its last `@`; if
/// it has a `#`.
pub fn parts<'a>(url: &'a str, schemes: &[&'static str]) -> Result<Parts<'a>, Error> {
    let known = schemes.join(", ");
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(bad(format!("the URL has no scheme; known are {known}")));
    };
    let Some(scheme) = schemes.iter().find(|known| known.eq_ignore_ascii_case(scheme)) else {
        let scheme = if is_scheme(scheme) { scheme } else { "" };
        return Err(bad(format!("unknown URL scheme {scheme:?}; known are {known}")));
    };
    let Some((userinfo, hosts, path, query)) = split(rest) else {
        return Err(bad(
            "the URL has a '#', or a '/' or '?' before its last '@'; in a user name, a password and a value of the query \
             these characters must be percent-encoded: # as %23, / as %2F, ? as %3F, @ as %40",
        ));
    };
    Ok(Parts {
        scheme,
        userinfo,
        hosts,
        path,
        query,
    })
}

/// Returns user info, hosts, path and query of the text after `://`; `None` if the end of the user info is ambiguous.
fn split(rest: &str) -> Option<(&str, &str, &str, &str)> {
    let (userinfo, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
    if userinfo.contains(['/', '?']) || userinfo.contains('#') || rest.contains('#') {
        return None;
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Some((userinfo, hosts, path, query))
}

/// Formats a URL without its secrets, or what may be one: scheme, hosts and path.
///
/// Neither user info nor query is shown. Of a URL that [`parts`] refuses, and of one whose hosts do not have the form
/// of hosts (as for a password without an `@` after it), only the scheme is shown.
pub fn shown(url: &str) -> Shown<'_> {
    Shown(url)
}

/// A URL without secrets; see [`shown`].
#[derive(Clone, Copy)]
pub struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", ""));
        if !is_scheme(scheme) {
            return f.write_char('…');
        }
        match split(rest) {
            Some((_, hosts, path, _)) if hosts.split(',').all(|host| Address::parse(host.trim(), 1).is_ok()) => {
                write!(f, "{scheme}://{}{}", Escaped(hosts), Escaped(path))
            }
            _ => write!(f, "{scheme}://…"),
        }
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns whether a text has the form of a scheme.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.len() <= MAX_SCHEME
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
}

impl<'a> Parts<'a> {
    /// Returns the names and values of the query, still percent-encoded; a name without a value has an empty one.
    pub fn parameters(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let parameters = self.query.split('&').filter(|parameter| !parameter.is_empty());
        parameters.map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
    }

    /// Reads the parameters of the query: those of TLS into the result, the others by `apply`, which returns false for one
    /// that is not among `known`. `tls_scheme` is named in the error for a URL without TLS.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) for an unknown parameter, and those of [`TlsParameters::apply`] and `apply`.
    pub fn read_parameters(
        &self,
        has_tls: bool,
        tls_scheme: &str,
        known: &[&str],
        mut apply: impl FnMut(&str, &str) -> Result<bool, Error>,
    ) -> Result<TlsParameters, Error> {
        let mut tls = TlsParameters::default();
        for (number, (name, value)) in (1..).zip(self.parameters()) {
            if !tls.apply(name, value, has_tls, tls_scheme)? && !apply(name, value)? {
                return Err(unknown_parameter(number, known));
            }
        }
        Ok(tls)
    }

    /// Returns user and password, decoded; empty if missing.
    ///
    /// # Errors
    ///
    /// As [`decoded`].
    pub fn login(&self) -> Result<(String, String), Error> {
        let (username, password) = self.userinfo.split_once(':').unwrap_or((self.userinfo, ""));
        Ok((decoded(username)?, decoded(password)?))
    }
}

/// Returns the error of an unknown parameter of a URL, by its number from 1. Its name is not repeated: it may be part
/// of a value with a raw `&`.
fn unknown_parameter(number: usize, known: &[&str]) -> Error {
    let known = [known, &TlsParameters::NAMES].concat().join(", ");
    bad(format!(
        "parameter {number} of the URL is unknown; known are {known} (a '&' in a value must be percent-encoded as %26)"
    ))
}

/// A host and a port. `Display` writes them as [`parse`](Self::parse) reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port, from 1.
    pub port: u16,
}

impl Address {
    /// Reads `host`, `host:port` or `[address]:port`. The host is `localhost` if it is missing.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) for a port that is not a number, an IPv6 address without brackets, or a
    /// host with characters that hosts do not have.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, Error> {
        let (host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or_default())),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let host = decoded(if host.is_empty() { "localhost" } else { host })?;
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0),
            None => Some(default_port),
        };
        // The text may be part of a password with an unescaped '/'.
        let Some(port) = port else {
            return Err(bad(
                "the URL has a port that is not a number from 1 to 65535 (a '/', '?' or '#' in a password must be percent-encoded, \
                 an IPv6 address stands in brackets)",
            ));
        };
        // The host is repeated in log lines and errors, so text that may be part of a password must not
        // be accepted as one.
        let is_plausible = |letter: char| letter.is_alphanumeric() || "-._:%".contains(letter);
        if !host.chars().all(is_plausible) {
            return Err(bad(
                "the URL has a host with characters that hosts do not have (the '@' between a password and the host is not percent-encoded)",
            ));
        }
        Ok(Self { host, port })
    }

    /// Reads several, separated by commas.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn parse_list(text: &str, default_port: u16) -> Result<Vec<Self>, Error> {
        let hosts = text.split(',').map(str::trim);
        hosts.map(|host| Self::parse(host, default_port)).collect()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

/// Decodes percent-encoding.
///
/// # Errors
///
/// [`Config`](crate::ErrorKind::Config) for a `%` without two digits after it, and for text that is not UTF-8 or has a
/// zero byte once decoded.
pub fn decoded(text: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(bad("the URL has a '%' that two hexadecimal digits do not follow"));
        };
        bytes.push((high << 4 | low) as u8);
    }
    let text = String::from_utf8(bytes).map_err(|_| bad("the URL is not UTF-8 once percent-decoded"))?;
    if text.contains('\0') {
        Err(bad("the URL has a zero byte"))
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let parts = parts("AMQP://u%40:p:@[::1]:7,h/a/b?x=1&&y", &["redis", "amqp"]).unwrap();
        assert_eq!((parts.scheme, parts.hosts, parts.path), ("amqp", "[::1]:7,h", "/a/b"));
        assert_eq!(parts.login().unwrap(), ("u@".to_owned(), "p:".to_owned()));
        assert_eq!(parts.parameters().collect::<Vec<_>>(), [("x", "1"), ("y", "")]);
    }

    #[test]
    fn hosts_are_completed_and_written_back() {
        for (text, host, port) in [
            ("", "localhost", 9),
            ("h", "h", 9),
            (":1", "localhost", 1),
            ("[::1]", "::1", 9),
            ("[::1]:2", "::1", 2),
        ] {
            let address = Address::parse(text, 9).unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port), "{text}");
        }
        let list = Address::parse_list("[::1]:2, h:1", 9).unwrap();
        assert_eq!([list[0].to_string(), list[1].to_string()], ["[::1]:2", "h:1"]);
    }

    #[test]
    fn a_secret_that_is_not_percent_encoded_is_refused_with_advice_and_never_shown() {
        for url in [
            "redis://:hunter2#!@host",
            "redis://u:12?cret@host",
            "redis://u:12/cret@host",
            "redis://u:1@2/cret@host",
            "redis://host?password=hun@ter2",
            "redis://host?password=hun#ter2",
            "redis://host/0#ter2",
        ] {
            let text = parts(url, &["redis"]).err().expect("a refusal").to_string();
            assert!(text.contains("%23") && text.contains("%40"), "{text}");
            assert_eq!(shown(url).to_string(), "redis://…", "{url}");
        }
    }

    #[test]
    fn what_is_shown_has_neither_user_info_nor_query() {
        for (url, expected) in [
            ("redis://me:secret@h:1/2", "redis://h:1/2"),
            ("rediss://:sec@ret@h:1", "rediss://h:1"),
            ("amqp://me:secret@[::1]:1//", "amqp://[::1]:1//"),
            ("kafka://h1:1, h2?sasl.password=secret", "kafka://h1:1, h2"),
            ("unix:///run/redis.sock?password=secret", "unix:///run/redis.sock"),
            // Meant to be a password, without a host after it.
            ("redis://:secret", "redis://…"),
            ("redis://me:secret/0", "redis://…"),
            ("redis://secret%40host", "redis://…"),
            ("redis://sec\u{1b}ret", "redis://…"),
            ("redis://h/a\nb", "redis://h/a\\nb"),
            ("me:secret@h", "…"),
            ("me:secret://h", "…"),
            ("", "…"),
        ] {
            assert_eq!(shown(url).to_string(), expected);
            assert_eq!(format!("{:?}", shown(url)), expected);
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_repeating_it() {
        let known = &["amqp"];
        let query = |text: &str| {
            let url = format!("amqp://{text}");
            let read = |parts: Parts<'_>| parts.read_parameters(false, "amqps", &["a"], |name, _| Ok(name == "a"));
            parts(&url, known).and_then(read)
        };
        for error in [
            parts("secret", known).err(),
            parts("redis://secret", known).err(),
            parts("u:secret://h", known).err(),
            query("h?secret=1").err(),
            query("h?a=secret&secret").err(),
            Address::parse("secret%40h", 9).err(),
            Address::parse("h:secret", 9).err(),
            Address::parse("h:0", 9).err(),
            Address::parse("fe80::1", 9).err(),
            Address::parse("[fe80::1]secret", 9).err(),
            decoded("secret%4").err(),
            decoded("secret%ff").err(),
            decoded("secret%00").err(),
        ] {
            let text = format!("{:?}", error.expect("a refusal"));
            assert!(!text.contains("secret"), "{text}");
        }
    }
}

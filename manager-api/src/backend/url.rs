//! The parts of a broker's URL. Errors repeat its scheme and the names of parameters, nothing else of it: the rest may be a secret, or part of one.

use super::bad;
use crate::Error;

/// A URL in its parts, of which only the scheme is looked into.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// One of those that were asked for.
    pub scheme: &'static str,
    /// What stands before the last `@`, percent-encoded; empty if there is none.
    pub userinfo: &'a str,
    /// Host and port, or several, up to the first `/`.
    pub hosts: &'a str,
    /// From the first `/` on, that included; empty if there is none.
    pub path: &'a str,
    query: &'a str,
}

/// Takes a URL apart whose scheme is one of `schemes`, in any case.
///
/// # Errors
///
/// [`Config`](crate::ErrorKind::Config) if it has no scheme, or another one.
pub fn parts<'a>(url: &'a str, schemes: &[&'static str]) -> Result<Parts<'a>, Error> {
    let known = schemes.join(", ");
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(bad(format!("the URL has no scheme; known are {known}")));
    };
    let Some(scheme) = schemes.iter().find(|known| known.eq_ignore_ascii_case(scheme)) else {
        return Err(bad(format!("unknown URL scheme {scheme:?}; known are {known}")));
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (userinfo, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    Ok(Parts {
        scheme,
        userinfo,
        hosts,
        path,
        query,
    })
}

impl<'a> Parts<'a> {
    /// Returns the names and values of the query, still percent-encoded; a name without a value has an empty one.
    pub fn parameters(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let parameters = self.query.split('&').filter(|parameter| !parameter.is_empty());
        parameters.map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
    }

    /// Returns user and password, decoded; what is missing is empty.
    ///
    /// # Errors
    ///
    /// As [`decoded`].
    pub fn login(&self) -> Result<(String, String), Error> {
        let (username, password) = self.userinfo.split_once(':').unwrap_or((self.userinfo, ""));
        Ok((decoded(username)?, decoded(password)?))
    }
}

/// Reads `host`, `host:port` or `[address]:port`; the host is `localhost` if there is none, and comes without brackets.
///
/// # Errors
///
/// [`Config`](crate::ErrorKind::Config) for a port that is none, or an IPv6 address without brackets.
pub fn host_and_port(text: &str, default_port: u16) -> Result<(String, u16), Error> {
    let (host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or_default())),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let host = if host.is_empty() { "localhost" } else { host };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port > 0),
        None => Some(default_port),
    };
    // The text may be part of a password with an unescaped '/'.
    let Some(port) = port else {
        return Err(bad(
            "the URL has a port that is no number from 1 to 65535 (a '/', '?' or '#' in a password must be percent-encoded, \
             an IPv6 address stands in brackets)",
        ));
    };
    Ok((decoded(host)?, port))
}

/// Writes what [`host_and_port`] reads.
pub fn address(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// Undoes percent-encoding.
///
/// # Errors
///
/// [`Config`](crate::ErrorKind::Config) for a `%` without two digits after it, and what is not UTF-8 or has a zero byte once decoded.
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
    match text.contains('\0') {
        true => Err(bad("the URL has a zero byte")),
        false => Ok(text),
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
            assert_eq!(host_and_port(text, 9).unwrap(), (host.to_owned(), port), "{text}");
        }
        assert_eq!((address("::1", 2), address("h", 1)), ("[::1]:2".into(), "h:1".into()));
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_repeating_it() {
        let known = &["amqp"];
        for error in [
            parts("secret", known).err(),
            parts("redis://secret", known).err(),
            host_and_port("h:secret", 9).err(),
            host_and_port("h:0", 9).err(),
            host_and_port("fe80::1", 9).err(),
            host_and_port("[fe80::1]secret", 9).err(),
            decoded("secret%4").err(),
            decoded("secret%ff").err(),
            decoded("secret%00").err(),
        ] {
            let said = format!("{:?}", error.expect("a refusal"));
            assert!(!said.contains("secret"), "{said}");
        }
    }
}

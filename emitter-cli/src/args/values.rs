//! Values of options: times, addresses, counts.

use std::num::NonZeroU64;
use std::time::Duration;

/// Where to listen; the host may be a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenAddr {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Reads `HOST:PORT`, `[IPv6]:PORT`, `:PORT` or `PORT`; without a host it is this machine's own address, never one that others reach.
pub(super) fn listen_addr(text: &str) -> Result<ListenAddr, String> {
    let expected =
        || "expected HOST:PORT or PORT, such as 127.0.0.1:3000, localhost:3000, [::1]:3000 or 3000".to_owned();
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let port = port.parse().map_err(|_| expected())?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(expected)?,
        None if host.contains(':') => return Err(expected()),
        None if host.is_empty() => "127.0.0.1",
        None => host,
    };
    let host = host.to_owned();
    Ok(ListenAddr { host, port })
}

/// Reads how many clients are to answer.
pub(super) fn num_answers(text: &str) -> Result<NonZeroU64, String> {
    match text.parse::<u64>().map(NonZeroU64::new) {
        Ok(Some(count)) => Ok(count),
        Ok(None) => Err("an answer is waited for from 1 client or more; leave --ack out to wait for none".into()),
        Err(_) => Err("expected a number of clients".into()),
    }
}

/// Reads `10s`, `1.5s`, `500ms`, `2m`, or a number of seconds; more than zero, at most a day.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let seconds_of_unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        unit => return Err(format!("unknown unit {unit:?}: use ms, s, m or h")),
    };
    let number: f64 = digits
        .parse()
        .map_err(|_| "expected a time such as 10s or 500ms".to_owned())?;
    let seconds = number * seconds_of_unit;
    if !(0.001..=86_400.0).contains(&seconds) {
        return Err("expected a time from 1ms to 24h".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_listen_on_may_be_a_name_or_a_port() {
        for (text, host, port) in [
            ("127.0.0.1:3000", "127.0.0.1", 3000),
            ("localhost:3000", "localhost", 3000),
            (":3000", "127.0.0.1", 3000),
            ("3000", "127.0.0.1", 3000),
            ("0.0.0.0:0", "0.0.0.0", 0),
            ("[::1]:80", "::1", 80),
        ] {
            let host = host.to_owned();
            assert_eq!(listen_addr(text), Ok(ListenAddr { host, port }), "{text}");
        }
        for bad in [
            "",
            "nowhere",
            "localhost:",
            "::1:80",
            "[::1]",
            "[::1:80",
            "h:70000",
            "http://h:80",
        ] {
            assert!(listen_addr(bad).unwrap_err().contains("HOST:PORT"), "{bad}");
        }
    }

    #[test]
    fn no_answer_is_not_waited_for() {
        assert!(num_answers("0").unwrap_err().contains("leave --ack out"));
        assert_eq!(num_answers("2"), Ok(NonZeroU64::MIN.saturating_add(1)));
        assert!(num_answers("x").is_err() && num_answers("-1").is_err());
    }

    #[test]
    fn times_are_read_with_their_unit() {
        for (text, millis) in [
            ("10s", 10_000),
            ("1.5s", 1_500),
            ("500ms", 500),
            ("2m", 120_000),
            ("3", 3_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "-1s", "0s", "5d", "NaN", "inf", "1e9h", "10 s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}

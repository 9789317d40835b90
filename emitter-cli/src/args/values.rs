//! Values of options: times, counts and formats.

use std::num::NonZeroU64;
use std::time::Duration;

use manager_api::deadline;

/// How lines on standard error are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// An object of JSON for each line
    Json,
}

/// Reads how many clients are to acknowledge.
pub(super) fn num_acks(text: &str) -> Result<NonZeroU64, String> {
    match text.parse::<u64>().map(NonZeroU64::new) {
        Ok(Some(count)) => Ok(count),
        Ok(None) => Err("acknowledgements of 1 client or more are waited for; leave --ack out to wait for none".into()),
        Err(_) => Err("expected a number of clients".into()),
    }
}

/// Reads the number of deliveries after which the demo ends.
#[cfg(feature = "serve")]
pub(super) fn num_deliveries(text: &str) -> Result<NonZeroU64, String> {
    let count = text.parse::<u64>().ok().and_then(NonZeroU64::new);
    count.ok_or_else(|| "expected a number of deliveries, 1 or more".to_owned())
}

/// Reads a number of messages or events to wait for.
pub(super) fn num_wanted(text: &str) -> Result<NonZeroU64, String> {
    let count = text.parse::<u64>().ok().and_then(NonZeroU64::new);
    count.ok_or_else(|| "expected a number, 1 or more".to_owned())
}

/// Reads [a time](deadline::parse) of a millisecond or more.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let time = deadline::parse(text)?;
    match time >= Duration::from_millis(1) {
        true => Ok(time),
        false => Err("expected a time from 1ms to 24h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_wait_for_no_acknowledgement_is_refused() {
        assert!(num_acks("0").unwrap_err().contains("leave --ack out"));
        assert_eq!(num_acks("2"), Ok(NonZeroU64::MIN.saturating_add(1)));
        assert!(num_acks("x").is_err() && num_acks("-1").is_err());
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

//! Deadlines that do not overflow, for timeouts of any configured length; and times as people write them.

use std::time::Duration;

use tokio::time::Instant;

/// Longer than any process runs: a later instant may not be representable, and the addition would panic.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Returns the instant at which a `wait` that starts now ends; that of [`Duration::MAX`] is never reached.
pub fn after(wait: Duration) -> Instant {
    from(Instant::now(), wait)
}

/// Returns the instant at which a `wait` that started at `start` ends; that of [`Duration::MAX`] is never reached.
pub fn from(start: Instant, wait: Duration) -> Instant {
    start + wait.min(NEVER)
}

/// Reads a time as flags and settings write it: `10s`, `1.5s`, `500ms`, `2m`, `1h`, or a number of seconds. At most a day.
///
/// # Errors
///
/// What was expected, in words for the user.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let seconds_of_unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        unit => return Err(format!("unknown unit {unit:?}: use ms, s, m or h")),
    };
    let seconds = digits.parse::<f64>().ok().map(|number| number * seconds_of_unit);
    let seconds = seconds.filter(|seconds| (0.0..=86_400.0).contains(seconds));
    let seconds = seconds.ok_or_else(|| "expected a time such as 10s or 500ms, 24h at most".to_owned())?;
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_or_is_in_seconds() {
        for (text, millis) in [
            ("10s", 10_000),
            ("1.5s", 1_500),
            ("500ms", 500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("7", 7_000),
            ("0", 0),
            ("24h", 86_400_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "-1s", "25h", "10d", "NaN", "inf", "1e9", "1s2"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_longest_wait_ends_at_an_instant_that_exists() {
        let start = Instant::now();
        assert!(after(Duration::MAX) >= start + NEVER);
        assert_eq!(from(start, Duration::MAX), start + NEVER);
        assert_eq!(from(start, Duration::from_secs(1)), start + Duration::from_secs(1));
    }
}

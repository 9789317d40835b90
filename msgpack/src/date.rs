//! Dates as ISO 8601 text.

const DAY: i64 = 86_400_000;

/// Returns milliseconds since 1970 as JavaScript's `toISOString` writes them; `None` if JavaScript
/// has no such date.
///
/// ```
/// assert_eq!(msgpack::date::iso(0).as_deref(), Some("1970-01-01T00:00:00.000Z"));
/// ```
pub fn iso(milliseconds: i64) -> Option<String> {
    // ECMA-262, "Time Values and Time Range".
    if milliseconds.unsigned_abs() > 8_640_000_000_000_000 {
        return None;
    }
    let (year, month, day) = civil(milliseconds.div_euclid(DAY));
    let time = milliseconds.rem_euclid(DAY);
    let (hour, minute) = (time / 3_600_000, time / 60_000 % 60);
    let (second, rest) = (time / 1_000 % 60, time % 1_000);
    let year = match year {
        0..=9_999 => format!("{year:04}"),
        _ => format!("{year:+07}"),
    };
    Some(format!(
        "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{rest:03}Z"
    ))
}

/// Year, month and day of a day counted from 1970, in the Gregorian calendar.
///
/// Years begin in March here, so that the leap day is a year's last, and come in eras of 400, which
/// are all of one length.
fn civil(day: i64) -> (i64, i64, i64) {
    const DAYS_TO_1970: i64 = 719_468; // from the first of March of the year 0
    const ERA: i64 = 146_097;
    let day = day + DAYS_TO_1970;
    let (era, day) = (day.div_euclid(ERA), day.rem_euclid(ERA));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months from March on have 31, 30, 31, 30, 31 days, over and over: 153 in five.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year;
    match month {
        0..=9 => (year, month + 3, day),
        _ => (year + 1, month - 9, day),
    }
}

#[cfg(test)]
mod tests {
    use super::iso;

    #[test]
    fn dates_are_written_as_javascript_writes_them() {
        // Each as `new Date(ms).toISOString()` says on Node.js.
        for (milliseconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
            (-62_198_755_200_000, "-000001-01-01T00:00:00.000Z"),
            (8_640_000_000_000_000, "+275760-09-13T00:00:00.000Z"),
            (-8_640_000_000_000_000, "-271821-04-20T00:00:00.000Z"),
        ] {
            assert_eq!(iso(milliseconds).as_deref(), Some(text));
        }
        assert_eq!(iso(8_640_000_000_000_001), None);
        assert_eq!(iso(i64::MIN), None);
    }
}

//! Names of rooms from the query of a request.

/// The names that a parameter holds: it may stand there several times, and each value may be a list with commas.
///
/// The JavaScript client sends one value for a parameter: of `?a=1&a=2` in its URL the last, of an array all with commas between.
pub(super) fn names(query: &str, parameter: &str) -> Vec<String> {
    let values = values(query, parameter).into_iter();
    values
        .flat_map(|value| value.split(',').map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// The values of a parameter, decoded; it may stand there several times.
fn values(query: &str, name: &str) -> Vec<String> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .filter(|(key, _)| decode(key) == name)
        .map(|(_, value)| decode(value))
        .collect()
}

/// Undoes percent-encoding and `+`. What is not an encoding stays as it is, what is not UTF-8 is replaced.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match (*first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        rest = if escaped.is_some() { &tail[2..] } else { tail };
        bytes.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::{names, values};

    #[test]
    fn a_parameter_may_stand_there_several_times_and_encoded() {
        let query = "EIO=4&room=lobby&room=a%20b+c%26&roo%6d=%C3%A9&room=%zz%&other=x&room";
        assert_eq!(values(query, "room"), ["lobby", "a b c&", "é", "%zz%", ""]);
        assert_eq!(values("", "room"), [""; 0]);
        assert_eq!(values("room=%ff", "room"), ["\u{fffd}"]);
    }

    #[test]
    fn several_names_may_stand_in_one_value() {
        assert_eq!(names("room=a&room=b", "room"), ["a", "b"]);
        assert_eq!(names("room=a%2Cb,c", "room"), ["a", "b", "c"]);
        assert_eq!(names("room=", "room"), [""]);
        assert_eq!(names("", "room"), [""; 0]);
    }
}

//! The patterns of PSUBSCRIBE and PUBSUB CHANNELS: `*`, `?`, `[a-z]`, `[^a]`, and `\` before a literal character.

/// Whether the pattern matches the whole name.
///
/// Goes back to the last `*` only, so that its time is bounded by the product of both lengths.
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut pos) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while pos < name.len() {
        if pattern.get(at) == Some(&b'*') {
            retry = Some((at + 1, pos));
            at += 1;
            continue;
        }
        match one(&pattern[at..], name[pos]) {
            Some(num_bytes) => (at, pos) = (at + num_bytes, pos + 1),
            None => {
                let Some((after_star, from)) = retry else {
                    return false;
                };
                retry = Some((after_star, from + 1));
                (at, pos) = (after_star, from + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Matches one byte with the first element of the pattern: the element's length, `None` if it does not match.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', ref set @ ..] => class(set, byte),
        [b'\\', literal, ..] => (literal == byte).then_some(2),
        [literal, ..] => (literal == byte).then_some(1),
    }
}

/// Matches one byte with what follows a `[`.
fn class(set: &[u8], byte: u8) -> Option<usize> {
    let negated = set.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match set[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', literal, ..] => (found, at) = (found | (literal == byte), at + 2),
            [from, b'-', to, ..] if to != b']' => {
                (found, at) = (found | (from.min(to)..=from.max(to)).contains(&byte), at + 3);
            }
            [literal, ..] => (found, at) = (found | (literal == byte), at + 1),
        }
    }
    (found != negated).then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_in_redis() {
        let cases = [
            ("*", "", true),
            ("socket*", "socketio", true),
            ("socket*", "websocket", false),
            ("*a*b*c", "xxaybzc", true),
            ("*a*b*c", "xxaybz", false),
            ("n?ws", "news", true),
            ("n?ws", "nws", false),
            ("n[ae]ws", "news", true),
            ("n[^ae]ws", "news", false),
            ("n[a-f]ws", "news", true),
            ("n[f-a]ws", "news", true),
            ("n[a-", "na", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("", "a", false),
            ("a", "", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn a_pattern_of_stars_takes_no_exponential_time() {
        assert!(!matches(&b"*a".repeat(200), &b"a".repeat(1_000)[..199]));
        assert!(!matches(
            &[b"*a".repeat(500), b"b".to_vec()].concat(),
            &b"a".repeat(1_000)
        ));
    }
}

//! Glob-style patterns for the names of topics, as Redis defines them.

/// Returns whether `text` matches a pattern of `*`, `?`, `[abc]`, `[a-z]`, `[^a]` and `\\` before a character that stands
/// for itself.
///
/// The time is at most proportional to the product of the lengths.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut next) = (0, 0);
    // The pattern after the last `*`, and the text from which that was tried.
    let mut last_star = None;
    loop {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            last_star = Some((at, next));
            continue;
        }
        if let Some(len) = text.get(next).and_then(|byte| matched_len(&pattern[at..], *byte)) {
            at += len;
            next += 1;
            continue;
        }
        if next == text.len() && at == pattern.len() {
            return true;
        }
        match last_star {
            Some((after, from)) if from < text.len() => {
                (at, next) = (after, from + 1);
                last_star = Some((after, next));
            }
            _ => return false,
        }
    }
}

/// Returns the length of the pattern's first element if it matches `byte`.
fn matched_len(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern {
        [b'?', ..] => Some(1),
        [b'[', ref class @ ..] => {
            let (len, is_in) = class_of(class, byte);
            is_in.then_some(1 + len)
        }
        [b'\\', escaped, ..] => (escaped == byte).then_some(2),
        [literal, ..] => (literal == byte).then_some(1),
        [] => None,
    }
}

/// Reads a class after its `[`: its length, and whether `byte` is in it. One that does not end goes to the end.
fn class_of(class: &[u8], byte: u8) -> (usize, bool) {
    let is_negated = class.first() == Some(&b'^');
    let mut at = usize::from(is_negated);
    let mut is_in = false;
    loop {
        match class[at..] {
            [b'\\', escaped, ..] => {
                is_in |= escaped == byte;
                at += 2;
            }
            [b']', ..] => return (at + 1, is_in != is_negated),
            [from, b'-', to, ..] => {
                is_in |= (from.min(to)..=from.max(to)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                is_in |= literal == byte;
                at += 1;
            }
            [] => return (at, is_in != is_negated),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_those_of_redis() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
            ("socket.io#/#*", "socket.io#/#", true),
            ("socket.io#/#*", "socket.io#/#room#", true),
            ("socket.io#/#*", "socket.io#/chat#", false),
            ("*", "", true),
            ("**a", "bca", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-cd", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[c-a]llo", "hbllo", true),
            ("h[\\]]llo", "h]llo", true),
            ("h[ab", "ha", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("a\\", "a\\", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends() {
        let pattern = "*a".repeat(200);
        assert!(!matches(pattern.as_bytes(), "a".repeat(199).as_bytes()));
    }
}

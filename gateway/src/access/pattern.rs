//! Patterns of names: text in which `*` stands for any run of characters.

use std::fmt;

/// A pattern of names, in which each `*` stands for any characters, also for none and for `:` and
/// `/`.
///
/// The time of a comparison is at most proportional to the lengths of pattern and name.
///
/// ```
/// use gateway::access::Pattern;
///
/// let orders = Pattern::new("order:*:items");
/// assert!(orders.matches("order:7:items") && !orders.matches("order:7"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Takes any text as a pattern.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether the whole of a name fits.
    pub fn matches(&self, name: &str) -> bool {
        let Some((prefix, rest)) = self.0.split_once('*') else {
            return *self.0 == *name;
        };
        let (middle, suffix) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(between) = name.strip_prefix(prefix).and_then(|name| name.strip_suffix(suffix)) else {
            return false;
        };
        // The first place of each piece is the best: it leaves the most to the pieces behind it. No
        // text is searched twice.
        let mut left = between;
        for piece in middle.split('*') {
            let Some(at) = left.find(piece) else {
                return false;
            };
            left = &left[at + piece.len()..];
        }
        true
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Pattern;

    #[test]
    fn a_star_stands_for_any_characters_and_for_none() {
        for (pattern, fits, others) in [
            ("lobby", &["lobby"][..], &["", "lobb", "lobby2", "Lobby"][..]),
            ("", &[""], &["a"]),
            ("*", &["", "a", "a:b/c", "é*"], &[]),
            ("user:*", &["user:", "user:7", "user:7:x"], &["user", "auser:7"]),
            ("*:read", &[":read", "a:read"], &["a:read2", "read"]),
            ("a*b*c", &["abc", "a1b2c", "abbc", "abcbc"], &["ac", "acb", "ab"]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("**", &["", "x"], &[]),
            ("a**b", &["ab", "axb"], &["a"]),
            ("*ab*ab*", &["abab", "xabyabz"], &["ab", "aab", "aba"]),
        ] {
            let pattern = Pattern::new(pattern);
            for name in fits {
                assert!(pattern.matches(name), "{pattern:?} fits {name:?}");
            }
            for name in others {
                assert!(!pattern.matches(name), "{pattern:?} does not fit {name:?}");
            }
        }
    }

    #[test]
    fn a_pattern_made_to_be_slow_takes_no_longer_than_its_length_warrants() {
        // Backtracking would take longer than the age of the universe.
        let (pattern, name) = (Pattern::new(&"*a".repeat(10_000)), "a".repeat(9_999) + "b");
        let start = Instant::now();
        assert!(!pattern.matches(&name));
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
}

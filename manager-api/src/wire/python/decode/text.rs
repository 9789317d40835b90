//! Strings of a message.

use std::borrow::Cow;
use std::ops::Deref;

use serde::Deserialize;

/// A string that is a slice of the message, unless an escape stands in it.
///
/// Serde borrows a [`Cow`] only where it is a field of its own: one in an [`Option`], or at the top, it would copy.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_a_slice_of_the_message_unless_an_escape_stands_in_it() {
        let read = |json| serde_json::from_str::<Option<Text<'_>>>(json).unwrap().unwrap();
        let (plain, escaped) = (read(r#""plain""#), read(r#""a\nb""#));
        assert!(matches!(plain.0, Cow::Borrowed("plain")));
        assert!(matches!(escaped.0, Cow::Owned(_)) && &*escaped == "a\nb");
    }
}

//! Untrusted text, escaped for a log line or a terminal.

use std::fmt::{self, Display, Write};

/// Formats untrusted text: from clients, brokers, other processes, files.
///
/// Such text cannot end a line, forge another line, move the cursor of a terminal or reverse the direction of writing:
/// control characters, and invisible characters that change how the rest is shown, are written as escapes (`\n`,
/// `\u{1b}`). At most [`MAX`](Self::MAX) bytes are written; `…` stands for the rest.
///
/// `Display` leaves all other characters unchanged; `Debug` puts double quotes around the text and escapes those
/// within, so that the text cannot be mistaken for further fields of a log line.
///
/// ```
/// # use manager_api::log::Escaped;
/// let event = "news\n2026-01-01 ERROR \u{1b}[2Jforged";
/// assert_eq!(Escaped(event).to_string(), r"news\n2026-01-01 ERROR \u{1b}[2Jforged");
/// assert_eq!(format!("{:?}", Escaped(r#"a" b="c"#)), r#""a\" b=\"c""#);
/// ```
#[derive(Clone, Copy)]
pub struct Escaped<T>(pub T);

impl<T> Escaped<T> {
    /// The maximum length of the output, in bytes of UTF-8, escapes included.
    pub const MAX: usize = 512;
}

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, &self.0, false)
    }
}

impl<T: Display> fmt::Debug for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        write_escaped(f, &self.0, true)?;
        f.write_char('"')
    }
}

impl Escaped<()> {
    /// Returns whether a character controls a terminal or how other characters are shown, instead of being shown.
    pub fn acts(letter: char) -> bool {
        // Line and paragraph separators, and the marks that embed, override, isolate or end a
        // direction of writing.
        letter.is_control()
            || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    }
}

fn write_escaped(out: &mut fmt::Formatter<'_>, text: &impl Display, is_quoted: bool) -> fmt::Result {
    let mut escaping = Escaping {
        out,
        left: Escaped::<()>::MAX,
        is_quoted,
        is_full: false,
    };
    match write!(escaping, "{text}") {
        // The text was cut.
        Err(_) if escaping.is_full => escaping.out.write_char('…'),
        written => written,
    }
}

struct Escaping<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    left: usize,
    is_quoted: bool,
    is_full: bool,
}

impl Escaping<'_, '_> {
    /// Writes the text of one character, unless it exceeds the remaining length.
    fn put(&mut self, text: &str) -> fmt::Result {
        let Some(left) = self.left.checked_sub(text.len()) else {
            self.is_full = true;
            return Err(fmt::Error);
        };
        self.left = left;
        self.out.write_str(text)
    }

    fn put_escape(&mut self, letter: char) -> fmt::Result {
        let escape: String = letter.escape_default().collect();
        self.put(&escape)
    }
}

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            if Escaped::acts(letter) || self.is_quoted && matches!(letter, '"' | '\\') {
                self.put_escape(letter)?;
            } else {
                self.put(letter.encode_utf8(&mut [0; 4]))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_acts_on_a_terminal_or_ends_a_line_is_left() {
        let text: String = (0..=0x2100).filter_map(char::from_u32).collect();
        for part in text.chars().collect::<Vec<_>>().chunks(40) {
            let part: String = part.iter().collect();
            let formatted = format!("{} {:?}", Escaped(&part), Escaped(&part));
            assert!(!formatted.contains(Escaped::acts), "{formatted:?}");
        }
        assert_eq!(
            Escaped("a\r\n\u{9b}1m\u{202e}ü").to_string(),
            "a\\r\\n\\u{9b}1m\\u{202e}ü"
        );
    }

    #[test]
    fn a_text_of_any_length_is_cut_between_characters() {
        for letter in ["a", "é", "\n", "\u{9b}", "\""] {
            let formatted = format!("{:?}", Escaped(letter.repeat(10_000)));
            assert!(formatted.len() <= Escaped::<()>::MAX + 5, "{}", formatted.len());
            assert!(formatted.ends_with("…\""), "{formatted}");
        }
        let short = "a".repeat(Escaped::<()>::MAX);
        assert_eq!(Escaped(&short).to_string(), short);
    }
}

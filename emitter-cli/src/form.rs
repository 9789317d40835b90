//! The form of lines on standard error: text for people, or JSON for collectors of logs.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// Whether lines are objects.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Makes each further line an object of JSON.
pub(crate) fn use_json() {
    IS_JSON.store(true, Ordering::Relaxed);
}

/// Writes a text that is for the user as one line or, as text, more; in JSON with the fields that the lines of the log have.
pub(crate) fn lines(text: &str) -> Vec<u8> {
    match IS_JSON.load(Ordering::Relaxed) {
        true => object(text),
        false => format!("{text}\n").into_bytes(),
    }
}

fn object(text: &str) -> Vec<u8> {
    let mut timestamp = String::new();
    // Writing to a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let line = json!({ "timestamp": timestamp, "level": "ERROR", "message": text.trim_end(), "target": "sio" });
    format!("{line}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_one_line_with_the_time_in_utc() {
        let line = String::from_utf8(object("sio: two\nlines\n")).unwrap();
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&object["level"], &object["message"]),
            (&json!("ERROR"), &json!("sio: two\nlines"))
        );
        assert!(object["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
    }
}

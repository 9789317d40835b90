//! The trace of an event: the option `--traceparent`, or the variable that tracing libraries set for the jobs they start.

use std::ffi::OsString;

use manager_api::log::Escaped;
use manager_api::trace::TraceParent;

use crate::failure::Failure;

const VARIABLE: &str = "TRACEPARENT";

/// Returns the trace that the user named, or that the environment names; `None` if there is none.
///
/// A malformed variable is ignored with a warning, because it may come from another tool: no event is lost for it.
///
/// # Errors
///
/// [`Failure::Input`] if the option is malformed.
pub(super) fn find(option: Option<&str>) -> Result<Option<TraceParent>, Failure> {
    find_in(option, std::env::var_os(VARIABLE))
}

fn find_in(option: Option<&str>, variable: Option<OsString>) -> Result<Option<TraceParent>, Failure> {
    if let Some(text) = option {
        let parsed = text.parse().map(Some);
        return parsed.map_err(|error: manager_api::Error| Failure::input(format!("--traceparent: {error}")));
    }
    let Some(text) = variable.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let text = text.to_string_lossy();
    let parsed = text.trim().parse();
    if let Err(error) = &parsed {
        tracing::warn!(error = ?Escaped(error), "{VARIABLE} is ignored");
    }
    Ok(parsed.ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_option_comes_before_the_variable_and_only_the_option_must_be_right() {
        let variable = |text: &str| Some(OsString::from(text));
        let shown = |found: Result<Option<TraceParent>, Failure>| found.unwrap().map(|trace| trace.to_string());
        let other = VALID.replace("4bf9", "aaaa");
        assert_eq!(shown(find_in(Some(VALID), variable(&other))).as_deref(), Some(VALID));
        assert_eq!(shown(find_in(None, variable(&format!(" {other}\n")))), Some(other));
        for absent in ["", "nonsense", "00-0-0-01"] {
            assert_eq!(shown(find_in(None, variable(absent))), None);
        }
        let failure = find_in(Some("nonsense"), None).unwrap_err();
        assert!(failure.code() == 2 && failure.to_string().contains("--traceparent"));
    }
}

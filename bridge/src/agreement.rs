//! Bridges of one name are to have the same sides: where they differ, each is blind to what the other one forwards.

use manager_api::lock::Unpoisoned;
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::{Error, ErrorKind};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::election::Beat;
use crate::shared::Shared;
use crate::side::SideState;

/// The longest description in a beat; of a longer one its hash is told.
const MAX_DESCRIPTION: usize = 1_024;

/// Describes the sides, in any order of theirs alike. It names no broker: the same may have several addresses, and those
/// may hold secrets.
pub(crate) fn description(sides: &[SideState]) -> String {
    let one = |side: &SideState| {
        let wire = if side.is_python { "python" } else { "Node" };
        let mut namespaces: Vec<_> = side.shown_namespaces().split(' ').map(str::to_owned).collect();
        namespaces.sort();
        format!("{:?} (wire of {wire}, namespaces {})", side.name, namespaces.join(" "))
    };
    let mut sides: Vec<_> = sides.iter().map(one).collect();
    sides.sort();
    let text = sides.join(", ");
    match text.len() > MAX_DESCRIPTION {
        true => Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect(),
        false => text,
    }
}

impl Shared {
    /// Compares the sides of another bridge of this name with those of this one. One that starts ends with an error; one
    /// that runs goes on, and is not ready.
    pub(crate) fn compare_sides(&self, beat: &Beat, is_starting: bool, now: Instant) {
        static DIFFERENT: LimitedLog = LimitedLog::new();
        let Some(others) = beat.sides.as_ref().filter(|sides| **sides != self.description) else {
            return;
        };
        *self.disagreed.lock().unpoisoned() = Some(now);
        let (name, own) = (Escaped(&self.name), &self.description);
        if is_starting {
            let text = format!(
                "another bridge of the name {name:?} has other sides: {:?} there, {own:?} here; give this one another name, \
                 or the same sides",
                Escaped(others)
            );
            self.fail(Error::new(ErrorKind::Config, text));
        } else if let Some(suppressed) = DIFFERENT.pass() {
            let (bridge, there, here) = (name, Escaped(others), Escaped(own));
            let text = "another bridge of this name has other sides; neither can stand in for the other";
            quietly(|| tracing::error!(suppressed, %bridge, %there, %here, "{text}"));
        }
    }

    /// Returns whether a bridge of this name with other sides was heard lately.
    pub(crate) fn disagrees(&self) -> bool {
        let heard = *self.disagreed.lock().unpoisoned();
        heard.is_some_and(|at| at.elapsed() < self.options.takeover)
    }
}

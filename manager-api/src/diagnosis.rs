//! What keeps events from arriving: findings, each with its evidence and a remedy.
//!
//! A [`Finding`] is made by [`doctor::diagnose`](crate::doctor::diagnose), and by the
//! [`examine`](crate::ClientManager::examine) of a manager, which knows its broker. Its [`Code`] is stable;
//! `docs/doctor.md` lists all of them.

mod code;

use std::borrow::Cow;
use std::time::Duration;

pub use code::{Code, Severity};

/// One fact about a broker, a channel or its servers.
///
/// No field contains a password. `subject` and `evidence` may repeat text of the broker and of other processes, which
/// is to be escaped before it is shown in a terminal.
///
/// ```
/// use manager_api::diagnosis::{Code, Finding, Severity};
///
/// let finding = Finding::new(Code::Replica, "redis://replica", "its role is replica");
/// assert_eq!(finding.severity(), Severity::Problem);
/// assert!(finding.remedy.contains("master"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The kind of finding.
    pub code: Code,
    /// The object concerned: a broker, a channel, a server, a topic.
    pub subject: String,
    /// The observation.
    pub evidence: String,
    /// What to do about it; empty if there is nothing to do. Default: [`Code::remedy`].
    pub remedy: Cow<'static, str>,
}

impl Finding {
    /// Creates a finding with the remedy of its code.
    pub fn new(code: Code, subject: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self {
            code,
            subject: subject.into(),
            evidence: evidence.into(),
            remedy: Cow::Borrowed(code.remedy()),
        }
    }

    /// Replaces the remedy by one that names what is known of this case.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// Returns the severity of its code.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }
}

/// What is known of a channel when a manager [examines](crate::ClientManager::examine) its broker.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Circumstances {
    /// The longest that the examination may take.
    pub limit: Duration,
    /// Whether a server is known on the channel.
    pub has_servers: bool,
    /// The length of the largest message that was seen on the channel, in bytes.
    pub largest_message: usize,
    /// The number of this manager's own subscriptions at the moment.
    pub own_subscriptions: usize,
}

impl Circumstances {
    /// Creates the circumstances of a channel of which nothing is known.
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            has_servers: false,
            largest_message: 0,
            own_subscriptions: 0,
        }
    }
}

/// What a manager finds out about its broker, as far as the login permits.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Examination {
    /// What is wrong, and what could not be examined.
    pub findings: Vec<Finding>,
    /// The least number of other processes that listen on the channel; `None` if the broker does not report it.
    pub listeners: Option<usize>,
    /// Other channels on the same broker that look as if they were used for Socket.IO.
    pub other_channels: Vec<String>,
}

impl Examination {
    /// Adds that something could not be examined, and why.
    pub fn not_checked(&mut self, subject: impl Into<String>, why: impl Into<String>) {
        self.findings.push(Finding::new(Code::NotChecked, subject, why));
    }
}

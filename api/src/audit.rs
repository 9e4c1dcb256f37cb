//! The audit log: changes, deletions, signals and links with their callers, with the target `media_api::audit`. Each line
//! belongs to the span of its request, which has the request's id.

use std::fmt::Display;

use media_domain::{caller::Caller, job::Signal};

/// An action that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A job was deleted.
    DeleteJob,
    /// A job was sent a signal.
    SignalJob(Signal),
    /// The record of a media was changed.
    ChangeMedia,
    /// A media was deleted.
    DeleteMedia,
    /// A link to a media was created.
    LinkMedia,
    /// A link to upload a media was created.
    LinkUpload,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::DeleteJob => "delete job",
            Self::SignalJob(Signal::Cancel) => "cancel job",
            Self::SignalJob(Signal::Pause) => "pause job",
            Self::SignalJob(Signal::Resume) => "resume job",
            Self::SignalJob(Signal::Retry) => "retry job",
            Self::ChangeMedia => "change media",
            Self::DeleteMedia => "delete media",
            Self::LinkMedia => "link media",
            Self::LinkUpload => "link upload",
        }
    }
}

/// Writes a line. It has the media's id, not its name, which a client has chosen.
pub(crate) fn record(action: Action, id: impl Display, caller: &Caller) {
    let (subject, role) = match caller {
        Caller::Authenticated(principal) => (principal.subject.as_str(), principal.role.as_str()),
        Caller::Unrestricted => ("", "trusted"),
        Caller::Anonymous => ("", "anonymous"),
    };
    tracing::info!(act = action.name(), %id, caller = subject, role, "audit");
}

//! What a call that failed is told as: a server's own words where there are any, otherwise what is known of it. Pure.

use crate::base::error::{Error, ErrorKind, Outcome};

/// The text of the error reply, but for line ends.
pub(super) fn text(error: &Error) -> String {
    match error.kind() {
        ErrorKind::Server { text } | ErrorKind::Readonly { text } | ErrorKind::Loading { text } => text.clone(),
        ErrorKind::TransactionAborted { text } if text.starts_with("EXECABORT ") => text.clone(),
        ErrorKind::TransactionAborted { text } => format!("EXECABORT Transaction discarded because of: {text}"),
        ErrorKind::Timeout { .. } => format!("TIMEOUT {error}"),
        // It was refused here, as a server refuses.
        ErrorKind::InvalidArgument { .. } | ErrorKind::UnsupportedCommand { .. } => format!("ERR {error}"),
        _ => match error.outcome() {
            Outcome::NotSent | Outcome::Refused => format!("NOTSENT {error}"),
            Outcome::Unknown => format!("UNKNOWN {error}"),
        },
    }
}

/// Whether a transaction was not executed since a key that it watches was changed.
pub(super) fn is_watched_key(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::TransactionAborted { .. }) && error.server_code().is_none()
}

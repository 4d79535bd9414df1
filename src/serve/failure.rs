//! What a call that failed is told as: a server's own words where there are any, otherwise what is known of it. Pure.

use std::borrow::Cow;

use crate::base::error::{Error, ErrorKind, Outcome};

const DISCARDED: &str = "EXECABORT Transaction discarded because of: ";

/// The text of the error reply, but for line ends.
pub(super) fn text(error: &Error) -> Cow<'_, [u8]> {
    let aborted = matches!(error.kind(), ErrorKind::TransactionAborted { text } if !text.starts_with("EXECABORT "));
    let own: Cow<'_, [u8]> = match (error.words(), error.kind()) {
        (Some(words), _) => words.into(),
        (
            None,
            ErrorKind::Server { text }
            | ErrorKind::Readonly { text }
            | ErrorKind::Loading { text }
            | ErrorKind::TransactionAborted { text },
        ) => text.as_bytes().into(),
        (None, ErrorKind::Timeout { .. }) => said("TIMEOUT", error),
        // It was refused here, as a server refuses.
        (None, ErrorKind::InvalidArgument { .. } | ErrorKind::UnsupportedCommand { .. }) => said("ERR", error),
        _ => match error.outcome() {
            Outcome::NotSent | Outcome::Refused => said("NOTSENT", error),
            Outcome::Unknown => said("UNKNOWN", error),
        },
    };
    match aborted {
        true => [DISCARDED.as_bytes(), &own].concat().into(),
        false => own,
    }
}

/// The same as the answer to EXEC: whatever a server had against the transaction, it says that it was discarded.
pub(super) fn text_of_exec(error: &Error) -> Cow<'_, [u8]> {
    let own = text(error);
    match error.kind() {
        ErrorKind::Server { .. } | ErrorKind::Readonly { .. } | ErrorKind::Loading { .. }
            if !own.starts_with(b"EXECABORT ") =>
        {
            [DISCARDED.as_bytes(), &own].concat().into()
        }
        _ => own,
    }
}

fn said(word: &str, error: &Error) -> Cow<'static, [u8]> {
    format!("{word} {error}").into_bytes().into()
}

/// Whether a transaction was not executed since a key that it watches was changed.
pub(super) fn is_watched_key(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::TransactionAborted { .. }) && error.server_code().is_none()
}

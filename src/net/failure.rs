//! Why a connection was not made, or has ended, in words.

use std::io;

use super::endpoint::Endpoint;
use crate::base::error::{Attempt, Stage};

/// Why an endpoint could not be reached, and how far the attempt came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialError {
    /// The step that failed.
    pub stage: Stage,
    /// The cause in one line.
    pub cause: String,
}

impl DialError {
    /// A failure at `stage`.
    pub fn new(stage: Stage, cause: impl Into<String>) -> DialError {
        DialError {
            stage,
            cause: cause.into(),
        }
    }

    /// The attempt as a caller reads it.
    pub fn at(&self, endpoint: &Endpoint) -> Attempt {
        Attempt {
            endpoint: endpoint.to_string(),
            stage: self.stage,
            cause: self.cause.clone(),
        }
    }
}

/// The system's message without Rust's `(os error 111)`.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// The peer has closed the connection.
pub(super) fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")
}

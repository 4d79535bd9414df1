//! What a connection is for, and whether it leads to a node that is what it is taken for.

use crate::base::error::Stage;
use crate::net::{DialError, Greeted};
use crate::topology::Role;

/// What a connection is dialled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Direct,
    Lane,
    Lease,
}

impl Use {
    /// Its word in the log.
    pub(super) fn word(self) -> &'static str {
        match self {
            Use::Direct => "direct",
            Use::Lane => "lane",
            Use::Lease => "for one caller",
        }
    }
}

/// The role is checked on the connection itself: an answer of a Sentinel may be old, and a node may not serve yet.
pub(crate) fn verify(greeted: Greeted, role: Role) -> Result<Greeted, DialError> {
    let wrong = |cause: String| Err(DialError::new(Stage::Role, cause));
    match greeted.role {
        Some(has) if has == role => match &greeted.serving {
            Ok(()) => Ok(greeted),
            Err(cause) => Err(DialError::new(Stage::Query, cause.clone())),
        },
        Some(Role::Primary) => wrong("the node is a primary".into()),
        Some(Role::Replica) => wrong("the node is a replica".into()),
        Some(Role::Sentinel) => wrong("the node is a Sentinel".into()),
        None => wrong("the node does not tell its role".into()),
    }
}

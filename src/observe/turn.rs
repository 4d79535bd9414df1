//! The turns that a failover takes while a Sentinel leads it, as values.

use std::time::Duration;

use crate::net::Endpoint;

/// What has become of a failover that a Sentinel told of beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Writes wait for a replica to be promoted.
    Armed {
        /// The replica.
        replica: Endpoint,
        /// The epoch of the failover.
        epoch: u64,
    },
    /// They wait no more: it is not.
    Disarmed {
        /// Why not.
        cause: &'static str,
    },
    /// The replica says that it is the primary, and is taken for it.
    Foreseen {
        /// The replica.
        replica: Endpoint,
        /// The epoch of the failover.
        epoch: u64,
        /// Since writes wait.
        after: Duration,
    },
    /// A Sentinel names it.
    Confirmed {
        /// The primary.
        replica: Endpoint,
        /// Since it was foreseen.
        after: Duration,
    },
    /// No Sentinel named it in time, or the leader gave the failover up: writes wait.
    Unconfirmed {
        /// The replica.
        replica: Endpoint,
        /// Since it was foreseen.
        after: Duration,
    },
    /// The Sentinels agree on another primary than the one that was foreseen.
    Resolved {
        /// The one in force.
        primary: Endpoint,
        /// The one that was foreseen.
        instead_of: Endpoint,
    },
}

impl Turn {
    /// Its word in the event.
    pub fn word(&self) -> &'static str {
        match self {
            Turn::Armed { .. } => "armed",
            Turn::Disarmed { .. } => "disarmed",
            Turn::Foreseen { .. } => "foreseen",
            Turn::Confirmed { .. } => "confirmed",
            Turn::Unconfirmed { .. } => "unconfirmed",
            Turn::Resolved { .. } => "resolved",
        }
    }

    /// The node that it is about.
    pub fn node(&self) -> Option<&Endpoint> {
        match self {
            Turn::Armed { replica, .. }
            | Turn::Foreseen { replica, .. }
            | Turn::Confirmed { replica, .. }
            | Turn::Unconfirmed { replica, .. } => Some(replica),
            Turn::Resolved { primary, .. } => Some(primary),
            Turn::Disarmed { .. } => None,
        }
    }

    /// How long it took.
    pub fn after(&self) -> Option<Duration> {
        match self {
            Turn::Foreseen { after, .. } | Turn::Confirmed { after, .. } | Turn::Unconfirmed { after, .. } => {
                Some(*after)
            }
            Turn::Armed { .. } | Turn::Disarmed { .. } | Turn::Resolved { .. } => None,
        }
    }
}

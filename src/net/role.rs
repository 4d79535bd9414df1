//! What a node is.

/// The part a node plays in a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Takes writes.
    Primary,
    /// Follows the primary.
    Replica,
    /// Watches both.
    Sentinel,
}

//! Subscriptions: channels, patterns and sharded channels that are heard through every failover.
//!
//! [`wanted`] is what the program and the task share, [`names`] what is wanted, [`route`] which node is listened to,
//! [`said`] what its replies are, the last three pure; a [`session`] is one connection, the [`follower`] the task that keeps
//! there being one, the [`outlet`] the way to the program's queue.

mod follower;
mod gap;
mod names;
mod outlet;
mod route;
mod said;
mod session;
mod wanted;

pub(crate) use follower::follow;
pub use gap::Gap;
pub use names::ChannelKind;
pub(crate) use names::Names;
pub(crate) use wanted::Wanted;

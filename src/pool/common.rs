//! What the keepers of a deployment share.

use std::rc::Rc;
use std::sync::Arc;

use super::gate::Gate;
use super::hangup::HangupWatch;
use super::scout::Scouts;
use super::sentry::Sentries;
use super::watchdog::Watchdog;
use crate::net::AddressMap;

/// What the keepers of a deployment share.
#[derive(Debug)]
pub struct Common {
    /// Who may dial which address when.
    pub gate: Rc<Gate>,
    /// The watch on idle connections.
    pub hangups: Arc<HangupWatch>,
    /// The watch on nodes that are gone without a word.
    pub sentries: Rc<Sentries>,
    /// Who asks replicas that are about to be promoted.
    pub scouts: Rc<Scouts>,
    /// The watch on far deadlines.
    pub watchdog: Arc<Watchdog>,
    /// Which name the certificate of an address must have, where that was given.
    pub names: AddressMap,
}

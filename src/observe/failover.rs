//! What a failover that was told of beforehand comes to: its lines in the log, its events.

use super::Observer;
use super::calls::millis;
use super::events::What;
use super::log::Level;
use super::turn::Turn;
use crate::topology::Role;

impl Observer {
    /// A failover of a service has taken a turn.
    pub fn failover(&self, service: &str, turn: &Turn) {
        let (level, text) = match turn {
            Turn::Armed { replica, epoch } => (
                Level::Info,
                format!("a Sentinel is about to promote {replica} under epoch {epoch}: writes wait"),
            ),
            Turn::Disarmed { cause } => (Level::Info, format!("writes wait no more: {cause}")),
            Turn::Foreseen { replica, epoch, after } => (
                Level::Info,
                format!(
                    "{replica} says that it is the primary, {} ms after it was selected: epoch {epoch}, not confirmed yet",
                    millis(*after)
                ),
            ),
            Turn::Confirmed { replica, after } => (
                Level::Info,
                format!(
                    "{replica} is confirmed as the primary, {} ms after it was foreseen",
                    millis(*after)
                ),
            ),
            Turn::Unconfirmed { replica, after } => (
                Level::Warn,
                format!(
                    "no Sentinel has confirmed {replica} as the primary in {} ms: writes wait until they agree",
                    millis(*after)
                ),
            ),
            Turn::Resolved { primary, instead_of } => (
                Level::Warn,
                format!(
                    "the Sentinels name {primary}, and not {instead_of}, which was foreseen: what that took may be lost"
                ),
            ),
        };
        self.log.line(level, format_args!("{service}: {text}"));
        let (stats, successes) = (self.service(service), || self.calls(service, Role::Primary).successes());
        let mut answered = None;
        match turn {
            Turn::Foreseen { .. } => stats.foreseen(successes()),
            Turn::Confirmed { after, .. } => stats.confirmed(*after),
            Turn::Unconfirmed { .. } => {
                let calls = stats.unconfirmed(successes());
                self.log.line(
                    Level::Warn,
                    format_args!("{service}: it has answered {calls} calls, whose writes may be lost"),
                );
                answered = Some(calls);
            }
            Turn::Armed { .. } | Turn::Disarmed { .. } | Turn::Resolved { .. } => {}
        }
        let turn = turn.clone();
        self.post(service, What::Failover { turn, answered });
    }
}

//! Failovers whose leader tells of them beforehand, comes to its end or not; and what a client may make of that.

use tokio::sync::mpsc;

use super::court::Court;
use super::{MS, answers, court};
use crate::kernel::kernel;
use crate::kernel::trace::tell;
use crate::topology::{Awaited, Request, Snapshot, Writes};

/// The defaults of the library.
const CONFIRM: u64 = 3_000 * MS;
const PROMOTED_WITHIN: u64 = 5_000 * MS;

/// Between two looks at the client, and what a turn of the thread takes.
const SLACK: u64 = 60 * MS;

/// A node that was promoted and is named by nobody is sent back so much later.
const SENT_BACK: u64 = 8_000 * MS;

/// One of ours leads a failover and tells of each step. `victim`: who can be spared, to lead it and to be lost over it.
pub(super) fn fail_over(victim: Option<usize>) {
    let Some(leader) = victim else {
        return court(Court::fail_over);
    };
    let begun = court(|court| {
        let slot = court.sentinels[leader].slot.filter(|_| !court.promoting)?;
        court.promoting = true;
        let (node, epoch) = court.next();
        tell(|| format!("Sentinel {leader} is about to promote {node} under {epoch}"));
        let host = answers::host(false, node);
        court.publish(leader, "+new-epoch", &epoch.to_string());
        court.publish(leader, "+try-failover", "master s x 1");
        court.publish(
            leader,
            "+failover-state-send-slaveof-noone",
            &format!("slave {host}:6379 {host} 6379 @ s x 1"),
        );
        Some((slot, node, epoch))
    });
    let Some((slot, node, epoch)) = begun else { return };
    let goes_on = move || court(|court| court.sentinels[leader].slot == Some(slot));
    kernel().after(kernel().between(30 * MS, 120 * MS), move || {
        if !goes_on() || kernel().one_in(8) {
            court(|court| {
                court.promoting = false;
                court.publish(leader, "-failover-abort-no-good-slave", "master s x 1");
            });
            return;
        }
        tell(|| format!("{node} is promoted under {epoch}"));
        court(|court| {
            court.promoted.insert((node, epoch));
            court.were_promoted.insert((node, epoch));
        });
        if kernel().one_in(4) {
            loses(leader, slot);
        }
        kernel().after(kernel().between(MS, 1_000 * MS), move || {
            court(|court| {
                court.promoting = false;
                if goes_on_in(court, leader, slot) {
                    return court.is_promoted(node, epoch, leader);
                }
                tell(|| format!("nobody names {node}"));
                kernel().after(SENT_BACK, move || {
                    super::court(|court| court.promoted.remove(&(node, epoch)));
                });
            });
        });
    });
}

fn goes_on_in(court: &Court, leader: usize, slot: usize) -> bool {
    court.sentinels[leader].slot == Some(slot)
}

/// The leader is killed in the very moment, and is back later.
fn loses(leader: usize, slot: usize) {
    court(|court| court.kill(leader));
    let back = kernel().between(500 * MS, 9_000 * MS);
    kernel().after(back, move || court(|court| court.start(leader, slot)));
}

/// Whoever can log in at the replica asks it what it is.
pub(super) fn scout(snapshot: &Snapshot, requests: &mpsc::UnboundedSender<Request>) {
    let Some(awaited) = snapshot.awaited.clone() else {
        return;
    };
    let is_it = |node: usize| answers::host(false, node) == awaited.replica.host;
    if court(|court| court.promoted.iter().any(|(node, _)| is_it(*node))) {
        requests.send(Request::Promoted(awaited)).unwrap();
    }
}

/// For how long the client has waited for what, or written where nobody confirms it.
#[derive(Debug, Default)]
pub(super) struct Waits {
    awaited: Option<(Awaited, u64)>,
    foreseen: Option<(u64, u64)>,
}

impl Waits {
    /// Nothing is written to a node that is neither named nor promoted just now, and nothing waits for ever.
    pub(super) fn look(&mut self, snapshot: &Snapshot) {
        let now = kernel().now();
        match (&snapshot.awaited, &mut self.awaited) {
            (Some(awaited), Some((known, since))) if awaited == known => {
                let waited = now - *since;
                assert!(
                    waited <= PROMOTED_WITHIN + SLACK,
                    "writes wait {waited} ns for {awaited:?}"
                );
            }
            (Some(awaited), waits) => *waits = Some((awaited.clone(), now)),
            (None, waits) => *waits = None,
        }
        let primary = snapshot.primary.as_ref().filter(|_| snapshot.foreseen);
        let Some(primary) = primary else {
            self.foreseen = None;
            return;
        };
        let epoch = snapshot.epoch;
        let (of, since) = *self.foreseen.get_or_insert((epoch, now));
        if of != epoch {
            self.foreseen = Some((epoch, now));
        } else if now > since + CONFIRM + SLACK {
            assert!(
                (snapshot.writes != Writes::Flow),
                "writes go to {primary:?}, which nobody has confirmed in {} ns",
                now - since
            );
            return;
        }
        let is_it = |node: usize| answers::host(false, node) == primary.endpoint.host;
        let was_promoted = court(|court| court.were_promoted.iter().any(|(node, _)| is_it(*node)));
        assert!(
            was_promoted || (snapshot.writes != Writes::Flow),
            "{primary:?} was never promoted under {epoch}"
        );
    }
}

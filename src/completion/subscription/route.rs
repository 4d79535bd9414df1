//! Which node a subscription listens to. Pure.

use crate::base::error::Stage;
use crate::net::{DialError, Endpoint, Greeted, Link};
use crate::options::ClientSettings;
use crate::pool::readable_replicas;
use crate::topology::{Role, Snapshot};

/// A node in the role in which it was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) endpoint: Endpoint,
    pub(super) role: Role,
    /// It is a replica that was chosen although its link to the primary is down.
    stale: bool,
    /// The config epoch under which it was chosen.
    epoch: u64,
}

impl Target {
    /// Whether the snapshot still names it. The rule is that of the pools' connections.
    pub(super) fn is_named(&self, snapshot: &Snapshot, settings: &ClientSettings) -> bool {
        match self.role {
            Role::Primary => {
                let primary = snapshot.primary.as_ref();
                self.epoch == snapshot.epoch && primary.is_some_and(|node| node.endpoint == self.endpoint)
            }
            _ => {
                let (fresh, stale) = readable_replicas(snapshot, settings);
                let stays = fresh.is_empty() && (self.stale || !settings.fallback_to_primary);
                fresh.contains(&self.endpoint) || (stays && stale.contains(&self.endpoint))
            }
        }
    }

    /// Why a node of whatever role is not the one to listen to.
    pub(super) fn objection(&self, greeted: &Greeted) -> Option<DialError> {
        let link = greeted.following.as_ref().map_or(Link::Up, |following| following.link);
        let good = self.role == Role::Primary || self.stale || link == Link::Up;
        (!good).then(|| DialError::new(Stage::Query, "the replica's link to its primary is down"))
    }
}

/// The nodes that may be listened to now, the best first; `failed` have just failed. A replica client listens to any
/// fresh replica, and to the primary when there is none or all have failed: what is published there does not come to a
/// replica that is cut off, which is listened to at last, for what it will hear once it is back.
pub(super) fn candidates(
    role: Role,
    snapshot: &Snapshot,
    settings: &ClientSettings,
    failed: &[Endpoint],
    turn: usize,
) -> Vec<Target> {
    let target = |endpoint: &Endpoint, role, stale| Target {
        endpoint: endpoint.clone(),
        role,
        stale,
        epoch: snapshot.epoch,
    };
    let primary = snapshot.primary.iter();
    let mut primary = primary.map(|node| target(&node.endpoint, Role::Primary, false));
    if role == Role::Primary {
        return primary.collect();
    }
    let (fresh, stale) = readable_replicas(snapshot, settings);
    let in_turn = |mut replicas: Vec<Endpoint>, stale| {
        replicas.retain(|replica| !failed.contains(replica));
        let first = turn % replicas.len().max(1);
        replicas.rotate_left(first);
        let targets = replicas.iter().map(|replica| target(replica, Role::Replica, stale));
        targets.collect::<Vec<Target>>()
    };
    let fresh = in_turn(fresh, false);
    if !fresh.is_empty() {
        return fresh;
    }
    let mut targets = Vec::new();
    if settings.fallback_to_primary {
        targets.extend(primary.next());
    }
    targets.extend(in_turn(stale, true));
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use crate::topology::Node;

    fn node(port: u16, role: Role) -> Node {
        Node {
            endpoint: Endpoint::new("h", port),
            role,
            fields: Vec::new(),
        }
    }

    fn snapshot(epoch: u64, primary: u16, replicas: &[u16]) -> Snapshot {
        Snapshot {
            epoch,
            primary: Some(node(primary, Role::Primary)),
            replicas: replicas.iter().map(|port| node(*port, Role::Replica)).collect(),
            ..Snapshot::default()
        }
    }

    fn settings(fallback: i64) -> ClientSettings {
        let mut options = Options::new();
        options.set_int("replica.fallback_to_primary", fallback).unwrap();
        options.client().unwrap()
    }

    fn ports(targets: &[Target]) -> Vec<u16> {
        targets.iter().map(|target| target.endpoint.port).collect()
    }

    #[test]
    fn a_primary_client_listens_to_the_primary_of_the_epoch() {
        let (settings, before) = (settings(1), snapshot(1, 1, &[2]));
        assert!(candidates(Role::Primary, &Snapshot::default(), &settings, &[], 0).is_empty());
        let target = candidates(Role::Primary, &before, &settings, &[], 5).remove(0);
        assert_eq!((target.endpoint.port, target.role), (1, Role::Primary));
        assert!(target.is_named(&before, &settings));
        assert!(!target.is_named(&snapshot(2, 2, &[1]), &settings));
        assert!(
            !target.is_named(&snapshot(3, 1, &[2]), &settings),
            "it was another in between"
        );
    }

    #[test]
    fn a_replica_client_listens_to_one_replica_after_the_other_then_to_the_primary() {
        let (settings, all) = (settings(1), snapshot(1, 1, &[2, 3, 4]));
        assert_eq!(ports(&candidates(Role::Replica, &all, &settings, &[], 0)), [2, 3, 4]);
        assert_eq!(ports(&candidates(Role::Replica, &all, &settings, &[], 4)), [3, 4, 2]);
        let failed = [2, 4].map(|port| Endpoint::new("h", port));
        assert_eq!(ports(&candidates(Role::Replica, &all, &settings, &failed, 1)), [3]);
        let failed = [2, 3, 4].map(|port| Endpoint::new("h", port));
        let left = candidates(Role::Replica, &all, &settings, &failed, 1);
        assert_eq!((ports(&left), left[0].role), (vec![1], Role::Primary));
        let replica = candidates(Role::Replica, &all, &settings, &[], 0).remove(0);
        assert!(replica.is_named(&snapshot(2, 3, &[2]), &settings));
        assert!(!replica.is_named(&snapshot(2, 2, &[3]), &settings), "promoted");
    }

    #[test]
    fn a_replica_that_is_cut_off_is_listened_to_at_last() {
        let cut = |mut snapshot: Snapshot, ports: &[u16]| {
            for node in &mut snapshot.replicas {
                if ports.contains(&node.endpoint.port) {
                    node.fields.push(("master-link-status".into(), "err".into()));
                }
            }
            snapshot
        };
        let (with, without) = (settings(1), settings(0));
        let (one, all) = (
            cut(snapshot(1, 1, &[2, 3]), &[2]),
            cut(snapshot(1, 1, &[2, 3]), &[2, 3]),
        );
        assert_eq!(ports(&candidates(Role::Replica, &one, &with, &[], 0)), [3]);
        assert_eq!(ports(&candidates(Role::Replica, &all, &with, &[], 0)), [1, 2, 3]);
        assert_eq!(ports(&candidates(Role::Replica, &all, &without, &[], 1)), [3, 2]);
        // What was chosen as fresh gives way to whatever still hears the primary; what was chosen as stale to a fresh one.
        let fresh = candidates(Role::Replica, &snapshot(1, 1, &[2]), &with, &[], 0).remove(0);
        assert!(!fresh.is_named(&one, &with) && !fresh.is_named(&all, &with));
        assert!(fresh.is_named(&all, &without), "there is nothing else");
        let stale = candidates(Role::Replica, &all, &with, &[], 0).remove(1);
        assert!(stale.is_named(&all, &with) && !stale.is_named(&one, &with));
        assert!(stale.is_named(&snapshot(2, 3, &[2]), &with), "it is fresh again");
    }

    #[test]
    fn without_the_fallback_there_is_none() {
        let settings = settings(0);
        assert!(candidates(Role::Replica, &snapshot(1, 1, &[]), &settings, &[], 3).is_empty());
    }
}

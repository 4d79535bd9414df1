//! Which replicas a client may read from, and which one next. Pure.

use crate::net::Endpoint;
use crate::options::{ClientSettings, Select};
use crate::topology::{Node, Snapshot};

/// Why a replica is left out, or nothing when it may be read from.
pub(super) fn too_stale(replica: &Node, freshest: u64, settings: &ClientSettings) -> Option<String> {
    let number = |name: &str| replica.field(name).and_then(|value| value.parse::<u64>().ok());
    let link_down = number("master-link-down-time").unwrap_or(0);
    if let Some(bound) = settings.max_link_down {
        if u128::from(link_down) > bound.as_millis() {
            return Some(format!(
                "its link to the primary is down for {link_down} ms, more than replica.max_link_down_ms allows"
            ));
        }
    }
    let lag = freshest.saturating_sub(number("slave-repl-offset").unwrap_or(0));
    match settings.max_lag_bytes {
        Some(bound) if lag > bound => Some(format!(
            "it is {lag} bytes behind, more than replica.max_lag_bytes allows"
        )),
        _ => None,
    }
}

/// The freshest offset that any Sentinel reports of any of the replicas.
pub(super) fn freshest(replicas: &[Node]) -> u64 {
    let offset = |node: &Node| node.field("slave-repl-offset")?.parse().ok();
    replicas.iter().filter_map(offset).max().unwrap_or(0)
}

/// The replicas that a client with these settings may read from.
pub(crate) fn readable(snapshot: &Snapshot, settings: &ClientSettings) -> Vec<Endpoint> {
    let freshest = freshest(&snapshot.replicas);
    let replicas = snapshot.replicas.iter();
    let fresh = replicas.filter(|replica| too_stale(replica, freshest, settings).is_none());
    fresh.map(|replica| replica.endpoint.clone()).collect()
}

/// What is known of a route that could take the next call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    /// It has a free connection.
    pub(super) free: bool,
    /// Smoothed time of a call, in microseconds.
    pub(super) micros: u32,
}

/// One call in so many looks at another replica than the fastest, or a slow moment would banish a replica for ever.
const EXPLORE: usize = 16;

/// The place of the route that call number `call` tries first, among `count`; the others follow in turn. `random` is any
/// number.
pub(super) fn place(select: Select, count: usize, call: usize, random: usize) -> usize {
    let turn = if select == Select::Random { random } else { call };
    turn % count.max(1)
}

/// The place of the fastest route that is free.
pub(super) fn fastest(routes: &[Choice], call: usize) -> usize {
    if call.is_multiple_of(EXPLORE) {
        return (call / EXPLORE) % routes.len().max(1);
    }
    let free = routes.iter().enumerate().filter(|(_, route)| route.free);
    free.min_by_key(|(_, route)| route.micros).map_or(0, |(place, _)| place)
}

/// The smoothed time after one more call.
pub(super) fn smoothed(before: u32, micros: u32) -> u32 {
    if before == 0 {
        return micros;
    }
    before - before / 8 + micros / 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use crate::topology::Role;

    fn replica(link_down: &str, offset: &str) -> Node {
        let fields = [("master-link-down-time", link_down), ("slave-repl-offset", offset)];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Node {
            endpoint: Endpoint::new("r", 1),
            role: Role::Replica,
            fields,
        }
    }

    fn settings(key: &str, value: i64) -> ClientSettings {
        let mut options = Options::new();
        options.set_int(key, value).unwrap();
        options.client().unwrap()
    }

    #[test]
    fn stale_replicas_are_left_out_by_the_bound_that_is_set() {
        let unbound = Options::new().client().unwrap();
        assert_eq!(too_stale(&replica("5000", "0"), 1 << 40, &unbound), None);
        let lag = settings("replica.max_lag_bytes", 100);
        assert_eq!(too_stale(&replica("0", "900"), 1000, &lag), None);
        let cause = too_stale(&replica("0", "899"), 1000, &lag).unwrap();
        assert!(cause.contains("101 bytes behind"), "{cause}");
        let down = settings("replica.max_link_down_ms", 50);
        assert_eq!(too_stale(&replica("50", "0"), 0, &down), None);
        assert!(too_stale(&replica("51", "0"), 0, &down).is_some());
    }

    #[test]
    fn the_freshest_offset_is_the_largest_of_all() {
        assert_eq!(
            freshest(&[replica("0", "7"), replica("0", "19"), replica("0", "?")]),
            19
        );
        assert_eq!(freshest(&[]), 0);
    }

    #[test]
    fn each_way_of_selecting_finds_its_replica() {
        let route = |free, micros| Choice { free, micros };
        let routes = [route(true, 300), route(false, 100), route(true, 200)];
        let turns: Vec<usize> = (0..4).map(|call| place(Select::RoundRobin, 3, call, 9)).collect();
        assert_eq!(turns, [0, 1, 2, 0]);
        assert_eq!(place(Select::Random, 3, 0, 5), 2);
        assert_eq!(fastest(&routes, 1), 2, "the fastest that is free");
        let explored: Vec<usize> = (0..3).map(|turn| fastest(&routes, turn * 16)).collect();
        assert_eq!(explored, [0, 1, 2]);
        assert_eq!(fastest(&[], 1), 0);
    }

    #[test]
    fn one_slow_call_does_not_decide_alone() {
        assert_eq!(smoothed(0, 80), 80);
        assert_eq!(smoothed(80, 880), 180);
        assert_eq!(smoothed(180, 80), 168);
    }
}

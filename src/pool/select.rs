//! Which replicas a client may read from, and which one next. Pure.

use std::time::Duration;

use crate::net::{Endpoint, Link, Part};
use crate::options::{ClientSettings, Select};
use crate::topology::{Node, Role, Snapshot};

/// A replica as a client with its settings takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It follows its primary.
    Fresh,
    /// Its link to the primary is down, for no longer than is allowed: it serves where no fresh one does.
    Stale,
    /// It is not read from, and why.
    Unfit(String),
}

/// How a replica of the snapshot stands. `told`: what it said itself lately, which is newer than anything that a Sentinel
/// knows of it.
pub(super) fn standing(
    replica: &Node,
    snapshot: &Snapshot,
    settings: &ClientSettings,
    told: Option<&Part>,
) -> Standing {
    if told.is_some_and(|part| snapshot.forgotten.contains(&replica.endpoint) && !still_follows(replica, part)) {
        let cause = "no Sentinel lists it any more, and it does not say that it follows the same primary as before";
        return Standing::Unfit(cause.to_owned());
    }
    let own = told.and_then(|part| part.following.as_ref());
    match (
        too_far_behind(replica, snapshot.freshest, settings),
        own.map(|own| own.link),
    ) {
        (Some(cause), _) => Standing::Unfit(cause),
        (None, Some(Link::Up)) => Standing::Fresh,
        (None, Some(Link::Never)) => Standing::Unfit("it has not been in sync with its primary yet".to_owned()),
        (None, Some(Link::Down(Some(since)))) => cut_off(since, settings),
        (None, Some(Link::Down(None))) => cut_off(said_down(replica).unwrap_or_default(), settings),
        (None, None) => said_down(replica).map_or(Standing::Fresh, |since| cut_off(since, settings)),
    }
}

/// Whether a replica that no Sentinel lists any more follows whom it followed when one did. Both addresses are as the
/// replica itself has them: Sentinel has its own from INFO.
fn still_follows(replica: &Node, part: &Part) -> bool {
    let host = replica.field("master-host");
    let port = replica.field("master-port").and_then(|port| port.parse().ok());
    let before = host.zip(port).map(|(host, port)| Endpoint::new(host, port));
    let now = part.following.as_ref().map(|following| &following.primary);
    part.role == Some(Role::Replica) && now.is_some() && now == before.as_ref()
}

fn cut_off(since: Duration, settings: &ClientSettings) -> Standing {
    match settings.max_link_down {
        Some(bound) if since > bound => Standing::Unfit(format!(
            "its link to the primary is down for {} ms, more than replica.max_link_down_ms allows",
            since.as_millis()
        )),
        _ => Standing::Stale,
    }
}

/// For how long the link of a replica to its primary is down, by what a Sentinel says; `None`: it is up, or no Sentinel
/// has asked yet, for until then each says that it is down. Less than nothing: it has never been up.
fn said_down(replica: &Node) -> Option<Duration> {
    let asked = replica.field("master-host") != Some("?");
    replica
        .field("master-link-status")
        .filter(|status| asked && *status != "ok")?;
    let since = replica
        .field("master-link-down-time")
        .and_then(|since| since.parse::<i64>().ok());
    let since = since.map(|since| u64::try_from(since).map_or(Duration::MAX, Duration::from_millis));
    Some(since.unwrap_or_default())
}

fn too_far_behind(replica: &Node, freshest: u64, settings: &ClientSettings) -> Option<String> {
    let bound = settings.max_lag_bytes?;
    let offset = replica
        .field("slave-repl-offset")
        .and_then(|offset| offset.parse().ok());
    let lag = freshest.saturating_sub(offset.unwrap_or(0));
    (lag > bound).then(|| format!("it is {lag} bytes behind, more than replica.max_lag_bytes allows"))
}

/// The replicas that a client with these settings may read from, by what the Sentinels say alone: the fresh ones, and
/// those whose link to the primary is down.
pub(crate) fn readable(snapshot: &Snapshot, settings: &ClientSettings) -> (Vec<Endpoint>, Vec<Endpoint>) {
    let (mut fresh, mut stale) = (Vec::new(), Vec::new());
    for replica in &snapshot.replicas {
        match standing(replica, snapshot, settings, None) {
            Standing::Fresh => fresh.push(replica.endpoint.clone()),
            Standing::Stale => stale.push(replica.endpoint.clone()),
            Standing::Unfit(_) => {}
        }
    }
    (fresh, stale)
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
    if call % EXPLORE == 0 {
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
    use crate::net::Following;
    use crate::options::Options;

    fn replica(fields: &[(&str, &str)]) -> Node {
        let fields = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Node {
            endpoint: Endpoint::new("r", 1),
            role: Role::Replica,
            fields: fields.collect(),
        }
    }

    /// As a Sentinel lists it whose INFO was answered.
    fn said(status: &str, down_ms: &str) -> Node {
        replica(&[
            ("master-host", "p"),
            ("master-port", "1"),
            ("master-link-status", status),
            ("master-link-down-time", down_ms),
        ])
    }

    fn settings(key: &str, value: i64) -> ClientSettings {
        let mut options = Options::new();
        options.set_int(key, value).unwrap();
        options.client().unwrap()
    }

    fn told(primary: &str, link: Link) -> Part {
        let primary = Endpoint::new(primary, 1);
        Part {
            role: Some(Role::Replica),
            following: Some(Following { primary, link }),
        }
    }

    fn word(standing: &Standing) -> &str {
        match standing {
            Standing::Fresh => "fresh",
            Standing::Stale => "stale",
            Standing::Unfit(_) => "unfit",
        }
    }

    #[test]
    fn a_replica_stands_by_its_own_word_and_else_by_the_sentinels() {
        let down = |ms| Some(Link::Down(Some(Duration::from_millis(ms))));
        // What a Sentinel says, what it says itself, what it is without a bound and with one of 50 ms.
        let rows: &[(Node, Option<Link>, &str, &str)] = &[
            (replica(&[]), None, "fresh", "fresh"),
            (said("ok", "0"), None, "fresh", "fresh"),
            (said("err", "50"), None, "stale", "stale"),
            (said("err", "51"), None, "stale", "unfit"),
            (said("err", "-1000"), None, "stale", "unfit"),
            (said("err", "51"), Some(Link::Up), "fresh", "fresh"),
            (said("ok", "0"), down(50), "stale", "stale"),
            (said("ok", "0"), down(51), "stale", "unfit"),
            (said("err", "99"), down(7), "stale", "stale"),
            (said("ok", "0"), Some(Link::Down(None)), "stale", "stale"),
            (said("err", "51"), Some(Link::Down(None)), "stale", "unfit"),
            (said("ok", "0"), Some(Link::Never), "unfit", "unfit"),
            // Before its first INFO a Sentinel has it that the link is down.
            (
                replica(&[("master-host", "?"), ("master-link-status", "err")]),
                None,
                "fresh",
                "fresh",
            ),
        ];
        let (unbound, bound) = (
            Options::new().client().unwrap(),
            settings("replica.max_link_down_ms", 50),
        );
        for (node, link, without, with) in rows {
            let told = link.map(|link| told("p", link));
            let stands = |settings| standing(node, &Snapshot::default(), settings, told.as_ref());
            assert_eq!(word(&stands(&unbound)), *without, "{node:?} {link:?}");
            assert_eq!(word(&stands(&bound)), *with, "{node:?} {link:?}");
        }
    }

    #[test]
    fn lag_is_measured_against_the_freshest_offset() {
        let (unbound, lag) = (Options::new().client().unwrap(), settings("replica.max_lag_bytes", 100));
        let snapshot = Snapshot {
            freshest: 1000,
            ..Snapshot::default()
        };
        let at =
            |offset: &str, settings| standing(&replica(&[("slave-repl-offset", offset)]), &snapshot, settings, None);
        assert_eq!(at("0", &unbound), Standing::Fresh);
        assert_eq!(at("900", &lag), Standing::Fresh);
        match at("899", &lag) {
            Standing::Unfit(cause) => assert!(cause.contains("101 bytes behind"), "{cause}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(word(&at("?", &lag)), "unfit");
    }

    #[test]
    fn what_the_sentinels_have_forgotten_must_say_itself_whom_it_follows() {
        let settings = Options::new().client().unwrap();
        let node = said("ok", "0");
        let forgotten = Snapshot {
            forgotten: vec![node.endpoint.clone()],
            ..Snapshot::default()
        };
        let stands = |part: Option<&Part>| standing(&node, &forgotten, &settings, part);
        assert_eq!(stands(None), Standing::Fresh, "worth asking");
        assert_eq!(stands(Some(&told("p", Link::Up))), Standing::Fresh);
        assert_eq!(word(&stands(Some(&told("q", Link::Up)))), "unfit");
        for role in [None, Some(Role::Primary), Some(Role::Replica)] {
            let part = Part { role, following: None };
            assert_eq!(word(&stands(Some(&part))), "unfit", "{role:?}");
            let listed = standing(&node, &Snapshot::default(), &settings, Some(&part));
            assert_eq!(listed, Standing::Fresh, "{role:?}");
        }
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

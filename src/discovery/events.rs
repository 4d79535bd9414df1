//! What Sentinels publish, as values. Pure.

use super::foresight::Step;
use crate::net::Endpoint;

/// The channels each link listens to. Names are the wire's.
pub const CHANNELS: [&str; 18] = [
    "+switch-master",
    "+promoted-slave",
    "+config-update-from",
    "+failover-state-reconf-slaves",
    "+slave",
    "+sdown",
    "-sdown",
    "+odown",
    "-odown",
    "+reboot",
    "+sentinel",
    "+sentinel-address-switch",
    "+sentinel-invalid-addr",
    "+reset-master",
    "+monitor",
    "-monitor",
    "+tilt",
    "-tilt",
];

/// The channels on which a Sentinel tells of a failover that it leads. Where an ACL denies one of them, the others of
/// [`CHANNELS`] are heard all the same.
pub const STEPS: [&str; 8] = [
    "+new-epoch",
    "+try-failover",
    "+elected-leader",
    "+selected-slave",
    "+failover-state-send-slaveof-noone",
    "-failover-abort-not-elected",
    "-failover-abort-no-good-slave",
    "-failover-abort-slave-timeout",
];

/// How far an event reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A failover is under way, and the view is what it was.
    Step(Step),
    /// The primary may be another one: ask every Sentinel.
    Primary,
    /// Something else of the service changed in this Sentinel's view: ask this one.
    View,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The channel it came on.
    pub channel: &'static str,
    /// How far it reaches.
    pub kind: Kind,
    /// The service it is about; `None`: the Sentinel itself, so every service.
    pub service: Option<String>,
    /// It came in line with the answers, which the payload does not tell: what is answered after it was read after it.
    pub in_line: bool,
}

/// Reads a message of one of [`CHANNELS`]. `None` for a payload that is not of the documented form.
///
/// Service names may contain spaces, so everything is read from the right; the names of replicas and Sentinels
/// cannot, so what stands left of the service has a fixed number of words.
pub fn parse(channel: &str, payload: &str) -> Option<Event> {
    let channel = CHANNELS.into_iter().chain(STEPS).find(|known| *known == channel)?;
    let kind = match channel {
        "+new-epoch" => Kind::Step(Step::NewEpoch(payload.parse().ok()?)),
        "+try-failover" => Kind::Step(Step::Tries),
        "+elected-leader" => Kind::Step(Step::Leads),
        "+selected-slave" | "+failover-state-send-slaveof-noone" => Kind::Step(Step::Selects(replica_of(payload)?)),
        _ if channel.starts_with("-failover-abort-") => Kind::Step(Step::GivesUp),
        "+switch-master"
        | "+promoted-slave"
        | "+config-update-from"
        | "+failover-state-reconf-slaves"
        | "+reset-master"
        | "+monitor"
        | "-monitor"
        | "+reboot" => Kind::Primary,
        _ => Kind::View,
    };
    let service = match channel {
        "+switch-master" => Some(without_last_words(payload, 4)?),
        "+tilt" | "-tilt" | "+new-epoch" => None,
        _ => Some(service_of(payload)?),
    };
    Some(Event {
        channel,
        kind,
        service: service.map(str::to_owned),
        in_line: false,
    })
}

/// The service in `<type> <name> <ip> <port>` or `<type> <name> <ip> <port> @ <service> <ip> <port>`.
fn service_of(payload: &str) -> Option<&str> {
    let (kind, rest) = payload.split_once(' ')?;
    if kind != "master" {
        let of_service = rest.splitn(5, ' ').skip(3).collect::<Vec<_>>();
        return match of_service.as_slice() {
            ["@", service_and_address] => without_last_words(service_and_address, 2),
            _ => None,
        };
    }
    // +sentinel-address-switch adds " ip <ip> port <port> for <run id>".
    let moved = rest
        .rsplit_once(" ip ")
        .filter(|(_, to)| to.contains(" port ") && to.contains(" for "));
    let rest = moved.map_or(rest, |(head, _)| head);
    // +odown adds " #quorum 2/2", +monitor adds " quorum 2".
    let rest = rest.rsplit_once(" #quorum ").map_or(rest, |(head, _)| head);
    let rest = match rest.rsplit_once(" quorum ") {
        Some((head, count)) if count.bytes().all(|b| b.is_ascii_digit()) => head,
        _ => rest,
    };
    without_last_words(rest, 2)
}

/// The address in `slave <name> <ip> <port> @ <service> <ip> <port>`.
fn replica_of(payload: &str) -> Option<Endpoint> {
    let mut words = payload.split(' ');
    if words.next() != Some("slave") {
        return None;
    }
    let (host, port) = (words.nth(1)?, words.next()?.parse().ok()?);
    let is_known = !host.is_empty() && port != 0;
    is_known.then(|| Endpoint::new(host, port))
}

/// `text` without its last `count` words; `None` when nothing would be left.
fn without_last_words(text: &str, count: usize) -> Option<&str> {
    let mut head = text;
    for _ in 0..count {
        head = head.rsplit_once(' ')?.0;
    }
    Some(head).filter(|head| !head.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_service_of_each_documented_form() {
        let rows: &[(&str, &str, Kind, Option<&str>)] = &[
            (
                "+switch-master",
                "mymaster 127.0.0.1 7000 127.0.0.1 7001",
                Kind::Primary,
                Some("mymaster"),
            ),
            (
                "+switch-master",
                "a b c 127.0.0.1 7000 ::1 7001",
                Kind::Primary,
                Some("a b c"),
            ),
            (
                "+promoted-slave",
                "slave 127.0.0.1:7001 127.0.0.1 7001 @ my service 127.0.0.1 7000",
                Kind::Primary,
                Some("my service"),
            ),
            (
                "+config-update-from",
                "sentinel 0123abcd 127.0.0.1 7100 @ mymaster 127.0.0.1 7000",
                Kind::Primary,
                Some("mymaster"),
            ),
            (
                "+failover-state-reconf-slaves",
                "master my service 127.0.0.1 7000",
                Kind::Primary,
                Some("my service"),
            ),
            ("+sdown", "master mymaster 127.0.0.1 7000", Kind::View, Some("mymaster")),
            (
                "+sentinel-address-switch",
                "master my ip service 127.0.0.1 7000 ip 127.0.0.2 port 7100 for 0123abcd",
                Kind::View,
                Some("my ip service"),
            ),
            (
                "+sdown",
                "slave [::1]:7001 ::1 7001 @ mymaster ::1 7000",
                Kind::View,
                Some("mymaster"),
            ),
            (
                "+odown",
                "master a b 127.0.0.1 7000 #quorum 2/2",
                Kind::View,
                Some("a b"),
            ),
            (
                "+monitor",
                "master a b 127.0.0.1 7000 quorum 2",
                Kind::Primary,
                Some("a b"),
            ),
            (
                "+monitor",
                "master quorum 127.0.0.1 7000 quorum 2",
                Kind::Primary,
                Some("quorum"),
            ),
            ("-monitor", "master a b 127.0.0.1 7000", Kind::Primary, Some("a b")),
            (
                "+reboot",
                "master mymaster 127.0.0.1 7000",
                Kind::Primary,
                Some("mymaster"),
            ),
            (
                "+reset-master",
                "master mymaster 127.0.0.1 7000",
                Kind::Primary,
                Some("mymaster"),
            ),
            (
                "+slave",
                "slave h:1 h 1 @ a @ b 127.0.0.1 7000",
                Kind::View,
                Some("a @ b"),
            ),
            ("+new-epoch", "7", Kind::Step(Step::NewEpoch(7)), None),
            (
                "+try-failover",
                "master a b 127.0.0.1 7000",
                Kind::Step(Step::Tries),
                Some("a b"),
            ),
            (
                "+elected-leader",
                "master a b 127.0.0.1 7000",
                Kind::Step(Step::Leads),
                Some("a b"),
            ),
            (
                "+failover-state-send-slaveof-noone",
                "slave [::1]:7001 ::1 7001 @ a @ b 127.0.0.1 7000",
                Kind::Step(Step::Selects(Endpoint::new("::1", 7001))),
                Some("a @ b"),
            ),
            (
                "-failover-abort-no-good-slave",
                "master a b 127.0.0.1 7000",
                Kind::Step(Step::GivesUp),
                Some("a b"),
            ),
            ("+tilt", "#tilt mode entered", Kind::View, None),
            ("-tilt", "#tilt mode exited", Kind::View, None),
        ];
        for (channel, payload, kind, service) in rows {
            let event = parse(channel, payload).unwrap_or_else(|| panic!("{channel} {payload}"));
            assert_eq!((event.channel, &event.kind), (*channel, kind), "{channel} {payload}");
            assert_eq!(event.service.as_deref(), *service, "{channel} {payload}");
        }
    }

    #[test]
    fn what_is_not_of_the_form_is_no_event() {
        for (channel, payload) in [
            ("+switch-master", "127.0.0.1 7000 127.0.0.1 7001"),
            ("+switch-master", ""),
            ("+sdown", "master"),
            ("+sdown", "slave x 1 2"),
            ("+sdown", "slave x 1 2 # mymaster 1 2"),
            ("+new-epoch", ""),
            ("+new-epoch", "-1"),
            ("+new-epoch", "18446744073709551616"),
            ("+try-failover", "master"),
            ("+selected-slave", "master mymaster 127.0.0.1 7000"),
            ("+selected-slave", "slave h:1 h 0 @ mymaster 127.0.0.1 7000"),
            ("+selected-slave", "slave h:1  1 @ mymaster 127.0.0.1 7000"),
            ("+selected-slave", "slave h:1 h 65536 @ mymaster 127.0.0.1 7000"),
            ("+vote-for-leader", "0123abcd 7"),
        ] {
            assert_eq!(parse(channel, payload), None, "{channel} {payload:?}");
        }
    }
}

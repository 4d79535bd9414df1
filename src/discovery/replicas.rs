//! Which replicas the Sentinels' answers amount to. Pure.

use super::answer::{Answer, Fields, entry_endpoint, has_flag};
use crate::net::{AddressMap, Endpoint};
use crate::topology::{Node, Role, field};

/// What one Sentinel thinks of one replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum View {
    Down,
    /// `disconnected` and nothing worse: for 50 to 100 ms after a switch every replica carries it.
    Doubtful,
    Up,
}

fn view(fields: &Fields) -> View {
    let link = field(fields, "master-link-status");
    if has_flag(fields, "s_down") || has_flag(fields, "o_down") || link.is_some_and(|status| status != "ok") {
        View::Down
    } else if has_flag(fields, "disconnected") {
        View::Doubtful
    } else {
        View::Up
    }
}

struct Candidate<'a> {
    endpoint: Endpoint,
    fields: &'a Fields,
    best: View,
    up: usize,
    down: usize,
}

/// The replicas that may be read from: those that at least as many Sentinels think up as think down, without the
/// primary. The doubtful ones only when no other is left. In the order in which the answers list them.
pub fn usable<'a>(
    answers: impl Iterator<Item = &'a Answer>,
    primary: Option<&Endpoint>,
    map: &AddressMap,
) -> Vec<Node> {
    let mut candidates: Vec<Candidate<'a>> = Vec::new();
    for fields in answers.filter_map(|answer| answer.replicas.as_ref()).flatten() {
        let Some(endpoint) = entry_endpoint(fields, map).filter(|endpoint| Some(endpoint) != primary) else {
            continue;
        };
        let view = view(fields);
        let (up, down) = (usize::from(view != View::Down), usize::from(view == View::Down));
        match candidates.iter_mut().find(|candidate| candidate.endpoint == endpoint) {
            Some(known) => {
                known.up += up;
                known.down += down;
                if view > known.best {
                    known.best = view;
                    known.fields = fields;
                }
            }
            None => candidates.push(Candidate {
                endpoint,
                fields,
                best: view,
                up,
                down,
            }),
        }
    }
    candidates.retain(|candidate| candidate.up > 0 && candidate.up >= candidate.down);
    if candidates.iter().any(|candidate| candidate.best == View::Up) {
        candidates.retain(|candidate| candidate.best == View::Up);
    }
    let node = |candidate: Candidate<'_>| Node {
        endpoint: candidate.endpoint,
        role: Role::Replica,
        fields: candidate.fields.clone(),
    };
    candidates.into_iter().map(node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name:flags[:link status]` for each replica.
    fn answer(text: &str) -> Answer {
        let entry = |text: &str| {
            let mut parts = text.split(':');
            let mut fields = vec![
                ("ip".to_owned(), parts.next().unwrap().to_owned()),
                ("port".to_owned(), "1".to_owned()),
                ("flags".to_owned(), parts.next().unwrap().to_owned()),
            ];
            fields.extend(
                parts
                    .next()
                    .map(|link| ("master-link-status".to_owned(), link.to_owned())),
            );
            fields
        };
        Answer {
            replicas: Some(text.split_whitespace().map(entry).collect()),
            ..Answer::default()
        }
    }

    #[test]
    fn leaves_out_what_is_down() {
        let rows: &[(&[&str], &str)] = &[
            (&["a:slave b:slave"], "a b"),
            (&["a:slave:ok b:slave:err"], "a"),
            (&["a:s_down,slave b:slave"], "b"),
            (&["a:s_down,o_down,slave"], ""),
            (&["primary:slave b:slave"], "b"),
            (&["a:slave,disconnected b:slave"], "b"),
            (&["a:slave,disconnected b:slave,disconnected"], "a b"),
            (&["a:s_down,slave,disconnected b:slave,disconnected"], "b"),
            (&["a:slave", "a:s_down,slave", "a:s_down,slave"], ""),
            (&["a:slave", "a:s_down,slave"], "a"),
            (&["a:slave", "a:slave,disconnected b:slave,disconnected"], "a"),
            (&["a:slave", "b:slave"], "a b"),
            (&[], ""),
        ];
        let map = AddressMap::default();
        for (answers, expected) in rows {
            let answers: Vec<Answer> = answers.iter().map(|text| answer(text)).collect();
            let nodes = usable(answers.iter(), Some(&Endpoint::new("primary", 1)), &map);
            let hosts: Vec<&str> = nodes.iter().map(|node| node.endpoint.host.as_str()).collect();
            assert_eq!(hosts.join(" "), *expected, "{answers:?}");
        }
    }
}

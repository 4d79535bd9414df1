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
    /// What the last Sentinel says that thinks the worst of it.
    worst: (View, &'a Fields),
    best: View,
    up: usize,
    down: usize,
}

/// The replicas that may be read from: those that at least as many Sentinels think up as think down, without the
/// primary. The doubtful ones only when no other is left. In the order in which the answers list them. Then the others,
/// each with what keeps it out.
pub fn sorted<'a>(
    answers: impl Iterator<Item = &'a Answer>,
    primary: Option<&Endpoint>,
    map: &AddressMap,
) -> (Vec<Node>, Vec<(Node, String)>) {
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
                if view < known.worst.0 {
                    known.worst = (view, fields);
                }
                if view > known.best {
                    known.best = view;
                    known.fields = fields;
                }
            }
            None => candidates.push(Candidate {
                endpoint,
                fields,
                worst: (view, fields),
                best: view,
                up,
                down,
            }),
        }
    }
    let stands = |candidate: &Candidate<'_>| candidate.up > 0 && candidate.up >= candidate.down;
    let sure = candidates
        .iter()
        .any(|candidate| stands(candidate) && candidate.best == View::Up);
    let may_be_read = |candidate: &Candidate<'_>| stands(candidate) && (!sure || candidate.best == View::Up);
    let (usable, others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(may_be_read);
    let left_out = others.into_iter().map(|candidate| {
        let cause = cause(&candidate);
        let fields = candidate.worst.1;
        (node(candidate.endpoint, fields), cause)
    });
    let left_out = left_out.collect();
    let usable = usable.into_iter().map(|known| node(known.endpoint, known.fields));
    (usable.collect(), left_out)
}

fn node(endpoint: Endpoint, fields: &Fields) -> Node {
    Node {
        endpoint,
        role: Role::Replica,
        fields: fields.clone(),
    }
}

fn cause(candidate: &Candidate<'_>) -> String {
    let (view, fields) = candidate.worst;
    let (down, all) = (candidate.down, candidate.up + candidate.down);
    if view != View::Down {
        return "its Sentinels are cut off from it, and not from others".to_owned();
    }
    match field(fields, "master-link-status").filter(|status| *status != "ok") {
        Some(status) => format!("{down} of {all} Sentinels: its link to the primary is \"{status}\""),
        None => format!("{down} of {all} Sentinels hold it to be down"),
    }
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
            let (nodes, _) = sorted(answers.iter(), Some(&Endpoint::new("primary", 1)), &map);
            let hosts: Vec<&str> = nodes.iter().map(|node| node.endpoint.host.as_str()).collect();
            assert_eq!(hosts.join(" "), *expected, "{answers:?}");
        }
    }

    #[test]
    fn says_why_each_other_is_left_out() {
        let rows: &[(&[&str], &str)] = &[
            (&["a:slave b:slave"], ""),
            (
                &["a:slave", "a:s_down,slave", "a:s_down,slave"],
                "a: 2 of 3 Sentinels hold it to be down",
            ),
            (
                &["a:slave:err b:slave:ok"],
                "a: 1 of 1 Sentinels: its link to the primary is \"err\"",
            ),
            (
                &["a:slave,disconnected b:slave"],
                "a: its Sentinels are cut off from it, and not from others",
            ),
            (&["primary:slave"], ""),
        ];
        for (answers, expected) in rows {
            let answers: Vec<Answer> = answers.iter().map(|text| answer(text)).collect();
            let (_, others) = sorted(
                answers.iter(),
                Some(&Endpoint::new("primary", 1)),
                &AddressMap::default(),
            );
            let shown: Vec<String> = others
                .iter()
                .map(|(node, cause)| format!("{}: {cause}", node.endpoint.host))
                .collect();
            assert_eq!(shown.join("; "), *expected, "{answers:?}");
        }
    }
}

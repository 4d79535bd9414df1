//! What differs between two moments of a service. Pure.

use std::collections::HashSet;

use super::events::{SentinelChange, What};
use crate::net::Endpoint;
use crate::topology::{Node, Snapshot, Word, Words};

/// What changed from one snapshot to the next. What is known for the first time has not changed.
pub fn of_snapshots(before: &Snapshot, after: &Snapshot) -> Vec<What> {
    let mut changes = Vec::new();
    let (Some(from), Some(to)) = (&before.primary, &after.primary) else {
        return changes;
    };
    let switched = before.generation != after.generation;
    let reboot = !switched && is_another(from.field("runid"), to.field("runid"));
    if switched || reboot {
        changes.push(What::Primary {
            from: from.endpoint.clone(),
            to: to.endpoint.clone(),
            epoch: after.epoch,
            reboot,
            last_good_ms: None,
            foreseen: after.foreseen,
        });
    }
    let (old, new) = (endpoints(&before.replicas), endpoints(&after.replicas));
    let missing_in = |list: &[Endpoint], from: &[Endpoint]| -> Vec<Endpoint> {
        let list: HashSet<&Endpoint> = list.iter().collect();
        let missing = from.iter().filter(|endpoint| !list.contains(endpoint));
        missing.cloned().collect()
    };
    let (added, removed) = (missing_in(&old, &new), missing_in(&new, &old));
    if !added.is_empty() || !removed.is_empty() {
        changes.push(What::Replicas {
            usable: new,
            added,
            removed,
        });
    }
    changes
}

/// A run id that is not known is no other one.
fn is_another(before: Option<&str>, after: Option<&str>) -> bool {
    let known = |id: Option<&str>| id.filter(|id| !id.is_empty()).map(str::to_owned);
    match (known(before), known(after)) {
        (Some(before), Some(after)) => before != after,
        _ => false,
    }
}

fn endpoints(nodes: &[Node]) -> Vec<Endpoint> {
    nodes.iter().map(|node| node.endpoint.clone()).collect()
}

/// Which Sentinels came and went between two lists of their words.
pub fn of_words(before: &Words, after: &Words) -> Vec<(Endpoint, SentinelChange)> {
    let word = |words: &Words, of: &Endpoint| words.iter().find(|(at, _)| at == of).map(|(_, word)| word.clone());
    let mut changes = Vec::new();
    if before.is_empty() {
        // The Sentinels that were named at the beginning.
        return changes;
    }
    for (sentinel, now) in after {
        let change = match (word(before, sentinel), now) {
            (None, _) => Some(SentinelChange::Added),
            (Some(Word::Stranger(_)), Word::Stranger(_)) => None,
            // Whoever names what the others name is one who is about to join them.
            (Some(_), Word::Stranger(Some((primary, _)))) if is_named(after, primary) => None,
            (Some(_), Word::Stranger(_)) => Some(SentinelChange::Stranger),
            (Some(Word::Stranger(_)), Word::Names { .. }) => Some(SentinelChange::Back),
            (Some(Word::Failed(_) | Word::Refused(_)), Word::Failed(_) | Word::Refused(_) | Word::Asked) => None,
            (Some(Word::Failed(_) | Word::Refused(_)), _) => Some(SentinelChange::Back),
            (Some(_), Word::Failed(attempt) | Word::Refused(attempt)) => {
                Some(SentinelChange::Lost(format!("{}: {}", attempt.stage, attempt.cause)))
            }
            (Some(_), _) => None,
        };
        changes.extend(change.map(|change| (sentinel.clone(), change)));
    }
    let gone = before.iter().filter(|(sentinel, _)| word(after, sentinel).is_none());
    changes.extend(gone.map(|(sentinel, _)| (sentinel.clone(), SentinelChange::Removed)));
    changes
}

fn is_named(words: &Words, node: &Endpoint) -> bool {
    let names = |word: &Word| matches!(word, Word::Names { primary, .. } if primary == node);
    words.iter().any(|(_, word)| names(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::{Attempt, Stage};
    use crate::topology::Role;
    use std::time::Instant;

    fn node(text: &str, role: Role) -> Node {
        let (host, run_id) = text.split_once('#').unwrap_or((text, ""));
        Node {
            endpoint: Endpoint::new(host, 1),
            role,
            fields: vec![("runid".into(), run_id.into())],
        }
    }

    /// `primary[#run id]@generation replica replica`, or nothing.
    fn snapshot(text: &str) -> Snapshot {
        let mut words = text.split_whitespace();
        let Some((primary, generation)) = words.next().and_then(|word| word.split_once('@')) else {
            return Snapshot::default();
        };
        let generation = generation.parse().unwrap();
        Snapshot {
            epoch: 10 * generation,
            primary: Some(node(primary, Role::Primary)),
            replicas: words.map(|replica| node(replica, Role::Replica)).collect(),
            generation,
            ..Snapshot::default()
        }
    }

    fn shown(change: &What) -> String {
        let hosts = |list: &[Endpoint]| list.iter().map(|at| at.host.clone()).collect::<Vec<_>>().join(",");
        match change {
            What::Primary {
                from,
                to,
                epoch,
                reboot,
                ..
            } => format!("{}>{}@{epoch}{}", from.host, to.host, if *reboot { "!" } else { "" }),
            What::Replicas { usable, added, removed } => {
                format!("{}+{}-{}", hosts(usable), hosts(added), hosts(removed))
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_changes_between_two_snapshots() {
        let rows = [
            ("", "", ""),
            ("", "a@1 b c", ""),
            ("a@1 b c", "a@1 b c", ""),
            ("a@1 b c", "a@1 c b", ""),
            ("a@1 b", "a@1 b c", "b,c+c-"),
            ("a@1 b c", "a@1", "+-b,c"),
            ("a@1 b c", "b@2 c a", "a>b@20 c,a+a-b"),
            ("a@1 b", "b@2 b", "a>b@20"),
            // The same address under another epoch: there was a switch that nobody told us of.
            ("a#x@1 b", "a#y@2 b", "a>a@20"),
            // The same primary with other data, or none.
            ("a#x@1 b", "a#y@1 b", "a>a@10!"),
            ("a#x@1 b", "a@1 b", ""),
            ("a@1 b", "a#x@1 b", ""),
            ("a#x@1 b", "a#x@1 b", ""),
        ];
        for (before, after, expected) in rows {
            let changes = of_snapshots(&snapshot(before), &snapshot(after));
            let shown: Vec<String> = changes.iter().map(shown).collect();
            assert_eq!(shown.join(" "), expected, "{before:?} to {after:?}");
        }
    }

    fn words(text: &str) -> Words {
        let failed = || Attempt {
            endpoint: "s".into(),
            stage: Stage::Connect,
            cause: "refused".into(),
        };
        let word = |text: &str| {
            let (host, word) = text.split_once(':').unwrap();
            let word = match word {
                "asked" => Word::Asked,
                "failed" => Word::Failed(failed()),
                "refused" => Word::Refused(failed()),
                "unknown" => Word::Unknown,
                "stranger" => Word::Stranger(Some((Endpoint::new("x", 1), 9))),
                "newcomer" => Word::Stranger(Some((Endpoint::new("p", 1), 0))),
                _ => Word::Names {
                    primary: Endpoint::new("p", 1),
                    epoch: 1,
                    since: Instant::now(),
                    heard: Instant::now(),
                },
            };
            (Endpoint::new(host, 1), word)
        };
        text.split_whitespace().map(word).collect()
    }

    #[test]
    fn the_sentinels_that_came_and_went() {
        let rows = [
            ("", "a:asked b:asked", ""),
            ("a:asked b:asked", "a:names b:failed", "b lost"),
            ("a:asked", "a:refused", "a lost"),
            ("a:names b:failed", "a:names b:failed", ""),
            ("a:failed", "a:refused", ""),
            ("a:failed b:refused", "a:names b:unknown", "a back b back"),
            ("a:names", "a:names b:asked", "b added"),
            ("a:names b:failed", "a:names", "b removed"),
            ("a:names", "a:unknown", ""),
            ("a:names b:failed", "a:names b:stranger", "b stranger"),
            ("a:names b:stranger", "a:names b:stranger", ""),
            ("a:names b:stranger", "a:names b:failed", "b lost"),
            ("a:names b:stranger", "a:names b:names", "b back"),
            // Who names what the others name is about to join them.
            ("a:names b:failed", "a:names b:newcomer", ""),
            ("a:names b:newcomer", "a:names b:names", "b back"),
            ("a:failed b:failed", "a:failed b:newcomer", "b stranger"),
        ];
        for (before, after, expected) in rows {
            let changes = of_words(&words(before), &words(after));
            let shown: Vec<String> = changes
                .iter()
                .map(|(at, change)| format!("{} {}", at.host, change.word()))
                .collect();
            assert_eq!(shown.join(" "), expected, "{before:?} to {after:?}");
        }
        let lost = of_words(&words("a:names"), &words("a:failed"));
        assert_eq!(lost[0].1, SentinelChange::Lost("connect: refused".into()));
    }
}

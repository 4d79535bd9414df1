//! Which replicas the Sentinels' answers amount to. Pure.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::answer::{Answer, Fields, entry_endpoint, has_flag};
use crate::net::{AddressMap, Endpoint};
use crate::topology::{Node, Role, field};

/// So many are kept of either kind. More than a service has; whoever lists more holds nobody up.
const KEPT: usize = 256;

/// What was listed until lately is not given up for so long: SENTINEL RESET empties a Sentinel's list until its next INFO,
/// up to 10 s later.
const REMEMBERED: Duration = Duration::from_secs(15);

/// What one Sentinel thinks of one replica. How its link to the primary stands is not a matter of opinion: the replica
/// itself says that, and serves while it is down where nothing fresher does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum View {
    Down,
    /// `disconnected` and nothing worse: for 50 to 100 ms after a switch every replica carries it.
    Doubtful,
    Up,
}

fn view(fields: &Fields) -> View {
    if has_flag(fields, "s_down") || has_flag(fields, "o_down") {
        View::Down
    } else if has_flag(fields, "disconnected") {
        View::Doubtful
    } else {
        View::Up
    }
}

/// For how many milliseconds a Sentinel has not asked a replica by INFO: the fields tell of that moment. One that it has
/// not asked yet has a host `?` for its primary.
fn told_ago(fields: &Fields) -> u64 {
    let ago = field(fields, "info-refresh").filter(|_| is_told(fields));
    ago.and_then(|ago| ago.parse().ok()).unwrap_or(u64::MAX)
}

fn is_told(fields: &Fields) -> bool {
    field(fields, "master-host") != Some("?")
}

/// How far a replica has come, as a Sentinel tells that holds it to be up.
fn offset(fields: &Fields) -> Option<u64> {
    let told = view(fields) != View::Down && is_told(fields);
    field(fields, "slave-repl-offset").filter(|_| told)?.parse().ok()
}

struct Candidate<'a> {
    endpoint: Endpoint,
    /// What the Sentinel says that thinks the best of it; of several the one that has asked it last.
    fields: &'a Fields,
    /// What the last Sentinel says that thinks the worst of it.
    worst: (View, &'a Fields),
    best: View,
    up: usize,
    down: usize,
}

impl<'a> Candidate<'a> {
    fn new(endpoint: Endpoint, fields: &'a Fields) -> Candidate<'a> {
        let view = view(fields);
        Candidate {
            endpoint,
            fields,
            worst: (view, fields),
            best: view,
            up: usize::from(view != View::Down),
            down: usize::from(view == View::Down),
        }
    }

    /// One more Sentinel lists it.
    fn hear(&mut self, fields: &'a Fields) {
        let view = view(fields);
        self.up += usize::from(view != View::Down);
        self.down += usize::from(view == View::Down);
        if view < self.worst.0 {
            self.worst = (view, fields);
        }
        if view > self.best || (view == self.best && told_ago(fields) < told_ago(self.fields)) {
            self.best = view;
            self.fields = fields;
        }
    }

    fn stands(&self) -> bool {
        self.up > 0 && self.up >= self.down
    }
}

/// The replicas of a service.
#[derive(Debug, Default)]
pub struct Listed {
    /// Those that may be read from.
    pub usable: Vec<Node>,
    /// Those of them that no Sentinel lists any more.
    pub forgotten: Vec<Endpoint>,
    /// The others, each with what keeps it out.
    pub left_out: Vec<(Node, String)>,
    /// The freshest offset that any Sentinel reports of any of them.
    pub freshest: u64,
    /// All that are listed, kept or not.
    named: HashSet<Endpoint>,
}

/// The replicas that may be read from: those that at least as many Sentinels think up as think down, without the
/// primary. The doubtful ones only when no other is left. In the order in which the answers list them. Then the others,
/// each with what keeps it out.
pub fn sorted<'a>(answers: impl Iterator<Item = &'a Answer>, primary: Option<&Endpoint>, map: &AddressMap) -> Listed {
    let (mut candidates, mut places) = (Vec::<Candidate<'a>>::new(), HashMap::new());
    let mut freshest = 0;
    for fields in answers.filter_map(|answer| answer.replicas.as_ref()).flatten() {
        let Some(endpoint) = entry_endpoint(fields, map).filter(|endpoint| Some(endpoint) != primary) else {
            continue;
        };
        freshest = freshest.max(offset(fields).unwrap_or(0));
        let place = *places.entry(endpoint.clone()).or_insert(candidates.len());
        match candidates.get_mut(place) {
            Some(known) => known.hear(fields),
            None => candidates.push(Candidate::new(endpoint, fields)),
        }
    }
    let sure = candidates
        .iter()
        .any(|candidate| candidate.stands() && candidate.best == View::Up);
    let may_be_read = |candidate: &Candidate<'_>| candidate.stands() && (!sure || candidate.best == View::Up);
    let (mut usable, mut others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(may_be_read);
    let beyond = usable.split_off(usable.len().min(KEPT));
    others.truncate(KEPT);
    let left_out = others.into_iter().map(|candidate| (cause(&candidate), candidate));
    let beyond = beyond.into_iter().map(|candidate| (too_many(), candidate));
    let left_out = left_out.chain(beyond).take(KEPT);
    Listed {
        usable: usable
            .into_iter()
            .map(|known| node(known.endpoint, known.fields))
            .collect(),
        forgotten: Vec::new(),
        left_out: left_out
            .map(|(cause, known)| (node(known.endpoint, known.worst.1), cause))
            .collect(),
        freshest,
        named: places.into_keys().collect(),
    }
}

fn node(endpoint: Endpoint, fields: &Fields) -> Node {
    Node {
        endpoint,
        role: Role::Replica,
        fields: fields.clone(),
    }
}

fn cause(candidate: &Candidate<'_>) -> String {
    let (down, all) = (candidate.down, candidate.up + candidate.down);
    match candidate.worst.0 {
        View::Down => format!("{down} of {all} Sentinels hold it to be down"),
        View::Doubtful | View::Up => "its Sentinels are cut off from it, and not from others".to_owned(),
    }
}

fn too_many() -> String {
    format!("more than {KEPT} replicas are listed")
}

/// The replicas that were listed lately, of one primary. What a Sentinel says of one ends the memory of it; what none says
/// anything of any more is still worth a try, on whose connection the node itself says whom it follows.
#[derive(Debug, Default)]
pub struct Memory {
    primary: Option<Endpoint>,
    /// Each as it was listed last, and when that list was still the newest.
    listed: Vec<(Node, Instant)>,
    /// When the newest list was looked at.
    looked: Option<Instant>,
}

impl Memory {
    /// Adds to the replicas of `primary` those that were listed until lately.
    pub fn complete(&mut self, now_listed: Listed, primary: &Endpoint, now: Instant) -> Listed {
        let mut all = now_listed;
        if self.primary.as_ref() != Some(primary) {
            self.primary = Some(primary.clone());
            self.listed.clear();
        }
        self.listed
            .retain(|(node, at)| !all.named.contains(&node.endpoint) && *at + REMEMBERED > now);
        let forgotten: Vec<Node> = self.listed.iter().map(|(node, _)| node.clone()).collect();
        self.listed.extend(all.usable.iter().map(|node| (node.clone(), now)));
        self.looked = Some(now);
        all.forgotten = forgotten.iter().map(|node| node.endpoint.clone()).collect();
        all.usable.extend(forgotten);
        all
    }

    /// At `now` the newest list is still what it was. False where the memory of a replica that is not on it is over.
    pub fn is_confirmed(&mut self, now: Instant) -> bool {
        let Some(looked) = self.looked.replace(now) else {
            return false;
        };
        for (_, at) in self.listed.iter_mut().filter(|(_, at)| *at == looked) {
            *at = now;
        }
        self.listed.iter().all(|(_, at)| *at + REMEMBERED > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name:flags[:link status[:offset[:age of INFO]]]` for each replica.
    fn answer(text: &str) -> Answer {
        let entry = |text: &str| {
            let names = ["ip", "flags", "master-link-status", "slave-repl-offset", "info-refresh"];
            let mut fields = vec![("port".to_owned(), "1".to_owned())];
            let parts = names.iter().zip(text.split(':'));
            fields.extend(parts.map(|(name, part)| ((*name).to_owned(), part.to_owned())));
            fields
        };
        Answer {
            replicas: Some(text.split_whitespace().map(entry).collect()),
            ..Answer::default()
        }
    }

    fn at(host: &str) -> Endpoint {
        Endpoint::new(host, 1)
    }

    fn listed(answers: &[&str]) -> Listed {
        let answers: Vec<Answer> = answers.iter().map(|text| answer(text)).collect();
        sorted(answers.iter(), Some(&at("primary")), &AddressMap::default())
    }

    fn hosts(nodes: &[Node]) -> String {
        let hosts: Vec<&str> = nodes.iter().map(|node| node.endpoint.host.as_str()).collect();
        hosts.join(" ")
    }

    #[test]
    fn leaves_out_what_is_down() {
        let rows: &[(&[&str], &str)] = &[
            (&["a:slave b:slave"], "a b"),
            (&["a:slave:ok b:slave:err"], "a b"),
            (&["a:slave:err b:slave:err"], "a b"),
            (&["a:s_down,slave b:slave"], "b"),
            (&["a:s_down,slave:ok b:slave:err"], "b"),
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
        for (answers, expected) in rows {
            assert_eq!(hosts(&listed(answers).usable), *expected, "{answers:?}");
        }
    }

    #[test]
    fn says_why_each_other_is_left_out() {
        let rows: &[(&[&str], &str)] = &[
            (&["a:slave b:slave"], ""),
            (&["a:slave:err b:slave:ok"], ""),
            (
                &["a:slave", "a:s_down,slave", "a:s_down,slave"],
                "a: 2 of 3 Sentinels hold it to be down",
            ),
            (
                &["a:slave,disconnected b:slave"],
                "a: its Sentinels are cut off from it, and not from others",
            ),
            (&["primary:slave"], ""),
        ];
        for (answers, expected) in rows {
            let shown = |(node, cause): &(Node, String)| format!("{}: {cause}", node.endpoint.host);
            let shown: Vec<String> = listed(answers).left_out.iter().map(shown).collect();
            assert_eq!(shown.join("; "), *expected, "{answers:?}");
        }
    }

    #[test]
    fn tells_of_a_replica_what_the_sentinel_says_that_has_asked_it_last() {
        let link = |answers: &[&str]| listed(answers).usable[0].field("master-link-status").map(str::to_owned);
        assert_eq!(
            link(&["a:slave:ok:1:9000", "a:slave:err:1:200"]).as_deref(),
            Some("err")
        );
        assert_eq!(
            link(&["a:slave:err:1:200", "a:slave:ok:1:9000"]).as_deref(),
            Some("err")
        );
        assert_eq!(
            link(&["a:slave:ok:1:200", "a:s_down,slave:err:1:100"]).as_deref(),
            Some("ok")
        );
        // Not asked yet: everything that is listed of it is made up.
        let mut new = answer("a:slave:err:0:0");
        new.replicas.as_mut().unwrap()[0].push(("master-host".into(), "?".into()));
        let answers = [new, answer("a:slave:ok:7:9000")];
        let both = sorted(answers.iter(), None, &AddressMap::default());
        assert_eq!(both.usable[0].field("master-link-status"), Some("ok"));
    }

    #[test]
    fn the_freshest_offset_is_that_of_any_sentinel_that_holds_the_replica_to_be_up() {
        assert_eq!(listed(&["a:slave:ok:7 b:slave:ok:19 c:slave:ok:?"]).freshest, 19);
        assert_eq!(listed(&["a:slave:ok:7", "a:slave:ok:8"]).freshest, 8);
        assert_eq!(listed(&["a:slave:ok:7 b:s_down,slave:ok:99"]).freshest, 7);
        assert_eq!(listed(&["a:slave:ok:7 primary:slave:ok:99"]).freshest, 7);
        assert_eq!(listed(&[]).freshest, 0);
    }

    #[test]
    fn what_no_sentinel_lists_any_more_is_kept_for_a_while() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let mut after = |seconds: u64, answers: &[&str], primary: &str| {
            let all = memory.complete(listed(answers), &at(primary), start + Duration::from_secs(seconds));
            let forgotten: Vec<&str> = all.forgotten.iter().map(|endpoint| endpoint.host.as_str()).collect();
            (hosts(&all.usable), forgotten.join(" "))
        };
        let kept = |usable: &str, forgotten: &str| (usable.to_owned(), forgotten.to_owned());
        assert_eq!(after(0, &["a:slave b:slave"], "p"), kept("a b", ""));
        assert_eq!(after(1, &[""], "p"), kept("a b", "a b"));
        assert_eq!(after(2, &["b:slave"], "p"), kept("b a", "a"));
        assert_eq!(
            after(3, &["b:s_down,slave"], "p"),
            kept("a", "a"),
            "a word on it counts"
        );
        assert_eq!(after(4, &[""], "p"), kept("a", "a"), "and ends the memory");
        assert_eq!(after(14, &[""], "p"), kept("a", "a"));
        assert_eq!(after(15, &[""], "p"), kept("", ""));
        assert_eq!(after(20, &["a:slave b:slave"], "p"), kept("a b", ""));
        assert_eq!(after(21, &[""], "q"), kept("", ""), "those of another primary");
    }

    #[test]
    fn is_remembered_from_when_its_list_was_confirmed_last() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let at_second = |seconds: u64| start + Duration::from_secs(seconds);
        assert!(!memory.is_confirmed(start), "there is no list yet");
        memory.complete(listed(&["a:slave b:slave"]), &at("p"), at_second(0));
        assert!((1..=30).all(|seconds| memory.is_confirmed(at_second(seconds))));
        let kept = memory.complete(listed(&["b:slave"]), &at("p"), at_second(31));
        assert_eq!(hosts(&kept.usable), "b a");
        let over = (32..).find(|&seconds| !memory.is_confirmed(at_second(seconds)));
        assert_eq!(
            over,
            Some(30 + REMEMBERED.as_secs()),
            "that of the one that is not on it"
        );
    }

    #[test]
    fn a_list_of_any_length_takes_time_in_proportion_and_is_kept_in_part() {
        let of = |count: usize| {
            let text: Vec<String> = (0..count).map(|n| format!("h{n}:slave")).collect();
            answer(&text.join(" "))
        };
        let took = |answer: &Answer| {
            let began = Instant::now();
            let all = sorted([answer, answer, answer].into_iter(), None, &AddressMap::default());
            assert_eq!((all.usable.len(), all.left_out.len()), (KEPT, KEPT));
            assert!(all.left_out.iter().all(|(_, cause)| *cause == too_many()));
            began.elapsed()
        };
        let (few, many) = (of(6_000), of(60_000));
        let least = |answer: &Answer| (0..3).map(|_| took(answer)).min().unwrap();
        let (few, many) = (least(&few), least(&many));
        // Ten times as many; where each is compared with each other it is a hundred times.
        assert!(many < few * 40, "{few:?} for 6,000, {many:?} for 60,000");
    }
}

//! Which primary the Sentinels' words amount to. Pure.

use std::time::{Duration, Instant};

use crate::net::Endpoint;
use crate::topology::{Word, Words};

/// The primary in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// Where it is.
    pub primary: Endpoint,
    /// The epoch under which it was named.
    pub epoch: u64,
    /// Epochs up to this one, above its own, were given up when the service began again at a lower epoch: a Sentinel
    /// that still tells of them has missed that.
    pub given_up: u64,
    /// When it came into force.
    pub since: Instant,
}

/// What to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing that was said changes anything.
    Keep,
    /// This is the primary from now on.
    Adopt(Adopted),
}

/// How long a majority must agree on a lower epoch before it is believed: SENTINEL REMOVE and MONITOR start a service
/// again at epoch 0, and the Sentinels' own hello period is 2 s.
pub const LOWER_EPOCH_AFTER: Duration = Duration::from_secs(2);

/// What was said, and how much it weighs.
#[derive(Clone, Copy)]
pub struct Ballot<'a> {
    /// What each Sentinel last said.
    pub words: &'a Words,
    /// Which of the words are those of a Sentinel that has another one among them.
    pub doubles: &'a [bool],
    /// How many of them have a say: they are ours, and answered about the service not long ago.
    pub say: usize,
    /// Whether an address is one of a node of the service, by what those who have a say list.
    pub known: &'a dyn Fn(&Endpoint) -> bool,
}

impl Ballot<'_> {
    fn is_majority(&self, count: usize) -> bool {
        count > 0 && count * 2 > self.say
    }

    /// The words that name a primary, each Sentinel's once.
    fn votes(&self) -> impl Iterator<Item = Name<'_>> {
        let doubles = self.doubles.iter().chain(std::iter::repeat(&false));
        let single = self.words.iter().zip(doubles).filter(|(_, double)| !**double);
        single.filter_map(|((_, word), _)| name(word))
    }

    fn count(&self, primary: &Endpoint, epoch: u64) -> usize {
        self.votes()
            .filter(|name| name.at == primary && name.epoch == epoch)
            .count()
    }
}

/// The highest config epoch wins, within it the address that more Sentinels name; what is in force wins a tie. A word
/// for a node that nobody else knows counts when a majority says so. A lower epoch than the one in force is believed only
/// when a majority of those who have a say has named one address under one such epoch for [`LOWER_EPOCH_AFTER`], and still
/// did so that long after the higher one came into force: in a failover the leader is right before the others are.
pub fn verdict(ballot: Ballot<'_>, adopted: Option<&Adopted>, now: Instant) -> Verdict {
    let Some(best) = best(ballot, adopted, now) else {
        return Verdict::Keep;
    };
    let Some(adopted) = adopted else {
        return Verdict::Adopt(best);
    };
    if best.epoch > adopted.epoch {
        return Verdict::Adopt(best);
    }
    if let Some(again) = begun_again(ballot, adopted, now) {
        return Verdict::Adopt(again);
    }
    let moved = best.epoch == adopted.epoch && best.primary != adopted.primary;
    if moved {
        Verdict::Adopt(Adopted {
            given_up: adopted.given_up,
            ..best
        })
    } else {
        Verdict::Keep
    }
}

/// The lower epoch on which a majority has insisted for long enough.
fn begun_again(ballot: Ballot<'_>, adopted: &Adopted, now: Instant) -> Option<Adopted> {
    let words = ballot.words;
    let old = now.checked_sub(LOWER_EPOCH_AFTER)?;
    let settled = adopted.since + LOWER_EPOCH_AFTER;
    let insists = |name: &Name<'_>| name.epoch < adopted.epoch && name.since <= old && name.heard >= settled;
    let agree = |with: &Name<'_>| {
        ballot
            .votes()
            .filter(|name| insists(name) && name.at == with.at && name.epoch == with.epoch)
            .count()
    };
    let again = names(words).find(|name| insists(name) && ballot.is_majority(agree(name)))?;
    let given_up = adopted.given_up.max(adopted.epoch);
    Some(Adopted {
        primary: again.at.clone(),
        epoch: again.epoch,
        given_up,
        since: now,
    })
}

/// Whether more than half of all Sentinels name the same primary under the same epoch, so that waiting for the others
/// would not change the verdict.
pub fn majority_agrees(words: &Words) -> bool {
    let strangers = words.iter().filter(|(_, word)| matches!(word, Word::Stranger(_)));
    let ballot = Ballot {
        words,
        doubles: &[],
        say: words.len() - strangers.count(),
        known: &|_| true,
    };
    leading(ballot, None).is_some_and(|(at, epoch)| ballot.is_majority(ballot.count(at, epoch)))
}

/// A word that names a primary.
struct Name<'a> {
    at: &'a Endpoint,
    epoch: u64,
    since: Instant,
    heard: Instant,
}

fn name(word: &Word) -> Option<Name<'_>> {
    match word {
        Word::Names {
            primary,
            epoch,
            since,
            heard,
        } => Some(Name {
            at: primary,
            epoch: *epoch,
            since: *since,
            heard: *heard,
        }),
        _ => None,
    }
}

fn names(words: &Words) -> impl Iterator<Item = Name<'_>> {
    words.iter().filter_map(|(_, word)| name(word))
}

fn best(ballot: Ballot<'_>, adopted: Option<&Adopted>, now: Instant) -> Option<Adopted> {
    let (primary, epoch) = leading(ballot, adopted)?;
    Some(Adopted {
        primary: primary.clone(),
        epoch,
        given_up: 0,
        since: now,
    })
}

/// The most named address of the highest epoch that counts. One that was given up counts again when a majority names
/// it: a deployment made anew counts its epochs from the start. Where nothing counts and nothing is in force, all do.
fn leading<'a>(ballot: Ballot<'a>, adopted: Option<&Adopted>) -> Option<(&'a Endpoint, u64)> {
    let words = ballot.words;
    let counts = |name: &Name<'_>| {
        let given_up = adopted.is_some_and(|now| name.epoch > now.epoch && name.epoch <= now.given_up);
        let in_force = adopted.is_some_and(|now| now.primary == *name.at);
        let known = in_force || (ballot.known)(name.at);
        (known && !given_up) || ballot.is_majority(ballot.count(name.at, name.epoch))
    };
    let none_counts = adopted.is_none() && !names(words).any(|name| counts(&name));
    let counting = || names(words).filter(|name| none_counts || counts(name));
    let epoch = counting().map(|name| name.epoch).max()?;
    let mut leader: Option<(&Endpoint, usize)> = None;
    for name in counting().filter(|name| name.epoch == epoch) {
        let votes = ballot.count(name.at, epoch);
        let in_force = adopted.is_some_and(|adopted| adopted.primary == *name.at && adopted.epoch == epoch);
        if leader.is_none_or(|(_, most)| votes > most || (votes == most && in_force)) {
            leader = Some((name.at, votes));
        }
    }
    leader.map(|(at, _)| (at, epoch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::{Attempt, Stage};

    fn at(name: &str) -> Endpoint {
        Endpoint::new(name, 6379)
    }

    fn said(text: &str, now: Instant) -> Word {
        let failed = Attempt {
            endpoint: "s".into(),
            stage: Stage::Query,
            cause: "x".into(),
        };
        match text.split_once('@') {
            Some((name, rest)) => {
                let (epoch, age) = rest.split_once('~').unwrap_or((rest, "0"));
                let since = now - Duration::from_millis(age.parse().unwrap());
                Word::Names {
                    primary: at(name),
                    epoch: epoch.parse().unwrap(),
                    since,
                    heard: now,
                }
            }
            None => match text {
                "asked" => Word::Asked,
                "failed" => Word::Failed(failed),
                "refused" => Word::Refused(failed),
                "unknown" => Word::Unknown,
                "none" => Word::NoAddress,
                "few" => Word::TooFewPeers(0),
                other => panic!("{other}"),
            },
        }
    }

    /// Words of the Sentinels as `address@epoch[~age in ms]`, what is in force and what is expected as
    /// `address@epoch[^given up]`, with `!` when it came into force just now.
    #[test]
    fn the_verdict_of_each_constellation() {
        let rows: &[(&str, &str, &str)] = &[
            // Nothing in force yet.
            ("", "", "keep"),
            ("failed failed failed", "", "keep"),
            ("unknown unknown unknown", "", "keep"),
            ("none few refused", "", "keep"),
            ("a@1", "", "a@1"),
            ("asked asked a@0", "", "a@0"),
            ("a@1 a@1 a@1", "", "a@1"),
            ("a@1 b@2 a@1", "", "b@2"),
            ("a@1 b@1 b@1", "", "b@1"),
            ("failed unknown a@3", "", "a@3"),
            // In force, and nothing new.
            ("a@1 a@1 a@1", "a@1", "keep"),
            ("failed failed failed", "a@1", "keep"),
            ("unknown unknown unknown", "a@1", "keep"),
            ("", "a@1", "keep"),
            // A higher epoch wins at once, from a single Sentinel: the leader of a failover is the first to know.
            ("a@1 a@1 b@2", "a@1", "b@2"),
            ("failed failed b@2", "a@1", "b@2"),
            ("b@2 b@2 b@2", "a@1", "b@2"),
            ("b@2 c@3 a@1", "a@1", "c@3"),
            ("a@2 a@2 a@2", "a@1", "a@2"),
            // Stale news never turns it back.
            ("a@1", "b@2", "keep"),
            ("a@1 a@1 b@2", "b@2", "keep"),
            ("a@1 failed failed", "b@2", "keep"),
            ("a@1~500 a@1~500 a@1~500", "b@2", "keep"),
            ("a@1~9999 b@2 b@2", "b@2", "keep"),
            ("a@1~9999 failed failed", "b@2", "keep"),
            ("a@1~9999 c@1~9999 failed", "b@2", "keep"),
            // REMOVE and MONITOR start again at epoch 0: a majority that insists is believed.
            ("a@0~2500 a@0~2500 failed", "b@7", "a@0^7"),
            ("a@0~2500 a@0~100 a@0~100", "b@7", "keep"),
            ("a@0~2500 a@0~2500 b@7", "b@7", "a@0^7"),
            // The leader of a failover was heard first: the others have long named the old primary, and soon will not.
            ("a@6~60000 a@6~60000 b@7", "b@7^0!", "keep"),
            ("a@0~2500 a@0~2500 c@8", "b@7", "c@8"),
            ("a@0~2500 a@0~2500 b@7", "a@0^7", "keep"),
            ("a@0~2500 a@0~2500 c@8", "a@0^7", "c@8"),
            ("failed failed b@7", "a@0^7", "keep"),
            ("b@0~2500 b@0~2500 b@0~2500", "b@7", "b@0^7"),
            // Two addresses under one epoch: the more named one, and what is in force when they tie.
            ("b@2 b@2 a@2", "a@2", "b@2"),
            ("b@2 a@2", "a@2", "keep"),
            ("b@2 a@2 failed", "b@2", "keep"),
            ("b@2 failed failed", "a@2", "b@2"),
            // A lone Sentinel, and five of them.
            ("asked a@1 asked", "a@1", "keep"),
            ("b@2 asked asked", "a@1", "b@2"),
            ("a@1 a@1 a@1 a@1 b@2", "a@1", "b@2"),
            ("a@1 a@1 b@1 b@1 b@1", "", "b@1"),
            ("b@1 b@1 a@1 a@1 failed", "a@1", "keep"),
            ("b@1 b@1 a@1 failed failed", "a@1", "b@1"),
            ("c@3 c@3 b@2 b@2 a@1", "b@2", "c@3"),
            ("a@1 b@2 c@3 failed unknown", "", "c@3"),
            // Two failovers close together: the one in between is skipped, and never returned to.
            ("b@2 b@2 c@3", "a@1", "c@3"),
            ("b@2 b@2 c@3", "c@3", "keep"),
            ("b@2~9999 failed c@3", "c@3", "keep"),
            ("a@3 a@3 a@3", "b@2", "a@3"),
            // Sentinels without a say.
            ("few few few", "a@1", "keep"),
            ("few few b@2", "a@1", "b@2"),
            ("none none none", "a@1", "keep"),
            ("refused refused refused", "a@1", "keep"),
            ("refused unknown a@1", "", "a@1"),
            ("unknown unknown b@1", "a@1", "b@1"),
            ("none a@0 asked", "", "a@0"),
            // SENTINEL RESET keeps the epoch: the same word again.
            ("a@5~10 a@5~10 a@5~10", "a@5", "keep"),
            // REMOVE and MONITOR: every way in which the majority is not one, or has not insisted for long enough.
            ("a@0~1999 a@0~2500 failed", "b@7", "keep"),
            ("a@0~2500 b@0~2500 failed", "c@7", "keep"),
            ("a@0~2500 a@1~2500 failed", "c@7", "keep"),
            ("a@0~2500 failed failed", "b@7", "keep"),
            ("a@0~2500", "b@7", "a@0^7"),
            ("a@0~2500 a@0~2500 a@0~2500 failed failed", "b@7", "a@0^7"),
            ("a@0~2500 a@0~2500 failed failed failed", "b@7", "keep"),
            ("a@0~2500 a@0~2500 a@0~2500", "b@7^0!", "keep"),
            // After it: what was given up stays so, what is newer counts.
            ("b@7 a@0 a@0", "a@0^7", "keep"),
            ("b@7 b@7 b@7", "a@0^7", "b@7"),
            ("c@1 a@0 a@0", "a@0^7", "keep"),
            ("c@1 c@1 a@0", "a@0^7", "c@1"),
            ("c@8 failed failed", "a@0^7", "c@8"),
            ("d@0 d@0 a@0", "a@0^7", "d@0^7"),
        ];
        let now = Instant::now() + Duration::from_secs(60);
        for (words, in_force, expected) in rows {
            let words: Words = words
                .split_whitespace()
                .map(|text| (at("s"), said(text, now)))
                .collect();
            let adopted = |text: &str| {
                let (name, rest) = text.split_once('@')?;
                let (epoch, given_up) = rest.split_once('^').unwrap_or((rest, "0"));
                let given_up = (given_up.trim_end_matches('!').parse().unwrap(), given_up.ends_with('!'));
                let (given_up, young) = given_up;
                let since = now - Duration::from_millis(if young { 100 } else { 60_000 });
                Some(Adopted {
                    primary: at(name),
                    epoch: epoch.parse().unwrap(),
                    given_up,
                    since,
                })
            };
            let expected = adopted(expected).map_or(Verdict::Keep, Verdict::Adopt);
            let ballot = Ballot {
                words: &words,
                doubles: &[],
                say: words.len(),
                known: &|_| true,
            };
            let verdict = match verdict(ballot, adopted(in_force).as_ref(), now) {
                Verdict::Adopt(new) => Verdict::Adopt(Adopted {
                    since: now - Duration::from_secs(60),
                    ..new
                }),
                Verdict::Keep => Verdict::Keep,
            };
            assert_eq!(verdict, expected, "{words:?} over {in_force:?}");
        }
    }

    #[test]
    fn a_majority_counts_the_silent_ones() {
        let now = Instant::now();
        let words = |text: &str| {
            text.split_whitespace()
                .map(|text| (at("s"), said(text, now)))
                .collect::<Words>()
        };
        assert!(majority_agrees(&words("a@1 a@1 asked")));
        assert!(majority_agrees(&words("a@1")));
        assert!(!majority_agrees(&words("a@1 asked asked")));
        assert!(!majority_agrees(&words("a@1 a@1 b@2")));
        assert!(!majority_agrees(&words("")));
    }
}

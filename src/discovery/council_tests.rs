//! Single moments of a [`Council`].

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::{Act, Council, Depth, LinkId};
use crate::base::error::{Attempt, Stage};
use crate::net::Endpoint;
use crate::topology::Word;

fn asks(acts: &[Act], link: LinkId) -> usize {
    acts.iter()
        .filter(|act| matches!(act, Act::Ask(of, _) if *of == link))
        .count()
}

fn names(node: &str, epoch: u64, now: Instant) -> Word {
    Word::Names {
        primary: Endpoint::new(node, 6379),
        epoch,
        since: now,
        heard: now,
    }
}

fn failed() -> Word {
    Word::Failed(Attempt {
        endpoint: "s".into(),
        stage: Stage::Connect,
        cause: "x".into(),
    })
}

/// Three Sentinels that named one primary and list another node, and are asked nothing without an event.
fn agreed(now: Instant) -> Council {
    let mut council = Council::new(None);
    for link in 0..3 {
        council.seat(link, &Endpoint::new("sentinel", 26379));
    }
    council.request(now, 0.5);
    for link in 0..3 {
        council.hear(link, names("a", 7, now), false, now, 0.5);
    }
    council.know(HashSet::from([Endpoint::new("b", 6379)]));
    council
}

/// Who was not asked for long has a say all the same: whoever is alone with a word is not the majority.
#[test]
fn the_majority_is_not_of_those_who_were_asked_lately() {
    let began = Instant::now();
    let later = began + Duration::from_secs(3_600);
    let named_by = |links: std::ops::Range<LinkId>, node: &str| {
        let mut council = agreed(began);
        for link in links {
            council.hear(link, names(node, 8, later), false, later, 0.5);
        }
        council.adopted().unwrap().primary.host.clone()
    };
    assert_eq!(named_by(0..1, "x"), "a", "nobody lists it");
    assert_eq!(named_by(0..2, "x"), "x");
    assert_eq!(named_by(0..1, "b"), "b", "those who have a say list it");
}

/// While a round is open nobody is asked anew. It ends when those who were asked have answered, failed or left; who joins
/// later is not waited for.
#[test]
fn a_round_waits_for_nobody_who_has_failed_or_left_or_came_later() {
    let now = Instant::now();
    let mut council = Council::new(None);
    let is_over = |acts: &[Act]| acts.contains(&Act::Complete);
    for link in 0..3 {
        council.seat(link, &Endpoint::new("sentinel", 26379));
    }
    assert_eq!(council.request(now, 0.5).len(), 3);
    council.seat(3, &Endpoint::new("sentinel", 26379));
    assert!(!is_over(&council.hear(0, Word::Unknown, false, now, 0.5)));
    assert!(!is_over(&council.hear(1, failed(), false, now, 0.5)));
    assert!(!is_over(&council.revise(false, now, 0.5)));
    assert_eq!(council.request(now, 0.5), [], "it is under way");
    council.keep_only(|link| link != 2);
    assert!(is_over(&council.revise(false, now, 0.5)));
    assert_eq!(council.request(now, 0.5).len(), 3, "another one");
    for link in [0, 3] {
        assert!(!is_over(&council.hear(link, failed(), false, now, 0.5)));
    }
    assert!(is_over(&council.hear(1, failed(), false, now, 0.5)));
}

/// One that contradicts the others is looked into until it does not, though nothing else is asked without an event.
#[test]
fn a_contradiction_is_looked_into_without_polls() {
    let began = Instant::now();
    let mut council = agreed(began);
    assert_eq!(council.next_tick(), None);
    council.hear(1, names("a", 0, began), false, began, 0.5);
    for _ in 0..10 {
        let due = council.next_tick().expect("it is looked into");
        council.tick(false, due, 0.5);
        assert!(due <= began + Duration::from_secs(12));
    }
    let end = council.next_tick().unwrap();
    council.hear(1, names("a", 7, end), false, end, 0.5);
    while let Some(due) = council.next_tick() {
        assert!(due <= end + Duration::from_secs(2), "it is over");
        council.tick(false, due, 0.5);
    }
}

/// All who told of something are asked for their lists, who was last first, and one that has died delays nobody.
#[test]
fn the_lists_of_all_who_told_of_a_change_are_read() {
    let began = Instant::now() + Duration::from_secs(60);
    let mut council = agreed(began - Duration::from_secs(30));
    let asked = |acts: &[Act]| (0..3).filter(|&link| asks(acts, link) > 0).collect::<Vec<LinkId>>();
    let mut order = Vec::new();
    for link in 0..3 {
        council.answered(link, Depth::Lists);
        let acts = council.view_event(link, true, began, 0.5);
        assert_eq!(
            asked(&acts),
            [0; 0],
            "a little later, so that not all clients ask at once"
        );
    }
    let mut at = began;
    while let Some(due) = council.next_tick().filter(|at| *at < began + Duration::from_secs(10)) {
        let acts = council.tick(false, due, 0.5);
        order.extend(asked(&acts));
        at = due;
        if order == [2] {
            council.hear(2, failed(), false, due, 0.5);
        }
    }
    // When one is gone another one is asked where it is by now.
    assert_eq!(order, [2, 0, 1]);
    assert!(at < began + Duration::from_millis(1_500), "in {:?}", at - began);
}

/// What it still owes will be of after an event that came in line with its answers.
#[test]
fn an_event_asks_nothing_of_who_owes_its_lists_in_line() {
    let now = Instant::now();
    let asks = |acts: Vec<Act>| asks(&acts, 0);
    for in_line in [false, true] {
        let mut council = Council::new(None);
        council.seat(0, &Endpoint::new("sentinel", 26379));
        assert_eq!(asks(council.request(now, 0.5)), 1);
        let more = usize::from(!in_line);
        assert_eq!(
            asks(council.primary_event(0, in_line, now, 0.5)),
            more,
            "in line: {in_line}"
        );
        council.view_event(0, in_line, now, 0.5);
        let later = now + Duration::from_secs(2);
        assert_eq!(asks(council.tick(false, later, 0.5)), more, "in line: {in_line}");
        council.answered(0, Depth::Lists);
        let acts = council.primary_event(0, in_line, later, 0.5);
        assert_eq!(asks(acts), 1, "it owes nothing any more");
    }
}

/// A Sentinel that tells of another primary a hundred times a second, and names it each time it is asked, makes no more
/// questions than a second has room for; and what it told last is read all the same.
#[test]
fn a_storm_of_events_is_no_storm_of_questions() {
    let begin = Instant::now();
    let mut council = agreed(begin);
    let mut asked = [0; 3];
    let mut last = begin;
    for tick in 0..1000 {
        let now = begin + Duration::from_millis(10) * (tick + 200);
        let mut acts = council.primary_event(0, false, now, 0.5);
        acts.extend(council.tick(false, now, 0.5));
        for (link, asked) in asked.iter_mut().enumerate() {
            for _ in 0..asks(&acts, link) {
                *asked += 1;
                let node = if link == 0 { "c" } else { "a" };
                council.answered(link, Depth::Lists);
                council.hear(link, names(node, 7, now), false, now, 0.5);
            }
        }
        last = if asks(&acts, 0) > 0 { now } else { last };
    }
    assert!(asked.iter().all(|&questions| questions <= 300), "{asked:?} in 10 s");
    assert!(begin + Duration::from_millis(11_000) < last);
}

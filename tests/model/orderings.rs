//! Each ordering of the sources that is weaker than `SeqCst` and more than `Relaxed`, with the model that fails without it.
//!
//! A test on x86 says nothing of them: that processor keeps most of what they ask for by itself, and another does not. So
//! each stands here, and its model is run once with it weakened, which has to fail. What needs no ordering, because it lies
//! behind a lock, is `Relaxed` in the sources.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where it is: a file below `src`, and what its line says.
struct Place(&'static str, &'static str);

const TRY_TAKE: Place = Place("base/turn.rs", "word.compare_exchange(FREE, HELD, Ordering::Acquire, ");
const TAKE_LATE: Place = Place("base/turn.rs", "while word.swap(CROWDED, Ordering::Acquire) != FREE");
const GIVE: Place = Place("base/turn.rs", "if word.swap(FREE, Ordering::Release) == CROWDED");
const IS_UP: Place = Place(
    "base/flag.rs",
    "self.0.load(Ordering::Acquire)\n    }\n\n    /// Puts it up, ",
);
const SET: Place = Place("base/flag.rs", "self.0.store(up, Ordering::Release)");
const RAISE_FIRST: Place = Place("base/flag.rs", "!self.0.swap(true, Ordering::Release)");
const TAKE: Place = Place("base/flag.rs", "self.0.swap(false, Ordering::Acquire)");
const NOW: Place = Place(
    "base/flag.rs",
    "self.0.load(Ordering::Acquire)\n    }\n\n    /// It has turned ",
);
const TURN: Place = Place("base/flag.rs", "self.0.store(turns, Ordering::Release)");
const GET: Place = Place("base/once.rs", "place.load(Ordering::Acquire)");
const PUT: Place = Place(
    "base/once.rs",
    "place.compare_exchange(seen, new, Ordering::Release, Ordering::Acquire)",
);
const SEEN: Place = Place("pool/seat.rs", "let seen = self.row.word.load(Ordering::Acquire)");
const FLUSH: Place = Place("pool/seat.rs", "row.word.fetch_add(1, Ordering::Release)");
const DUE: Place = Place(
    "pool/alarm.rs",
    "self.due.store(at.number().max(RUNG + 1), Ordering::Release)",
);
const RING: Place = Place("pool/alarm.rs", ".compare_exchange(from, to, Ordering::Acquire, ");

/// With what each orders, and which part of the call it is: the failure of a comparison has an ordering of its own.
const ORDERINGS: [(Place, &str, &str); 16] = [
    // Who has the turn sees what was done in the turns before.
    (
        TRY_TAKE,
        "success",
        "base::lock::who_does_not_wait_has_the_turn_or_leaves_it",
    ),
    (
        TAKE_LATE,
        "success",
        "base::lock::one_thread_at_a_time_has_the_turn_and_nobody_sleeps_for_ever",
    ),
    (
        GIVE,
        "success",
        "base::lock::one_thread_at_a_time_has_the_turn_and_nobody_sleeps_for_ever",
    ),
    // Who sees a flag sees what came to pass before it was raised: a generation is retired, a lane given up or held, a
    // connection cancelled, a deployment closed.
    (IS_UP, "success", "told::who_sees_a_flag_sees_what_was_done_before"),
    (SET, "success", "told::who_sees_a_flag_sees_what_was_done_before"),
    (
        RAISE_FIRST,
        "success",
        "told::who_sees_the_flag_of_the_first_sees_what_the_first_did",
    ),
    (TAKE, "success", "told::who_takes_a_flag_down_sees_what_was_done_before"),
    // A write that may go out again sees that the old primary is not one any more.
    (
        NOW,
        "success",
        "told::who_sees_that_writes_go_out_again_sees_the_old_primary_retired",
    ),
    (
        TURN,
        "success",
        "told::who_sees_that_writes_go_out_again_sees_the_old_primary_retired",
    ),
    // Who has the pointer to what was made once sees it made: who comes late, and who was too late to put its own.
    (GET, "success", "told::what_is_made_once_is_the_same_for_all_and_whole"),
    (PUT, "success", "told::what_is_made_once_is_the_same_for_all_and_whole"),
    (PUT, "failure", "told::what_is_made_once_is_the_same_for_all_and_whole"),
    // Who sees the word of a row changed sees whose call has ended, and does not sleep over it.
    (SEEN, "success", "a_waiter_wakes_with_all_replies_of_its_call"),
    (FLUSH, "success", "a_waiter_wakes_with_all_replies_of_its_call"),
    // Who rings the alarm of a call has seen since when it waits, and how long it may.
    (DUE, "success", "silence_is_that_of_its_call_and_of_no_later_one"),
    (RING, "success", "silence_is_that_of_its_call_and_of_no_later_one"),
];

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The number of the one line where it is.
fn line_of(place: &Place) -> usize {
    let text = std::fs::read_to_string(sources().join(place.0)).unwrap();
    let found: Vec<usize> = text.match_indices(place.1).map(|(at, _)| at).collect();
    let [at] = found[..] else {
        panic!("src/{} has {} times: {}", place.0, found.len(), place.1);
    };
    text[..at].lines().count()
}

#[test]
fn no_ordering_can_be_weaker() {
    let mut idle = Vec::new();
    for (place, part, model) in &ORDERINGS {
        let weakened = format!("src/{}:{}:{part}:Relaxed", place.0, line_of(place));
        let mut run = Command::new(std::env::current_exe().unwrap());
        run.args(["--exact", model]).env("WEAKEN", &weakened);
        let said = run.output().unwrap();
        let out = String::from_utf8_lossy(&said.stdout);
        assert!(out.contains("running 1 test"), "there is no model {model}");
        if said.status.success() {
            idle.push(format!("{weakened}: {model} does not fail"));
        }
    }
    assert!(idle.is_empty(), "{idle:#?}");
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            walk(&path, files);
        } else if name.ends_with(".rs") && !name.contains("tests") {
            files.push(path);
        }
    }
}

#[test]
fn each_ordering_has_its_model() {
    let mut files = Vec::new();
    walk(&sources(), &mut files);
    let mut unknown = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(sources()).unwrap().to_str().unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for (number, line) in code
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            let count = |word: &str| line.matches(&format!("Ordering::{word}")).count();
            let has = count("Acquire") + count("Release") + count("AcqRel");
            let is_there = |place: &Place| place.0 == name && line_of(place) == number + 1;
            if has != ORDERINGS.iter().filter(|(place, ..)| is_there(place)).count() {
                unknown.push(format!("src/{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(
        unknown.is_empty(),
        "without a model in tests/model/orderings.rs: {unknown:#?}"
    );
}

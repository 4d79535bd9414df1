//! A thread that publishes numbers and hears them through two subscriptions: what is lost without a gap that was told of,
//! heard twice, out of order, or though its PUBLISH was never executed?

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sentinel::completion::queue::Polled;
use sentinel::completion::{ChannelKind, Entry, EntryKind, Queue};
use sentinel::{Client, Deadline, Deployment, Options, Outcome, Subscription};

use crate::callers::World;

const CHANNEL: &str = "soak:channel";

/// Until both have heard the last number, once all is at rest.
const PATIENCE: Duration = Duration::from_secs(20);

/// What became of the numbers that were published, as far as they may be missing.
#[derive(Debug, Default)]
struct Published {
    last: u64,
    /// Their PUBLISH may have been executed, even late.
    unknown: HashSet<u64>,
    /// Their PUBLISH was not executed, as the library promised.
    never: HashSet<u64>,
}

impl Published {
    /// Whether somebody who listens all the time must hear it.
    fn is_certain(&self, number: u64) -> bool {
        !self.unknown.contains(&number) && !self.never.contains(&number)
    }
}

/// What one subscription has heard.
#[derive(Debug, Default)]
struct Course {
    last: u64,
    heard: u64,
    /// Numbers that were certain to be heard and fell into a gap.
    missed: u64,
    gaps: u64,
    /// A gap was told since `last`.
    fresh: bool,
    /// Of the unknown ones those that were heard.
    late: HashSet<u64>,
    violations: Vec<String>,
}

impl Course {
    fn gap(&mut self) {
        self.gaps += 1;
        self.fresh = true;
    }

    fn hear(&mut self, number: u64, published: &Published) {
        self.heard += 1;
        if number > published.last || published.never.contains(&number) {
            self.violations.push(format!("{number} was heard and never published"));
        }
        if published.unknown.contains(&number) && !self.late.insert(number) {
            self.violations.push(format!("{number} was heard twice"));
        }
        if number <= self.last {
            // Bytes that were held come later than what followed them.
            if published.is_certain(number) {
                self.violations.push(format!("{number} was heard after {}", self.last));
            }
            return;
        }
        let missed = (self.last + 1..number).filter(|n| published.is_certain(*n)).count() as u64;
        if missed > 0 && !std::mem::take(&mut self.fresh) {
            let last = self.last;
            self.violations
                .push(format!("{missed} between {last} and {number} were lost without a gap"));
        }
        self.missed += missed;
        self.fresh = false;
        self.last = number;
    }
}

/// A subscription, its queue, and what came of it.
struct Hearer {
    name: &'static str,
    _subscription: Subscription,
    queue: Arc<Queue>,
    course: Course,
}

impl Hearer {
    fn new(name: &'static str, deployment: &Deployment, client: &Client) -> Hearer {
        let queue = deployment.queue(10_000).unwrap();
        let subscription = client.subscribe(&queue, 0).unwrap();
        subscription
            .add_confirmed(ChannelKind::Channel, CHANNEL.as_bytes())
            .unwrap();
        let confirmed = queue.poll(1, Deadline::after(Some(PATIENCE)), |_| {});
        assert_eq!(confirmed, Ok(Polled::Some(1)), "no confirmation");
        Hearer {
            name,
            _subscription: subscription,
            queue,
            course: Course::default(),
        }
    }

    fn take(&mut self, published: &Published) {
        let mut entries = Vec::new();
        let take = |entry| entries.push(entry);
        let polled = self.queue.poll(1000, Deadline::after(Some(Duration::ZERO)), take);
        polled.expect("the queue is open");
        for Entry { kind, result, .. } in entries {
            match (kind, result) {
                (EntryKind::Message, Ok(reply)) => {
                    let number = reply.elements().last().and_then(|last| last.text().parse().ok());
                    self.course.hear(number.unwrap_or(u64::MAX), published);
                }
                (EntryKind::Event, Ok(reply)) => {
                    let text = |key: &[u8]| reply.get(key).map(|value| value.text().into_owned());
                    match text(b"event").as_deref() {
                        Some("subscription_gap") => self.course.gap(),
                        other => self.course.violations.push(format!("event {other:?}")),
                    }
                }
                (kind, result) => self.course.violations.push(format!("{kind:?}: {result:?}")),
            }
        }
    }
}

/// What the thread brings home: its lines, and what was broken.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) lines: Vec<String>,
    pub(crate) violations: Vec<String>,
}

/// The two are of RESP3, with the client that everybody calls, and of RESP2.
pub(crate) fn live(world: &World, deployment: &Deployment, seed: u64) -> Heard {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut overrides = Options::new();
    overrides.set("protocol", "2").unwrap();
    let other = deployment.primary_for(Some("mymaster"), Some(&overrides)).unwrap();
    let mut hearers = [
        Hearer::new("RESP3", deployment, &world.primary),
        Hearer::new("RESP2", deployment, &other),
    ];
    let mut published = Published::default();
    while !world.stopped.load(Ordering::Relaxed) {
        publish(world, &mut random, &mut published);
        hearers.iter_mut().for_each(|hearer| hearer.take(&published));
        std::thread::sleep(world.pause);
    }
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end && hearers.iter().any(|hearer| hearer.course.last < published.last) {
        publish(world, &mut random, &mut published);
        std::thread::sleep(10 * world.pause);
        hearers.iter_mut().for_each(|hearer| hearer.take(&published));
    }
    report(&published, hearers)
}

fn publish(world: &World, random: &mut fastrand::Rng, published: &mut Published) {
    published.last += 1;
    let number = published.last.to_string();
    let args: [&[u8]; 3] = [b"PUBLISH", CHANNEL.as_bytes(), number.as_bytes()];
    if let Err(error) = world.call(random, true, |call| world.primary.command(&args, call)) {
        match error.outcome() {
            Outcome::Unknown => published.unknown.insert(published.last),
            Outcome::NotSent | Outcome::Refused => published.never.insert(published.last),
        };
    }
}

fn report(published: &Published, hearers: [Hearer; 2]) -> Heard {
    let mut all = Heard::default();
    all.lines.push(format!(
        "{} published, {} of them unknown, {} not executed",
        published.last,
        published.unknown.len(),
        published.never.len()
    ));
    for Hearer { name, course, .. } in hearers {
        all.lines.push(format!(
            "{name}: {} heard, {} gaps told, {} messages fell into them, {} heard of {} unknown",
            course.heard,
            course.gaps,
            course.missed,
            course.late.len(),
            published.unknown.len()
        ));
        let name = |text: String| format!("subscription of {name}: {text}");
        all.violations.extend(course.violations.into_iter().map(name));
        if course.last < published.last {
            let text = format!("{} is the last of {} that was heard", course.last, published.last);
            all.violations.push(name(text));
        }
    }
    all
}

#[test]
fn losses_repeats_and_what_was_never_published_are_noticed() {
    let published = Published {
        last: 100,
        unknown: HashSet::from([4, 7]),
        never: HashSet::from([5]),
    };
    let mut course = Course::default();
    [1, 2, 3, 6, 8, 7].into_iter().for_each(|n| course.hear(n, &published));
    course.gap();
    [20, 21].into_iter().for_each(|n| course.hear(n, &published));
    assert_eq!((course.violations.len(), course.missed), (0, 11), "{course:?}");
    let wrong: HashMap<u64, &str> = HashMap::from([
        (23, "1 between 21 and 23 were lost without a gap"),
        (20, "20 was heard after 21"),
        (7, "7 was heard twice"),
        (5, "5 was heard and never published"),
        (101, "101 was heard and never published"),
    ]);
    for (number, violation) in wrong {
        let mut course = Course {
            last: 21,
            late: HashSet::from([7]),
            ..Course::default()
        };
        course.hear(number, &published);
        assert_eq!(course.violations.first().map(String::as_str), Some(violation));
    }
}

//! What was asked for, what was done, and what was said of it: whatever does not agree ends the run.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use crate::kernel::kernel;
use crate::kernel::trace::{note, tell};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    NotSent,
    Refused,
    Unknown,
}

/// What a call may do.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terms {
    /// It may be executed again: it only reads, or is marked.
    pub(crate) repeats: bool,
    /// It waits in the node, or has a connection of its own.
    pub(crate) own: bool,
    /// The line of submissions in whose order it is to be executed.
    pub(crate) line: Option<u64>,
    /// It is one of several that are handed over together: which was made first.
    pub(crate) among: Option<u64>,
    /// It may write.
    pub(crate) writes: bool,
}

#[derive(Debug)]
struct Entry {
    terms: Terms,
    executed: u32,
    /// How often all of it was handed over, where that can be seen, to which node last, and the order of the first time.
    handed: u32,
    node: usize,
    order: u64,
    /// On how many connections something of it was handed over.
    begins: u32,
    /// It had its end by then: what had begun to be written went out whole.
    late: bool,
    refused: u32,
    /// The node that ran it and lied about itself in the answer.
    liar: Option<usize>,
    end: Option<End>,
    /// It began while writes were held, and they were not let go since.
    within_hold: bool,
}

/// How long writes may still go out once they are held: what a thread has in its hands, or a lane had begun.
const GRACE: u64 = 2_000_000;

/// The account of a run.
#[derive(Default)]
pub(crate) struct Ledger {
    entries: RefCell<Vec<Entry>>,
    orders: Cell<u64>,
    /// Since when writes are held.
    held: Cell<Option<u64>>,
}

thread_local! {
    static LEDGER: Cell<Option<&'static Ledger>> = const { Cell::new(None) };
}

/// That of this thread's simulation.
pub(crate) fn ledger() -> &'static Ledger {
    LEDGER.get().expect("a simulation runs on this thread")
}

/// Ends the run: what was promised was not kept.
pub(crate) fn broken(promise: &str, what: &str) -> ! {
    panic!("{promise}: {what}");
}

/// Room for the largest payload, wherever it begins.
const NOISE: usize = 1 << 18;

thread_local! {
    static BYTES: Vec<u8> = {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            b"*$\r\n0123456789abcdefghijklmnopqr"[usize::try_from(state >> 59).unwrap_or(0)]
        };
        (0..NOISE).map(next).collect()
    };
}

/// The bytes that the call of that number carries.
pub(crate) fn payload(id: u64, len: usize) -> Vec<u8> {
    let place = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (NOISE / 2) as u64;
    BYTES.with(|bytes| bytes[place as usize..][..len].to_vec())
}

impl Ledger {
    /// Begins that of this thread.
    pub(crate) fn start() -> &'static Ledger {
        let ledger: &'static Ledger = Box::leak(Box::default());
        LEDGER.set(Some(ledger));
        ledger
    }

    /// The number of a new call.
    pub(crate) fn begin(&self, terms: Terms) -> u64 {
        let mut entries = self.entries.borrow_mut();
        entries.push(Entry {
            terms,
            executed: 0,
            handed: 0,
            node: usize::MAX,
            order: 0,
            begins: 0,
            late: false,
            refused: 0,
            liar: None,
            end: None,
            within_hold: self.holds(),
        });
        entries.len() as u64
    }

    fn with<T>(&self, id: u64, body: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let place = usize::try_from(id).unwrap_or(0).checked_sub(1)?;
        self.entries.borrow_mut().get_mut(place).map(body)
    }

    /// Writes are held from now on, or go out again.
    pub(crate) fn hold(&self, holds: bool) {
        note("hold", u64::from(holds), 0);
        match holds {
            true => self.held.set(self.held.get().or(Some(kernel().now()))),
            false => {
                self.held.set(None);
                let mut entries = self.entries.borrow_mut();
                entries.iter_mut().for_each(|entry| entry.within_hold = false);
            }
        }
    }

    /// Whether they have been held for so long that none goes out any more.
    pub(crate) fn holds(&self) -> bool {
        self.held.get().is_some_and(|since| kernel().now() > since + GRACE)
    }

    /// A node has executed it.
    pub(crate) fn executed(&self, id: u64, node: usize, connection: usize) {
        note("executed", id, connection as u64);
        let known = self.with(id, |entry| {
            entry.executed += 1;
            (entry.executed, entry.terms, entry.end)
        });
        let Some((times, terms, end)) = known else {
            broken(
                "no stranger's bytes",
                &format!("node {node} executed {id}, which nobody asked for"),
            );
        };
        if times > 1 && !terms.repeats {
            broken("P4", &format!("call {id} was executed {times} times"));
        }
        if matches!(end, Some(End::NotSent | End::Refused)) {
            broken("P4", &format!("call {id} ended {end:?} and is executed now"));
        }
    }

    /// All of it was handed over to be sent to `node`; `fresh`: its first byte as well, just now.
    pub(crate) fn handed(&self, id: u64, node: usize, fresh: bool) {
        if id == 0 {
            return;
        }
        note("handed", id, node as u64);
        let order = self.orders.get() + 1;
        self.orders.set(order);
        let handed = self.with(id, |entry| {
            entry.handed += 1;
            entry.node = node;
            if entry.handed == 1 {
                entry.order = order;
                entry.late = entry.end.is_some();
            }
            (entry.handed, entry.terms, entry.refused, entry.end)
        });
        let Some((times, terms, refused, end)) = handed else {
            return;
        };
        if times > 1 && !terms.repeats && refused == 0 {
            broken(
                "P4",
                &format!("call {id} is handed over once more, and nobody has refused it"),
            );
        }
        // The rest of a batch goes where its beginning went.
        if fresh && terms.writes && terms.among.is_none() && self.holds() {
            broken("P13", &format!("write {id} is handed over while writes are held"));
        }
        // What a lane has begun to write goes out, unknown or not.
        if let Some(end) = end.filter(|end| *end != End::Unknown && fresh) {
            broken("P4", &format!("call {id} ended {end:?} and is handed over now"));
        }
    }

    /// Something of it is handed over on one more connection.
    pub(crate) fn begins(&self, id: u64) {
        self.with(id, |entry| entry.begins += 1);
    }

    /// The calls that were handed over to `node` and have not ended; those that wait in it or may be repeated aside.
    pub(crate) fn under_way_at(&self, node: usize) -> Vec<u64> {
        let entries = self.entries.borrow();
        let under_way = |entry: &Entry| {
            let terms = entry.terms;
            // A batch has not ended while some of it may still go to the next primary.
            let ends_alone = !terms.repeats && !terms.own && terms.among.is_none();
            entry.node == node && entry.end.is_none() && ends_alone && entry.refused == 0
        };
        let all = (1..).zip(entries.iter());
        all.filter(|(_, entry)| under_way(entry)).map(|(id, _)| id).collect()
    }

    /// They were under way at a switch.
    pub(crate) fn must_have_ended(&self, ids: &[u64]) {
        for id in ids {
            if self.with(*id, |entry| entry.end.is_none() && entry.refused == 0) == Some(true) {
                broken(
                    "P3",
                    &format!("call {id} was under way at the switch and has not ended 52 ms later"),
                );
            }
        }
    }

    /// A node has declined it.
    pub(crate) fn refused(&self, id: u64) {
        note("refused", id, 0);
        self.with(id, |entry| entry.refused += 1);
    }

    /// A script has run, and its own error says that `node` is no primary.
    pub(crate) fn lied(&self, id: u64, node: usize) {
        self.with(id, |entry| entry.liar = Some(node));
    }

    /// `node` is no primary any more: who asks it now what it is cannot know that it was one when it said otherwise.
    pub(crate) fn demoted(&self, node: usize) {
        let mut entries = self.entries.borrow_mut();
        let liars = entries.iter_mut().filter(|entry| entry.liar == Some(node));
        liars
            .filter(|entry| entry.end.is_none())
            .for_each(|entry| entry.terms.repeats = true);
    }

    /// It waited in a node until its time was over.
    pub(crate) fn expired(&self, id: u64) {
        note("expired", id, 0);
    }

    /// Its caller was told.
    pub(crate) fn end(&self, id: u64, end: End) {
        note("end", id, end as u64);
        let before = self.with(id, |entry| {
            // Whoever asked the liar after it was demoted had to believe it.
            let excused = entry.liar.is_some() && entry.terms.repeats;
            let executed = if excused { 0 } else { entry.executed };
            let within_hold = entry.within_hold && entry.terms.writes;
            (entry.end.replace(end), executed, entry.terms, within_hold)
        });
        let Some((before, executed, terms, within_hold)) = before else {
            return;
        };
        // Replicas refuse it by themselves.
        if within_hold && matches!(end, End::Done | End::Unknown) {
            broken("P13", &format!("write {id} ends {end:?}, and was held all the time"));
        }
        if before.is_some() {
            broken("once", &format!("call {id} ends {end:?} and has ended {before:?}"));
        }
        // An element that may be repeated keeps what the server said of it the last time.
        let said_again = end == End::Refused && terms.among.is_some() && terms.repeats;
        if matches!(end, End::NotSent | End::Refused) && executed > 0 && !said_again {
            broken(
                "P4",
                &format!("call {id} ends {end:?} and was executed {executed} times"),
            );
        }
    }

    /// Bytes that are no command have come to a node.
    pub(crate) fn garbled(&self, connection: usize, bytes: &[u8]) {
        let begin = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        broken("whole requests", &format!("on connection {connection} came {begin:?}"));
    }

    /// A command has come with bytes that are another's.
    pub(crate) fn corrupt(&self, what: &str) {
        broken("whole requests", what);
    }

    /// At the end of a run: everyone was told, and what one thread submitted was executed in its order.
    pub(crate) fn check(&self) {
        let entries = self.entries.borrow();
        let mut last: BTreeMap<u64, (u64, usize)> = BTreeMap::new();
        // Those of which some went out twice.
        let went_again = |entry: &&Entry| entry.terms.repeats && entry.begins > 1;
        let again = entries.iter().filter(went_again).filter_map(|entry| entry.terms.among);
        let again: BTreeSet<u64> = again.collect();
        for (place, entry) in entries.iter().enumerate() {
            let id = place + 1;
            if entry.end.is_none() {
                broken("once", &format!("call {id} has never ended"));
            }
            // What was repeated, or may have been, has left its place: also where less than all of it went out before.
            let may_repeat = entry.terms.repeats || entry.terms.among.is_some();
            let with_others = entry.terms.among.is_some_and(|first| again.contains(&first));
            let repeated = (may_repeat && entry.begins > 1) || with_others;
            let once = entry.refused == 0 && entry.handed == 1 && !repeated && !entry.late;
            let plain = !entry.terms.own && once;
            let Some(line) = entry.terms.line.filter(|_| plain) else {
                continue;
            };
            let (before, who) = last.insert(line, (entry.order, id)).unwrap_or((0, 0));
            if before > entry.order {
                broken(
                    "P14",
                    &format!("call {id} was handed over before {who}, which was submitted first"),
                );
            }
        }
        tell(|| format!("{} calls, {} steps", entries.len(), kernel().trace.steps()));
    }

    /// Calls so far.
    pub(crate) fn count(&self) -> usize {
        self.entries.borrow().len()
    }
}

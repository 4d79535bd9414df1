//! Calls that no thread waits for, and the thread that takes their ends.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::ask::{Ask, Many, Sort};
use super::caller::must_succeed;
use super::in_time;
use crate::base::deadline::Deadline;
use crate::base::error::{Error, ErrorKind};
use crate::call::CallOptions;
use crate::completion::{CallId, Queue, Target};
use crate::handles::runtime::Runtime;
use crate::handles::{Client, Tried};
use crate::kernel::kernel;
use crate::kernel::trace::{note, tell};
use crate::ledger::broken;
use crate::resp::Reply;

enum What {
    One(Ask),
    Many(Many),
}

struct Pending {
    what: What,
    began: u64,
    timeout_ms: i64,
    strict: bool,
    /// For a cancellation: by whom and under which number.
    call: Option<(Weak<Client>, CallId)>,
}

thread_local! {
    /// Where callbacks find what they complete: they may hold nothing of one thread.
    static PENDING: RefCell<BTreeMap<u64, Pending>> = const { RefCell::new(BTreeMap::new()) };
}

pub(crate) struct Submitted {
    queue: Arc<Queue>,
    next_tag: Cell<u64>,
    over: Cell<bool>,
}

impl Submitted {
    pub(super) fn new(runtime: &Runtime, capacity: usize) -> Submitted {
        Submitted {
            queue: runtime.queue(capacity),
            next_tag: Cell::new(1),
            over: Cell::new(false),
        }
    }

    fn enter(&self, what: What, terms: &CallOptions, strict: bool) -> u64 {
        let tag = self.next_tag.get();
        self.next_tag.set(tag + 1);
        let pending = Pending {
            what,
            began: kernel().now(),
            timeout_ms: terms.timeout_ms,
            strict,
            call: None,
        };
        PENDING.with_borrow_mut(|all| all.insert(tag, pending));
        tag
    }

    fn accepted(&self, tag: u64, client: &Arc<Client>, result: Result<CallId, Error>) {
        match result {
            Ok(call) => {
                note("submitted", tag, 0);
                // A completion may have come already.
                PENDING.with_borrow_mut(|all| {
                    if let Some(pending) = all.get_mut(&tag) {
                        pending.call = Some((Arc::downgrade(client), call));
                    }
                });
            }
            Err(error) => ended(tag, &Err(error)),
        }
    }

    pub(super) fn submit(&self, client: &Arc<Client>, sort: Sort, terms: &CallOptions, line: Option<u64>) {
        self.submit_strict(client, sort, terms, line, false);
    }

    pub(super) fn submit_strict(
        &self,
        client: &Arc<Client>,
        sort: Sort,
        terms: &CallOptions,
        line: Option<u64>,
        strict: bool,
    ) {
        let ask = Ask::new(sort, terms, line);
        let args = ask.args.clone();
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let id = ask.id;
        let tag = self.enter(What::One(ask), terms, strict);
        tell(|| format!("submits call {id} with {} ms", terms.timeout_ms));
        let result = client.submit(&args, terms, Target::Queue(&self.queue, tag));
        self.accepted(tag, client, result);
    }

    /// One that the thread waits for only so long.
    pub(super) fn try_one(&self, client: &Arc<Client>, sort: Sort, terms: &CallOptions) {
        let ask = Ask::new(sort, terms, None);
        let args = ask.args.clone();
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let id = ask.id;
        let wait = kernel().pick(&[0, 1, 1, 3, 20, 400]);
        let tag = self.enter(What::One(ask), terms, false);
        tell(|| format!("tries call {id} for {wait} of {} ms", terms.timeout_ms));
        let began = kernel().now();
        let tried = client.try_command(&args, terms, Duration::from_millis(wait), &self.queue, tag);
        in_time("a trial", began, i64::try_from(wait).unwrap_or(0));
        match tried {
            Ok(Tried::Done(reply)) => ended(tag, &Ok(reply)),
            Ok(Tried::GoesOn(call)) => self.accepted(tag, client, Ok(call)),
            Err(error) => ended(tag, &Err(error)),
        }
    }

    pub(super) fn submit_many(&self, client: &Arc<Client>, terms: &CallOptions, line: Option<u64>) {
        let many = Many::new(terms, line);
        let batch = many.copied();
        tell(|| format!("submits {} with {} ms", many.told(), terms.timeout_ms));
        let tag = self.enter(What::Many(many), terms, false);
        let result = client.submit_batch(&batch, terms, Target::Queue(&self.queue, tag));
        self.accepted(tag, client, result);
    }

    /// One whose end a function is told.
    pub(super) fn call_back(&self, client: &Arc<Client>, terms: &CallOptions) {
        let ask = Ask::new(Sort::Write, terms, None);
        let args = ask.args.clone();
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let id = ask.id;
        let tag = self.enter(What::One(ask), terms, false);
        tell(|| format!("submits call {id} with {} ms, to be called back", terms.timeout_ms));
        let done = Box::new(move |entry: crate::completion::Entry| ended(tag, &entry.result));
        let result = client.submit(&args, terms, Target::Done(done));
        self.accepted(tag, client, result);
    }

    /// Cancels one that has not ended, if there is one.
    pub(super) fn cancel_one(&self) {
        let chosen = PENDING.with_borrow(|all| {
            let known: Vec<_> = all.values().filter_map(|pending| pending.call.clone()).collect();
            (!known.is_empty()).then(|| known[kernel().index(known.len())].clone())
        });
        let Some((client, call)) = chosen else { return };
        let Some(client) = client.upgrade() else { return };
        match client.cancel(call) {
            Ok(()) => note("cancelled", call, 0),
            Err(error) if matches!(error.kind(), ErrorKind::Closed) => {}
            Err(error) => broken("cancel", &error.to_string()),
        }
    }

    /// Those that have not ended.
    pub(super) fn left(&self) -> usize {
        PENDING.with_borrow(BTreeMap::len)
    }

    /// The program takes nothing more out of the queue once it is empty.
    pub(super) fn finish(&self) {
        self.over.set(true);
        self.queue.wake();
    }

    /// The life of the thread that takes completions.
    pub(super) fn poll(&self) {
        loop {
            let mut entries = Vec::new();
            let deadline = Deadline::after(Some(Duration::from_millis(200)));
            let polled = self.queue.poll(16, deadline, |entry| entries.push(entry));
            for entry in &entries {
                ended(entry.tag, &entry.result);
            }
            if polled.is_err() || (self.over.get() && entries.is_empty()) {
                return;
            }
        }
    }
}

/// A submitted call has its end.
fn ended(tag: u64, result: &Result<Reply, Error>) {
    let Some(pending) = PENDING.with_borrow_mut(|all| all.remove(&tag)) else {
        broken("once", &format!("submission {tag} ended twice"));
    };
    in_time("a submission", pending.began, pending.timeout_ms);
    must_succeed(pending.strict, result);
    match &pending.what {
        What::One(ask) => {
            tell(|| match result {
                Ok(_) => format!("call {} succeeded", ask.id),
                Err(error) => format!("call {}: {:?}: {error}", ask.id, error.outcome()),
            });
            ask.ends(result);
        }
        What::Many(many) => {
            tell(|| match result {
                Ok(_) => format!("submission {tag}: replies"),
                Err(error) => format!("submission {tag}: {:?}: {error}", error.outcome()),
            });
            many.ends(result);
        }
    }
}

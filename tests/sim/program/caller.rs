//! A thread that waits for its calls, and submits others.

use std::rc::Rc;
use std::sync::Arc;

use super::ask::{Ask, Many, Sort, end_of};
use super::{Phase, Program, in_time};
use crate::base::error::{Error, ErrorKind, Outcome, Reason};
use crate::call::CallOptions;
use crate::handles::{Client, Connection};
use crate::kernel::kernel;
use crate::kernel::trace::tell;
use crate::ledger::{End, broken, ledger};
use crate::resp::Reply;

const MS: u64 = 1_000_000;

/// The life of the thread.
pub(super) fn run(program: &Rc<Program>) {
    let kernel = kernel();
    let (mut client, mut line) = program.client();
    if program.plan.overture {
        overture(program, &client, line);
    }
    for _ in 0..program.plan.calls {
        if program.phase() != Phase::Storm {
            break;
        }
        match kernel.below(60) {
            0..5 => kernel.sleep(kernel.between(1, 100 * MS)),
            5..40 => kernel.sleep(kernel.between(1, 5 * MS)),
            _ => {}
        }
        if kernel.one_in(40) {
            program.renew_client();
        }
        if kernel.one_in(12) {
            (client, line) = program.client();
        }
        one(program, &client, line);
    }
    while program.phase() == Phase::Storm {
        kernel.sleep(20 * MS);
    }
    drop(client);
    go_on(program);
    program.busy.set(program.busy.get() - 1);
}

/// Nobody has asked yet what these commands do.
fn overture(program: &Rc<Program>, client: &Arc<Client>, line: Option<u64>) {
    let first = kernel().pick(&[Sort::UnknownRead, Sort::UnknownWrite]);
    for sort in [first, Sort::Write, first, Sort::Write, Sort::Write] {
        program.submitted.submit(client, sort, &program.terms(), line);
    }
}

/// One thing that a program may do.
fn one(program: &Rc<Program>, client: &Arc<Client>, line: Option<u64>) {
    let kernel = kernel();
    let mut terms = program.terms();
    match kernel.below(program.plan.mix) {
        0..3 => wait(client, sort(), &terms),
        3..6 => program.submitted.try_one(client, sort(), &terms),
        6..8 => many(client, &terms),
        8..9 => acquire(program, client, &terms),
        9..10 => {
            terms.replicas = 1;
            wait(client, Sort::Write, &terms);
        }
        10..11 => program.cancel_one(),
        11..13 => program.submitted.submit_many(client, &terms, line),
        13..14 => program.submitted.call_back(client, &terms),
        _ => {
            for _ in 0..=kernel.below(program.plan.burst) {
                program.submitted.submit(client, sort(), &terms, line);
            }
        }
    }
}

fn sort() -> Sort {
    match kernel().below(20) {
        0..6 => Sort::Read,
        6..15 => Sort::Write,
        15 => Sort::Waits,
        16 => Sort::Script,
        17 => Sort::UnknownRead,
        18 => Sort::UnknownWrite,
        _ => Sort::UnknownWaits,
    }
}

/// A call that is waited for.
fn wait(client: &Client, sort: Sort, terms: &CallOptions) {
    let ask = Ask::new(sort, terms, None);
    tell(|| format!("asks call {} with {} ms", ask.id, terms.timeout_ms));
    let result = timed("a call", terms, || client.command(&ask.parts(), terms));
    told(&format!("call {}", ask.id), &result);
    ask.ends(&result);
}

fn timed<T>(what: &str, terms: &CallOptions, call: impl FnOnce() -> T) -> T {
    let began = kernel().now();
    let result = call();
    in_time(what, began, terms.timeout_ms);
    result
}

fn told(what: &str, result: &Result<Reply, Error>) {
    tell(|| match result {
        Ok(_) => format!("{what} succeeded"),
        Err(error) => format!("{what}: {:?}: {error}", error.outcome()),
    });
}

fn many(client: &Client, terms: &CallOptions) {
    let many = Many::new(terms, None);
    tell(|| format!("asks {} with {} ms", many.told(), terms.timeout_ms));
    let result = timed("a batch", terms, || client.batch(&many.batch, terms));
    told("a batch", &result);
    many.ends(&result);
}

/// A connection of its own: some commands, perhaps a transaction by hand.
fn acquire(program: &Program, client: &Client, terms: &CallOptions) {
    let acquired = timed("acquire", terms, || client.acquire(terms.timeout_ms));
    let Ok(connection) = acquired else { return };
    let connection = program.lend(connection);
    for _ in 0..kernel().below(4) {
        let sort = kernel().pick(&[Sort::Read, Sort::Write, Sort::UnknownWrite, Sort::Waits]);
        // Nothing is repeated on it.
        let ask = Ask::new(sort, &CallOptions::default(), None);
        let result = timed("a call on a connection", terms, || {
            connection.command(&ask.parts(), terms)
        });
        told(&format!("call {}", ask.id), &result);
        ask.ends(&result);
    }
    if kernel().one_in(2) {
        by_hand(&connection, terms);
    }
}

/// MULTI, some commands, EXEC. Nothing of it is executed before EXEC is.
fn by_hand(connection: &Connection, terms: &CallOptions) {
    let run = |args: &[&[u8]]| timed("a call on a connection", terms, || connection.command(args, terms));
    if run(&[b"MULTI"]).is_err() {
        return;
    }
    let asks = [(); 2].map(|()| Ask::new(Sort::Write, &CallOptions::default(), None));
    let queued: Vec<_> = asks.iter().map(|ask| run(&ask.parts())).collect();
    let end = match queued.iter().all(Result::is_ok) {
        false => End::NotSent,
        true => {
            let exec = run(&[b"EXEC"]);
            told("EXEC", &exec);
            match &exec {
                Ok(replies) if replies.len() == asks.len() => End::Done,
                Ok(replies) => broken("own replies", &format!("EXEC of two got {:?}", replies.kind())),
                Err(error) => end_of(error),
            }
        }
    };
    asks.iter().for_each(|ask| ledger().end(ask.id, end));
}

/// After the storm: calls go on, and once the library had its time they all succeed.
fn go_on(program: &Rc<Program>) {
    let kernel = kernel();
    let (client, line) = program.client();
    let terms = CallOptions {
        timeout_ms: 1_500,
        ..CallOptions::default()
    };
    while program.phase() < Phase::Over {
        let strict = program.phase() == Phase::Well;
        if kernel.one_in(3) {
            program
                .submitted
                .submit_strict(&client, Sort::Small, &terms, line, strict);
        } else {
            let ask = Ask::new(Sort::Small, &terms, None);
            let result = timed("a call", &terms, || client.command(&ask.parts(), &terms));
            told(&format!("call {}", ask.id), &result);
            must_succeed(strict, &result);
            ask.ends(&result);
        }
        kernel.sleep(kernel.between(MS, 150 * MS));
    }
}

/// Nothing is wrong with the node that is read from, and it is read from at once.
pub(super) fn must_read(program: &Program) {
    let (client, _) = program.client();
    let terms = CallOptions {
        timeout_ms: 1_000,
        ..CallOptions::default()
    };
    let ask = Ask::new(Sort::Small, &terms, None);
    let result = timed("a read", &terms, || client.command(&ask.parts(), &terms));
    told(&format!("read {}", ask.id), &result);
    // A node may have its moods, and other clients may have spent what there is to dial it.
    let excused =
        |error: &Error| error.outcome() != Outcome::NotSent || error.reason() == Some(Reason::NodeUnreachable);
    let was_read = result.as_ref().map_or_else(excused, |_| true);
    must_succeed(!was_read, &result);
    ask.ends(&result);
}

/// All is well, and so it has to succeed.
pub(super) fn must_succeed(strict: bool, result: &Result<Reply, Error>) {
    let Err(error) = result else { return };
    // Limits of one's own are no matter of health.
    match error.kind() {
        ErrorKind::Closed | ErrorKind::QueueFull { .. } | ErrorKind::PoolExhausted { .. } => {}
        _ if strict => broken("recovery", &format!("all has been well for long, and yet: {error}")),
        _ => {}
    }
}

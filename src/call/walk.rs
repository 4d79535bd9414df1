//! Walks through keys and elements: `SCAN` and its kin, on one node.
//!
//! A cursor is a node's own: it is a place in that process's tables, and means another place anywhere else. A walk keeps
//! a connection to its node. When that is lost it goes on over another one, if the same process answers there (by its
//! run id); otherwise it fails, for going on would skip or repeat in silence.

use std::sync::Arc;

use super::learnt::Learnt;
use super::life::{Life, Shape};
use super::terms::{CallOptions, has_name};
use super::waiting::{Letter, Meet, Waiting, exchange_one};
use crate::base::deadline::Deadline;
use crate::base::error::{Error, ErrorKind, Outcome, Result};
use crate::pool::{Lent, Pool};
use crate::resp::{Builder, Kind, Reply, Request, Value};

/// A walk. One thread at a time.
#[derive(Debug)]
pub(crate) struct Walk {
    /// What stands in front of the cursor, and behind it.
    head: Vec<Vec<u8>>,
    tail: Vec<Vec<u8>>,
    /// Its connection, between two pages.
    held: Option<Lent<'static>>,
    place: Place,
}

/// Where a walk is.
#[derive(Debug, Default)]
struct Place {
    cursor: Vec<u8>,
    /// At least one page was given.
    begun: bool,
    ended: bool,
    /// The node was lost.
    moved: bool,
    /// The connection that the last page came over.
    connection: u64,
    /// The process that gave the cursor; `None` where it does not tell.
    run_id: Option<Vec<u8>>,
}

impl Place {
    fn start() -> Place {
        Place {
            cursor: b"0".to_vec(),
            ..Place::default()
        }
    }
}

fn is_of_a_key(name: &[u8]) -> bool {
    let names: [&[u8]; 3] = [b"HSCAN", b"SSCAN", b"ZSCAN"];
    names.iter().any(|own| name.eq_ignore_ascii_case(own))
}

impl Walk {
    /// A walk by `args`: `SCAN`, `HSCAN`, `SSCAN` or `ZSCAN` with the key and without a cursor, then the options.
    pub(crate) fn new(args: &[&[u8]]) -> Result<Walk> {
        has_name(args)?;
        let in_front = match args.first() {
            Some(name) if name.eq_ignore_ascii_case(b"SCAN") => 1,
            Some(name) if is_of_a_key(name) => 2,
            _ => return Err(Error::invalid("argv[0]", "takes SCAN, HSCAN, SSCAN or ZSCAN")),
        };
        let Some((head, tail)) = args.split_at_checked(in_front) else {
            return Err(Error::invalid("argv", "needs a key and no cursor"));
        };
        let owned = |args: &[&[u8]]| args.iter().map(|arg| arg.to_vec()).collect();
        Ok(Walk {
            head: owned(head),
            tail: owned(tail),
            held: None,
            place: Place::start(),
        })
    }

    /// The next page, which may be empty; `None` at the end. After `WrongState` the walk must be started anew.
    pub(crate) fn next(&mut self, pool: &Arc<Pool>, call: &CallOptions, learnt: &Learnt) -> Result<Option<Reply>> {
        let Walk {
            head,
            tail,
            held,
            place,
        } = self;
        if call.is_confirmed() {
            return Err(Error::invalid("call", "replicas confirm writes, and a scan only reads"));
        }
        if place.moved {
            return Err(moved());
        }
        if place.ended {
            return Ok(None);
        }
        let deadline = Deadline::of_call(call.timeout_ms, pool.settings.timeout_ms)?;
        let cursor = place.cursor.clone();
        let mut command: Vec<&[u8]> = head.iter().map(Vec::as_slice).collect();
        command.push(&cursor);
        command.extend(tail.iter().map(Vec::as_slice));
        let mut last = None;
        let waiting = Waiting::new(pool, Letter::Command(&command), learnt, deadline);
        let life = Life::new(Shape::Command, call, true);
        let meet = Meet {
            first: held.take().filter(Lent::is_usable),
            check: &mut |lent| place.meet(lent, deadline),
            keep: &mut |lent| last = Some(lent.kept()),
        };
        let reply = waiting.run_meeting(life, meet)?;
        let page = place.advance(&reply)?;
        if !place.ended {
            *held = last;
        }
        Ok(Some(page))
    }

    /// Back to the beginning, on whatever node serves then.
    pub(crate) fn restart(&mut self) {
        self.held = None;
        self.place = Place::start();
    }
}

impl Place {
    /// Makes sure that the connection leads to the process that gave the cursor.
    fn meet(&mut self, lent: &mut Lent<'_>, deadline: Deadline) -> Result<()> {
        let connection = lent.direct().map_or(0, |direct| direct.id());
        if connection == self.connection {
            return Ok(());
        }
        let run_id = run_id(lent, deadline)?;
        if self.begun && (run_id.is_none() || run_id != self.run_id) {
            self.moved = true;
            return Err(moved());
        }
        self.run_id = run_id;
        self.connection = connection;
        Ok(())
    }

    /// Takes the cursor out of a reply, and the page.
    fn advance(&mut self, reply: &Reply) -> Result<Reply> {
        let parts = (reply.at(0), reply.at(1));
        let (Some(cursor), Some(page)) = parts else {
            let problem = "a scan's reply is not a cursor and a page".to_owned();
            return Err(Error::new(ErrorKind::Protocol { problem }).with_outcome(Outcome::Unknown));
        };
        self.cursor = cursor.data().to_vec();
        self.begun = true;
        self.ended = self.cursor == b"0";
        copied(page)
    }
}

/// The run id of the node's process. One INFO a connection, not a page.
fn run_id(lent: &mut Lent<'_>, deadline: Deadline) -> Result<Option<Vec<u8>>> {
    let question: [&[u8]; 2] = [b"INFO", b"server"];
    let reply = exchange_one(lent, &Request::Command(&question), deadline)?;
    if reply.kind() == Kind::Error {
        return Ok(None);
    }
    let mut lines = reply.data().split(|byte| *byte == b'\n');
    let run_id = lines.find_map(|line| line.strip_prefix(b"run_id:"));
    Ok(run_id.map(|run_id| run_id.trim_ascii().to_vec()))
}

fn copied(page: Value<'_>) -> Result<Reply> {
    let mut copy = Builder::new();
    copy.copy(page);
    copy.finish().ok_or_else(|| Error::fault("an incomplete page"))
}

fn moved() -> Error {
    Error::new(ErrorKind::WrongState {
        problem: "the scan's node does not serve any more, and its cursor means nothing to another: start anew".into(),
    })
}

//! What the program asks for, and whether what it is told agrees with the ledger.

use crate::base::error::{Error, ErrorKind, Outcome, Reason};
use crate::call::{Batch, BatchKind, CallOptions};
use crate::kernel::kernel;
use crate::ledger::{End, Terms, broken, ledger, payload};
use crate::network::network;
use crate::resp::{Kind, Reply, Said, Value};

/// One command.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) id: u64,
    pub(crate) args: Vec<Vec<u8>>,
    /// It waits in the node, and may end with nothing.
    pub(crate) waits: bool,
    /// It only reads.
    reads: bool,
    /// The reply that it is to have.
    wants: Vec<u8>,
}

/// What kinds of commands may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Read,
    /// A read of few bytes.
    Small,
    Write,
    Waits,
    Script,
    UnknownRead,
    UnknownWrite,
    UnknownWaits,
}

impl Sort {
    pub(crate) fn reads(self) -> bool {
        matches!(self, Sort::Read | Sort::Small | Sort::UnknownRead)
    }

    pub(crate) fn waits(self) -> bool {
        matches!(self, Sort::Waits | Sort::UnknownWaits)
    }
}

/// A size: most are small, and none takes a narrow connection for ever.
fn size() -> usize {
    let most = kernel().pick(&[10, 10, 100, 100, 1_000, 5_000, 20_000, 90_000]);
    let narrow = network().weather.get().room * 20;
    kernel().index(most.min(narrow))
}

impl Ask {
    /// A command of that sort.
    pub(crate) fn new(sort: Sort, call: &CallOptions, line: Option<u64>) -> Ask {
        Ask::among(sort, call, line, None)
    }

    fn among(sort: Sort, call: &CallOptions, line: Option<u64>, among: Option<u64>) -> Ask {
        let id = ledger().begin(Terms {
            repeats: sort.reads() || call.retry_unknown,
            own: sort.waits() || call.replicas > 0 || call.wait_aof,
            line,
            among,
            writes: !sort.reads(),
        });
        let own = id.to_string().into_bytes();
        let text = |text: &str| text.as_bytes().to_vec();
        let mut wants = own.clone();
        let args = match sort {
            Sort::Read | Sort::Small => {
                let size = if sort == Sort::Small { 8 } else { size() };
                let asked = format!("{id}:{size}").into_bytes();
                wants = asked.clone();
                wants.extend(payload(id, size));
                vec![text("GET"), asked]
            }
            Sort::Write => vec![text("APPEND"), own, payload(id, size())],
            Sort::Waits => vec![text("BLPOP"), own, text(kernel().pick(&["0.01", "0.1", "0.3", "2.5"]))],
            Sort::Script => {
                let mode = match std::env::var_os("HONEST").is_none() {
                    true => kernel().pick(&["ok", "ok", "error", "forge", "pretend"]),
                    false => kernel().pick(&["ok", "ok", "error"]),
                };
                vec![text("EVAL"), text("return 1"), text("1"), own, text(mode)]
            }
            Sort::UnknownRead => vec![text("MOD.READ"), own],
            Sort::UnknownWrite => vec![text("mod.write"), own, payload(id, size())],
            Sort::UnknownWaits => vec![text("MOD.WAIT"), own, text("0.05")],
        };
        let waits = sort.waits();
        let reads = sort.reads();
        Ask {
            id,
            args,
            waits,
            reads,
            wants,
        }
    }

    pub(crate) fn parts(&self) -> Vec<&[u8]> {
        self.args.iter().map(Vec::as_slice).collect()
    }

    /// The reply is this call's own.
    fn check(&self, value: Value<'_>) -> End {
        if self.waits && value.is_nil() {
            return End::Done;
        }
        if value.data() != self.wants {
            let got = value.text();
            let got: String = got.chars().take(60).collect();
            broken(
                "own replies",
                &format!("call {} ({:?}) got {got:?}", self.id, value.kind()),
            );
        }
        End::Done
    }

    /// It has ended.
    pub(crate) fn ends(&self, result: &Result<Reply, Error>) {
        let end = match result {
            Ok(reply) => self.check(reply.root()),
            Err(error) => end_of(error),
        };
        if self.reads
            && result
                .as_ref()
                .is_err_and(|error| error.reason() == Some(Reason::NoMajority))
        {
            broken("P13", &format!("read {} was held", self.id));
        }
        ledger().end(self.id, end);
    }

    /// It has ended with one element of an array.
    fn ends_in(&self, value: Value<'_>) {
        let end = match value.kind() {
            Kind::Error => match value.said() {
                Said::NotSent => End::NotSent,
                Said::ByServer => End::Refused,
                Said::CutOff | Said::BySomebody => End::Unknown,
            },
            _ => self.check(value),
        };
        ledger().end(self.id, end);
    }
}

/// What an error says of its command. Some are never right here.
pub(crate) fn end_of(error: &Error) -> End {
    let hasty = || network().nodes.borrow().iter().any(|node| node.was_hasty);
    match error.kind() {
        ErrorKind::Protocol { .. } if !hasty() => broken("no PROTOCOL", &error.to_string()),
        ErrorKind::Internal { .. } => broken("no fault of its own", &error.to_string()),
        _ => {}
    }
    match error.outcome() {
        Outcome::NotSent => End::NotSent,
        Outcome::Refused => End::Refused,
        Outcome::Unknown => End::Unknown,
    }
}

/// Many commands in one.
pub(crate) struct Many {
    pub(crate) batch: Batch,
    asks: Vec<Ask>,
    kind: BatchKind,
}

impl Many {
    pub(crate) fn new(call: &CallOptions, line: Option<u64>) -> Many {
        let kernel = kernel();
        let kind = kernel.pick(&[BatchKind::Pipeline, BatchKind::Pipeline, BatchKind::Transaction]);
        let mut batch = Batch::new(kind);
        let mut asks = Vec::new();
        let first = Some(ledger().count() as u64 + 1);
        for _ in 0..=kernel.below(6) {
            let sorts = [Sort::Read, Sort::Write, Sort::Write, Sort::UnknownWrite];
            let sort = kernel.pick(&sorts);
            // Those that only read are not repeated within a batch that also writes.
            let ask = Ask::among(sort, call, line.filter(|_| kind == BatchKind::Pipeline), first);
            batch.add(&ask.parts()).unwrap();
            asks.push(ask);
        }
        Many { batch, asks, kind }
    }

    /// For the story.
    pub(crate) fn told(&self) -> String {
        let ids: Vec<_> = self.asks.iter().map(|ask| ask.id).collect();
        format!("a {:?} of {ids:?}", self.kind)
    }

    /// All of them have ended.
    pub(crate) fn ends(&self, result: &Result<Reply, Error>) {
        match result {
            Ok(replies) => {
                if replies.kind() != Kind::Array || replies.len() != self.asks.len() {
                    let (kind, len) = (replies.kind(), replies.len());
                    broken(
                        "own replies",
                        &format!("{} commands got {kind:?} of {len}", self.asks.len()),
                    );
                }
                for (ask, reply) in self.asks.iter().zip(replies.elements()) {
                    ask.ends_in(reply);
                }
            }
            Err(error) => {
                let end = end_of(error);
                self.asks.iter().for_each(|ask| ledger().end(ask.id, end));
            }
        }
    }

    /// The same commands once more, to be given away.
    pub(crate) fn copied(&self) -> Batch {
        let mut batch = Batch::new(self.kind);
        self.asks.iter().for_each(|ask| batch.add(&ask.parts()).unwrap());
        batch
    }
}

//! An exchange that is begun on a connection, and may end elsewhere.

use super::Direct;
use super::sleep::Sleep;
use crate::base::clock::Moment;
use crate::base::deadline::Deadline;
use crate::base::error::{Error, ErrorKind};
use crate::net::Stream;
use crate::pool::generation::ConnectionId;
use crate::pool::outgoing::Outgoing;
use crate::resp::{Decoder, Reply, Request};

/// What is known of a request whose reply is still to come.
#[derive(Debug)]
pub(in crate::pool) struct Begun {
    /// Where in the stream it begins.
    pub(in crate::pool) begin: u64,
    /// So much of it need not be given again.
    pub(in crate::pool) from: usize,
    /// The number of the credentials with which its connection logged in.
    pub(in crate::pool) login: u64,
}

impl Direct {
    /// Sends `request` and receives its reply until `until`, which comes before its deadline. `None` when that is still to
    /// come then: the connection is for nothing else.
    pub(in crate::pool) fn try_exchange(
        &mut self,
        request: &Request<'_>,
        until: Deadline,
    ) -> Option<Result<Reply, Error>> {
        let (began, mut reply) = (Moment::now(), None);
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        request.append(&mut out);
        let (sleep, outgoing) = (Sleep::until(until.at(), began), Outgoing::new(&out, &[]));
        let done = self.run(&outgoing, 1, (began, until, sleep), &mut |whole| reply = Some(whole));
        let is_due = done
            .as_ref()
            .is_err_and(|error| matches!(error.kind(), ErrorKind::Timeout { .. }));
        if is_due && self.unsent() < self.len {
            return None;
        }
        self.ends(out, began, &done);
        Some(done.and_then(|()| reply.ok_or_else(|| Error::fault("an exchange without a reply"))))
    }

    /// What is known of the last request.
    pub(in crate::pool) fn begun(&self) -> Begun {
        Begun {
            begin: self.begin,
            from: self.from(),
            login: self.login,
        }
    }

    /// What it is made of goes over to the lane of that number.
    pub(in crate::pool) fn pass(self, to: ConnectionId) -> (Stream, Decoder) {
        self.watchers.generation.enter(to, self.stream.socket());
        (self.stream, self.decoder)
    }
}

//! What a connection that was idle for long is asked before a call is trusted to it. While nothing is written to it,
//! nothing tells that its peer, or something on the way that kept it in a table, has forgotten it.

use std::time::Duration;

use super::Direct;
use crate::base::clock::Moment;
use crate::base::deadline::Deadline;
use crate::resp::Request;

/// So long a connection may be idle and be trusted with a write all the same.
pub(super) const TRUSTED: Duration = Duration::from_secs(15);

/// How long it has for its answer: another connection is to serve the call in time.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

impl Direct {
    /// Whether it is there, as far as can be known. False: it is of no further use.
    #[inline]
    pub(super) fn is_trusted(&mut self, deadline: Deadline) -> bool {
        !Moment::next_tick().is_beyond(self.used(), TRUSTED) || self.answers(deadline)
    }

    #[cold]
    fn answers(&mut self, deadline: Deadline) -> bool {
        let ping: [&[u8]; 1] = [b"PING"];
        // Half of what is left at most: the rest is for the call, on another connection.
        let limit = deadline
            .left()
            .map_or(ANSWERS_WITHIN, |left| ANSWERS_WITHIN.min(left / 2));
        // Any answer will do. Without any time left it is not asked, and the call is not sent either.
        let _ = self.exchange(&Request::Command(&ping), 1, deadline.within(limit), drop);
        self.is_usable()
    }
}

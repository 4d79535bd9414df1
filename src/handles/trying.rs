//! One command that its thread waits for only so long, and that goes on as a submission then.

use std::sync::Arc;
use std::time::Duration;

use super::client::Client;
use crate::base::deadline::Deadline;
use crate::base::error::{ErrorKind, Result};
use crate::base::thread::may_wait;
use crate::call::commands::{self, Class};
use crate::call::life::{Ended, Life, Shape, Step};
use crate::call::terms::{CallOptions, has_name, terms};
use crate::call::waiting::{Letter, Waiting, counted};
use crate::completion::{Begun, CallId, Queue, Stands, Target};
use crate::observe::Timing;
use crate::pool::{Lent, Patience, Want, want_for};
use crate::resp::{Kind, Reply, Request};

/// No thread waits longer, whatever it allows: the watch over silent connections is sentinel-io's.
const LONGEST: Duration = Duration::from_secs(1);

/// What came of a call.
#[derive(Debug)]
pub enum Tried {
    /// It is done.
    Done(Reply),
    /// It goes on under this number, and completes in its queue.
    GoesOn(CallId),
}

impl Client {
    /// Runs one command for at most `wait`, on a connection that this thread has to itself. If it is not done by then, or
    /// there is no such connection at once, it is as if it had been submitted: it completes once, in `queue` with `tag`.
    pub fn try_command(
        &self,
        args: &[&[u8]],
        call: &CallOptions,
        wait: Duration,
        queue: &Arc<Queue>,
        tag: u64,
    ) -> Result<Tried> {
        self.parts.runtime.check()?;
        has_name(args)?;
        let class = commands::look_up(args);
        let mut deadline = self.deadline(call.timeout_ms)?;
        let own = terms(args, class, call, &mut deadline)?;
        let request = Request::Command(args);
        let life = match class {
            Some(Class::Shared) if !call.is_confirmed() => None,
            _ => Some(self.life(args, class, call, own)?),
        };
        let simple = life.as_ref().is_none_or(Life::is_simple) && want_for(&request) == Want::Shared;
        if simple && !wait.is_zero() && may_wait().is_ok() {
            let until = deadline.within(wait.min(LONGEST));
            // Before anything is sent: it must be able to complete.
            queue.take_place()?;
            let held = |lent: &Lent<'_>| {
                self.pool().holds(lent.generation())
                    && !commands::is_read_only(args)
                    && !self.parts.learnt.only_reads(args)
            };
            if let Some(lent) = self.pool().lend_free(until).filter(|lent| !held(lent)) {
                let life = life.unwrap_or_else(|| Life::new(Shape::Command, call, own));
                if let Some(tried) = self.begin(lent, life, args, (until, deadline), (queue, tag)) {
                    if !matches!(tried, Ok(Tried::GoesOn(_))) {
                        queue.give_back(1);
                    }
                    return tried;
                }
            }
            queue.give_back(1);
        }
        let id = self.submit(args, call, Target::Queue(queue, tag))?;
        Ok(Tried::GoesOn(id))
    }

    /// Begins it on `lent`. `None` when nothing of it was sent until `until`.
    #[inline]
    fn begin(
        &self,
        mut lent: Lent<'_>,
        mut life: Life,
        args: &[&[u8]],
        (until, deadline): (Deadline, Deadline),
        to: (&Arc<Queue>, u64),
    ) -> Option<Result<Tried>> {
        let (pool, request) = (self.pool(), Request::Command(args));
        life.set_out();
        lent.be(Patience::Usual);
        let done = lent.try_exchange(&request, until);
        if let Some(Ok(reply)) = done {
            if reply.kind() != Kind::Error {
                let result = Ok(reply);
                pool.calls.call_ended(&result, lent.timing().since(deadline.since()));
                return Some(result.map(Tried::Done));
            }
            return Some(self.go_on(lent, life, args, deadline, Ended::new(vec![reply], Ok(()), 0), to));
        }
        match done {
            Some(Err(error)) if matches!(error.kind(), ErrorKind::Timeout { .. }) && !deadline.passed() => None,
            Some(done) => {
                let ended = Ended::new(Vec::new(), done.map(drop), lent.unsent());
                Some(self.go_on(lent, life, args, deadline, ended, to))
            }
            None => {
                let passed = lent.pass()?;
                let stands = Stands::Due(passed);
                Some(Ok(self.see_to(&request, life, deadline, stands, to)))
            }
        }
    }

    /// What follows an attempt that did not simply succeed.
    #[cold]
    fn go_on(
        &self,
        mut lent: Lent<'_>,
        mut life: Life,
        args: &[&[u8]],
        deadline: Deadline,
        came: Ended,
        to: (&Arc<Queue>, u64),
    ) -> Result<Tried> {
        let (pool, request) = (self.pool(), Request::Command(args));
        let waiting = Waiting::new(pool, Letter::Command(args), &self.parts.learnt, deadline);
        let next = waiting.tell(&mut life, Some(&lent), came);
        if next.condemn {
            lent.condemn();
        }
        match next.step {
            Step::End(result) => counted(pool, result.map(|reply| (reply, Timing::default()))).map(Tried::Done),
            step => {
                let passed = matches!(step, Step::Send(_)).then(|| lent.pass()).flatten();
                drop(lent);
                Ok(self.see_to(&request, life, deadline, Stands::Next(step, passed), to))
            }
        }
    }

    fn see_to(
        &self,
        request: &Request<'_>,
        life: Life,
        deadline: Deadline,
        stands: Stands,
        to: (&Arc<Queue>, u64),
    ) -> Tried {
        let begun = Begun {
            request,
            life,
            deadline,
            stands,
        };
        Tried::GoesOn(self.calls().see_to(self.pool(), begun, to))
    }
}

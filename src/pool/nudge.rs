//! A lane's look at the time: for those who wait on it, and at whether it is still of use.

use std::task::Context;

use super::driver::Driver;
use super::silence::{Due, SILENT, Verdict};
use crate::base::clock::Moment;
use crate::base::error::ErrorKind;

impl Driver {
    /// After each round of the watchdog's everyone who waits looks at the time, and the driver whether the lane is of use.
    pub(super) fn nudge(&mut self, cx: &Context<'_>) -> Result<(), ErrorKind> {
        let due = self.due();
        self.silence.owes(due);
        if self.round == Some(self.common.watchdog.round()) {
            return Ok(());
        }
        if self.round.take().is_some() {
            self.look_around()?;
        }
        // What is being written may be of a call that has its end already, and more may gather behind it.
        if !(self.flying.is_empty() && self.writing.is_empty()) {
            self.round = Some(self.common.watchdog.wake(cx.waker()));
        }
        Ok(())
    }

    /// What the connection leaves its first call waiting for.
    fn due(&self) -> Option<Due> {
        if self.has_output() {
            return Some(Due::Room(self.watching.stream.moved()));
        }
        self.flying.front().map(|call| Due::Reply(call.patience))
    }

    fn look_around(&mut self) -> Result<(), ErrorKind> {
        let outbox = self.lane.outbox.lock();
        let sinks = self.flying.iter().map(|call| &call.sink);
        sinks.chain(outbox.sinks()).for_each(|sink| self.ends.nudge(sink));
        drop(outbox);
        self.tell_ends();
        let answered = || self.common.sentries.doubt(&self.lane.generation.endpoint);
        match self.silence.verdict(Moment::now(), answered) {
            Verdict::Stay => {}
            // What waits for the server's own threads is nobody else's affair.
            Verdict::Leave if self.lane.own || self.lane.is_gone() => {}
            Verdict::Leave => {
                if let Some(pool) = self.pool.upgrade() {
                    pool.lane_slow(&self.lane);
                }
            }
            Verdict::GiveUp => {
                self.lane.generation.set_wary(true);
                let cause = SILENT.to_owned();
                return Err(ErrorKind::ConnectionLost { cause });
            }
        }
        Ok(())
    }
}

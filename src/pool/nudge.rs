//! A lane's look at the time: for those who wait on it, and at whether it is still of use.

use std::pin::pin;
use std::task::Context;

use tokio::task::unconstrained;

use super::driver::Driver;
use super::seat::NUDGE_EVERY;
use super::silence::{Due, SILENT, Verdict};
use crate::base::clock::Moment;
use crate::base::error::ErrorKind;

impl Driver {
    /// Has everyone who waits look at the time, every [`NUDGE_EVERY`], and looks whether the lane is still of use.
    pub(super) fn nudge(&mut self, cx: &mut Context<'_>) -> Result<(), ErrorKind> {
        let due = self.due();
        self.silence.owes(due);
        if self.nudging && !self.nudge.is_elapsed() {
            return Ok(());
        }
        if self.nudging {
            self.look_around()?;
        }
        // What is being written may be of a call that has its end already, and more may gather behind it.
        self.nudging = !(self.flying.is_empty() && self.writing.is_empty());
        if self.nudging {
            let next = tokio::time::Instant::now() + NUDGE_EVERY;
            self.nudge.as_mut().reset(next);
            // This one look is what wakes the task: it must not be refused because the task has done much in this turn.
            let _ = pin!(unconstrained(self.nudge.as_mut())).poll(cx);
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
        let pong = self.sentries.last_pong(&self.lane.generation.endpoint);
        match self.silence.verdict(Moment::now(), pong) {
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

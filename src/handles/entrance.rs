//! The way in of calls that no thread waits for, whoever makes them.

use std::sync::Arc;

use crate::base::deadline::Deadline;
use crate::base::error::Result;
use crate::call::batch::Batch;
use crate::call::commands::{self, Class};
use crate::call::learnt::{Learnt, unknown_name};
use crate::call::life::Life;
use crate::call::replication::shape;
use crate::call::terms::{CallOptions, has_name, terms};
use crate::completion::{CallId, Calls, Target};
use crate::pool::{Parcel, Pool};
use crate::resp::Request;

/// What a submission needs.
#[derive(Clone, Copy)]
pub(super) struct Entrance<'a> {
    pub(super) pool: &'a Arc<Pool>,
    pub(super) calls: &'a Calls,
    pub(super) learnt: &'a Learnt,
    /// Who submits: a number that nobody else has meanwhile.
    pub(super) by: u64,
}

impl Entrance<'_> {
    /// Submits one command: it completes once, at `target`.
    #[inline]
    pub(super) fn submit(self, args: &[&[u8]], call: &CallOptions, target: Target<'_>) -> Result<CallId> {
        // A large one is copied here, without a lock.
        self.submit_as(args, &Parcel::of(&Request::Command(args)), call, target)
    }

    /// The same for one whose bytes on the wire are made already.
    #[inline(always)]
    pub(super) fn submit_as(
        self,
        args: &[&[u8]],
        parcel: &Parcel<'_>,
        call: &CallOptions,
        target: Target<'_>,
    ) -> Result<CallId> {
        has_name(args)?;
        let class = commands::look_up(args);
        let mut deadline = self.deadline(call)?;
        let own = terms(args, class, call, &mut deadline)?;
        let life = life_of(self.pool, self.learnt, args, class, call, own)?;
        self.calls.submit(self.pool, parcel, life, deadline, self.by, target)
    }

    /// Submits a batch: its completion has the reply of all.
    pub(super) fn submit_batch(self, batch: &Batch, call: &CallOptions, target: Target<'_>) -> Result<CallId> {
        batch.check(call)?;
        let (parts, life) = (batch.parts(), batch.life(call, self.learnt));
        let deadline = self.deadline(call)?;
        self.calls.submit(
            self.pool,
            &Parcel::of(&Request::Encoded(&parts)),
            life,
            deadline,
            self.by,
            target,
        )
    }

    pub(super) fn deadline(self, call: &CallOptions) -> Result<Deadline> {
        Deadline::of_call(call.timeout_ms, self.pool.settings.timeout_ms)
    }
}

/// The life of one command, which is asked for first when the table does not know it. `own`: it waits in the server.
#[inline(always)]
pub(super) fn life_of(
    pool: &Pool,
    learnt: &Learnt,
    args: &[&[u8]],
    class: Option<Class>,
    call: &CallOptions,
    own: bool,
) -> Result<Life> {
    let life = Life::new(shape(pool, call)?, call, own);
    Ok(match unknown_name(args, class) {
        None => life,
        Some(name) => learnt.recalled(life.asking(vec![name.to_ascii_uppercase()])),
    })
}

//! The task of sentinel-io that serves one socket: it reads what the peer sends as far as there is room, and writes what there
//! is to say.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep_until};

use super::commands::{Core, End, Taken};
use super::outbox::Outbox;
use super::request::{Inbox, MOST_REQUEST};
use crate::base::clock;
use crate::handles::Port;
use crate::net::accepted::Accepted;

/// Requests that are taken up, and ends of calls that are told, before others have their turn.
const LOAD: usize = 256;
/// Receives before others have their turn.
const ROUNDS: usize = 8;
/// Before a call is tried again that found too many under way.
const PAUSE: Duration = Duration::from_millis(2);
/// Bytes that are received ahead while a request waits for its turn: an end that stands behind them is seen.
const MOST_AHEAD: usize = 64 * 1024;

/// Whether there is more to do.
#[derive(PartialEq, Eq)]
enum Turn {
    More,
    Waits,
    Over,
}

/// One socket.
pub(super) struct Peer {
    socket: Accepted,
    inbox: Inbox,
    outbox: Outbox,
    core: Core,
    /// The peer sends nothing more.
    over: bool,
    /// A request is there as a whole, and waits for its turn.
    waits: bool,
    /// It asks for more, and may not before it has read; for so long it may read nothing.
    patience: Option<Pin<Box<Sleep>>>,
    ended: Pin<Box<dyn Future<Output = ()>>>,
    alarm: Pin<Box<Sleep>>,
}

impl Peer {
    pub(super) fn new(port: Port, socket: Accepted) -> Peer {
        let now = clock::now();
        Peer {
            socket,
            inbox: Inbox::new(MOST_REQUEST),
            outbox: Outbox::default(),
            ended: Box::pin(port.ended()),
            core: Core::new(port, now),
            over: false,
            waits: false,
            patience: None,
            alarm: Box::pin(sleep_until(now.into())),
        }
    }

    /// Until the peer or the client is gone.
    pub(super) async fn run(mut self) {
        poll_fn(|cx| self.drive(cx)).await;
    }

    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.core.queue.wake_with(cx);
        if self.ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        for _ in 0..ROUNDS {
            match self.turn(cx) {
                Turn::More => {}
                Turn::Waits => return Poll::Pending,
                Turn::Over => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Turn {
        let mut more = self.take_ends() | self.take_requests();
        more |= self.hear(cx) | self.try_again(cx);
        if self.core.end == End::Now || self.core.is_overrun() {
            return Turn::Over;
        }
        self.outbox.take(&mut self.core.out);
        let Ok(wrote) = self.write(cx) else { return Turn::Over };
        self.core.unread = self.outbox.len();
        self.core.make_room();
        more |= wrote;
        if self.is_deaf(cx, wrote) {
            return Turn::Over;
        }
        let done = self.core.slots.is_empty() && self.outbox.is_empty();
        if done && !more && (self.core.end == End::Behind || self.over) {
            return Turn::Over;
        }
        match self.read(cx) {
            Ok(read) => more |= read,
            Err(()) => return Turn::Over,
        }
        match more {
            true => Turn::More,
            false => Turn::Waits,
        }
    }

    /// Tells how calls have ended. True when there may be more.
    fn take_ends(&mut self) -> bool {
        let (core, now) = (&mut self.core, clock::now());
        let queue = Arc::clone(&core.queue);
        queue.take_some(LOAD, |entry| core.completed(entry, now)) > 0
    }

    /// Tells what was heard. True when there may be more.
    fn hear(&mut self, cx: &mut Context<'_>) -> bool {
        let core = &mut self.core;
        let Some(listening) = &core.listening else { return false };
        let queue = Arc::clone(&listening.queue);
        queue.wake_with(cx);
        let mut taken = queue.take_some(LOAD, |entry| core.heard(entry));
        if let Some(until) = core.listening.as_ref().and_then(|listening| listening.waits_until()) {
            if let Some(at) = until.at().instant() {
                self.alarm.as_mut().reset(at.into());
                if self.alarm.as_mut().poll(cx).is_ready() {
                    core.look_at_the_time();
                    taken += 1;
                }
            }
        }
        taken > 0
    }

    /// Has a call tried again that found too many of other sockets under way. True when its time has come.
    fn try_again(&mut self, cx: &mut Context<'_>) -> bool {
        if self.core.full_until.is_none() {
            return false;
        }
        self.alarm.as_mut().reset((clock::now() + PAUSE).into());
        self.alarm.as_mut().poll(cx).is_ready()
    }

    /// Takes requests up as far as their turn has come. True when there may be more.
    fn take_requests(&mut self) -> bool {
        let now = clock::now();
        self.waits = false;
        for _ in 0..LOAD {
            if !self.core.is_open() {
                self.waits = true;
                return false;
            }
            match self.inbox.next() {
                Ok(true) => {}
                Ok(false) => return false,
                Err(fault) => {
                    self.core.say(|to| _ = to.error(format!("ERR {fault}")));
                    self.core.end = End::Behind;
                    return false;
                }
            }
            // A peer that says nothing more may be gone: nobody waits for what might come much later.
            if self.over && self.core.would_wait(&self.inbox.args()) {
                self.core.end = End::Behind;
                return false;
            }
            if self.core.take_up(&self.inbox.args(), self.inbox.whole(), now) == Taken::Later {
                self.waits = true;
                return false;
            }
            self.inbox.take();
        }
        true
    }

    /// Whether a peer that may ask for nothing more before it reads has read nothing for as long as a call may last.
    fn is_deaf(&mut self, cx: &mut Context<'_>, wrote: bool) -> bool {
        let asks = self.waits && self.inbox.len() > 0;
        if wrote || !asks || self.outbox.is_empty() || !self.core.is_shut() {
            self.patience = None;
            return false;
        }
        if self.patience.is_none() {
            let until = self.core.port.deadline().ok().and_then(|until| until.at().instant());
            self.patience = until.map(|until| Box::pin(sleep_until(until.into())));
        }
        let patience = self.patience.as_mut();
        patience.is_some_and(|patience| patience.as_mut().poll(cx).is_ready())
    }

    /// Sends what there is. True when something was sent; an error is the end.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, ()> {
        let mut wrote = false;
        while !self.outbox.is_empty() {
            match self.socket.poll_write(cx, &self.outbox.parts()) {
                Poll::Pending => return Ok(wrote),
                Poll::Ready(Ok(count)) if count > 0 => self.outbox.sent(count),
                Poll::Ready(_) => return Err(()),
            }
            wrote = true;
        }
        Ok(wrote)
    }

    /// Receives what there is, where there is room for it. True when something came; an error is the end.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, ()> {
        if self.over || self.core.end != End::Open || (self.waits && self.inbox.len() >= MOST_AHEAD) {
            return Ok(false);
        }
        match self.socket.poll_read(cx, || self.inbox.room()) {
            Poll::Pending => Ok(false),
            // A peer that is gone wants no reply to what waits in the server for its sake.
            Poll::Ready(Ok(0)) if self.core.waits() => Err(()),
            Poll::Ready(Ok(0)) => {
                self.over = true;
                Ok(true)
            }
            Poll::Ready(Ok(count)) => {
                self.inbox.filled(count);
                Ok(true)
            }
            Poll::Ready(Err(_)) => Err(()),
        }
    }
}

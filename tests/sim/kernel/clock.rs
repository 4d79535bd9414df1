//! The clock: tokio's paused one is the only one there is.

use std::cell::{Cell, RefCell};
use std::pin::{Pin, pin};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// The clock stands there when a run begins: moments before it can be told, too.
const BEGIN: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

#[derive(Default)]
pub(crate) struct Time {
    /// The moment of tokio's clock at which ours begins.
    base: Cell<Option<Instant>>,
    last: Cell<u64>,
    sleep: RefCell<Option<Pin<Box<Sleep>>>>,
}

impl Time {
    /// Ours begins with tokio's.
    pub(super) fn begin(&self) {
        if self.base.get().is_none() {
            self.base.set(Some(tokio::time::Instant::now().into_std()));
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.last.get().max(BEGIN)
    }

    /// Looks at tokio's clock: it moves where it is told to, and where tokio parks.
    pub(super) fn look(&self) {
        if let Some(base) = self.base.get() {
            let since = tokio::time::Instant::now().into_std().saturating_duration_since(base);
            self.last
                .set(BEGIN + u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    pub(super) fn instant(&self, nanos: u64) -> Instant {
        let base = self.base.get().expect("the runtime runs");
        if nanos >= BEGIN {
            base + Duration::from_nanos(nanos - BEGIN)
        } else {
            base - Duration::from_nanos(BEGIN - nanos)
        }
    }

    pub(super) fn nanos(&self, at: Instant) -> u64 {
        let base = self.base.get().expect("the runtime runs");
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        match at.checked_duration_since(base) {
            Some(later) => BEGIN.saturating_add(nanos(later)),
            None => BEGIN.saturating_sub(nanos(base - at)).max(1),
        }
    }

    /// The next moment at which a timer of tokio can be due: now, when it is one.
    pub(super) fn next_tick(&self, now: u64) -> u64 {
        now.div_ceil(MS) * MS
    }

    /// Lets so much time pass at once.
    pub(super) fn advance(&self, nanos: u64) {
        if nanos > 0 && self.base.get().is_some() {
            let mut advance = pin!(tokio::time::advance(Duration::from_nanos(nanos)));
            // The clock has moved with the first look; what follows is a turn for others.
            let _ = advance.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            self.last.set(self.now() + nanos);
        }
    }

    /// Lets tokio pass the time until its next timer, or until then.
    pub(super) fn sleep_until(&self, nanos: u64, cx: &mut Context<'_>) {
        let at = self.instant(nanos).into();
        let mut sleep = self.sleep.borrow_mut();
        let sleep = sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        sleep.as_mut().reset(at);
        let _ = pin!(tokio::task::unconstrained(sleep.as_mut())).poll(cx);
    }
}

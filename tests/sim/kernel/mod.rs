//! The simulated kernel: threads that are fibers of one, a clock that moves when nothing else can, and the seed that
//! decides who is next. One simulation is one operating system thread, so what it does is a function of its seed.

pub(crate) mod clock;
pub(crate) mod fibers;
mod random;
pub(crate) mod trace;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

use fibers::Fibers;
pub(crate) use trace::Trace;

/// Something that happens at its time, outside of all fibers and tasks.
type Event = Box<dyn FnOnce()>;

/// How a seed treats its threads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Temper {
    /// How often, in 256, a thread loses its turn at a system call or a lock.
    pub(crate) preempts: u8,
    /// How often, in 256, sentinel-io has its turn after a thread had one.
    pub(crate) yields: u8,
    /// What a system call costs at most, nanoseconds.
    pub(crate) costs: u64,
}

/// One simulation.
pub(crate) struct Kernel {
    pub(crate) rng: RefCell<fastrand::Rng>,
    pub(crate) temper: Cell<Temper>,
    pub(crate) trace: Trace,
    pub(crate) fibers: Fibers,
    time: clock::Time,
    events: RefCell<BTreeMap<(u64, u64), Event>>,
    next_event: Cell<u64>,
    main: RefCell<Option<Waker>>,
    /// sentinel-io may park, and the time with it.
    may_park: Cell<bool>,
    /// Nothing has happened since sentinel-io was last seen idle.
    settled: Cell<bool>,
    /// System calls of the virtual second that runs.
    calls: Cell<(u64, u64)>,
}

/// More system calls in a second than anything here has reason for.
const MOST_CALLS: u64 = 150_000;

thread_local! {
    static KERNEL: Cell<Option<&'static Kernel>> = const { Cell::new(None) };
}

/// The simulation of this thread.
pub(crate) fn kernel() -> &'static Kernel {
    KERNEL.get().expect("a simulation runs on this thread")
}

/// Whether there is one: sources of the library may be dropped after it.
pub(crate) fn is_running() -> bool {
    KERNEL.get().is_some()
}

impl Kernel {
    /// Begins the simulation of this thread. It is never freed: its process ends with it.
    pub(crate) fn start(seed: u64, temper: Temper, tells: bool) -> &'static Kernel {
        let kernel: &'static Kernel = Box::leak(Box::new(Kernel {
            rng: RefCell::new(fastrand::Rng::with_seed(seed)),
            temper: Cell::new(temper),
            trace: Trace::new(tells),
            fibers: Fibers::default(),
            time: clock::Time::default(),
            events: RefCell::default(),
            next_event: Cell::new(0),
            main: RefCell::default(),
            may_park: Cell::new(false),
            settled: Cell::new(false),
            calls: Cell::new((0, 0)),
        }));
        KERNEL.set(Some(kernel));
        kernel
    }

    /// Nanoseconds since the beginning, from 1 s on.
    pub(crate) fn now(&self) -> u64 {
        self.time.now()
    }

    /// The standard library's word for a moment.
    pub(crate) fn instant(&self, nanos: u64) -> std::time::Instant {
        self.time.instant(nanos)
    }

    /// The moment of the standard library's word.
    pub(crate) fn nanos(&self, at: std::time::Instant) -> u64 {
        self.time.nanos(at)
    }

    /// Has `event` happen then.
    pub(crate) fn at(&self, nanos: u64, event: impl FnOnce() + 'static) {
        let number = self.next_event.get();
        self.next_event.set(number + 1);
        self.events.borrow_mut().insert((nanos, number), Box::new(event));
    }

    /// Has `event` happen so much later.
    pub(crate) fn after(&self, nanos: u64, event: impl FnOnce() + 'static) {
        self.at(self.now() + nanos, event);
    }

    /// A system call: it takes a moment, and others may have their turn before it.
    pub(crate) fn call(&self, name: &'static str) {
        let cost = self.below(self.temper.get().costs.max(1));
        self.time.advance(cost);
        self.count(name);
        self.preempt();
    }

    /// A place at which another thread may have its turn.
    pub(crate) fn preempt(&self) {
        if self.byte() >= self.temper.get().preempts {
            return;
        }
        if self.fibers.is_inside() {
            self.fibers.give_way();
            return;
        }
        for _ in 0..=self.below(3) {
            if !self.run_one() {
                return;
            }
        }
    }

    fn count(&self, name: &'static str) {
        let second = self.now() / 1_000_000_000;
        let (of, calls) = self.calls.get();
        let calls = if of == second { calls + 1 } else { 1 };
        self.calls.set((second, calls));
        assert!(
            calls < MOST_CALLS,
            "{calls} system calls in a second, the last one {name}: somebody turns in circles"
        );
    }

    /// Gives a turn to one thread that can use it.
    fn run_one(&self) -> bool {
        let Some(fiber) = self.fibers.choose(|count| self.index(count)) else {
            return false;
        };
        self.settled.set(false);
        self.fibers.resume(fiber);
        true
    }

    /// Lets what is due happen.
    fn happen(&self) {
        loop {
            let now = self.now();
            let event = {
                let mut events = self.events.borrow_mut();
                match events.first_entry() {
                    Some(first) if first.key().0 <= now => first.remove(),
                    _ => return,
                }
            };
            self.settled.set(false);
            event();
        }
    }

    fn next_at(&self) -> Option<u64> {
        self.events.borrow().keys().next().map(|(at, _)| *at)
    }

    /// The clock of the runtime begins.
    pub(crate) fn begin(&self, cx: &Context<'_>) {
        self.main.replace(Some(cx.waker().clone()));
        self.time.begin();
    }

    /// What sentinel-io's thread does when no task of it can go on. Ready when `is_over` says so.
    pub(crate) fn turn(&self, cx: &mut Context<'_>, is_over: impl Fn() -> bool) -> Poll<()> {
        loop {
            self.happen();
            if is_over() {
                return Poll::Ready(());
            }
            if self.run_one() {
                if self.byte() < self.temper.get().yields {
                    return Poll::Pending;
                }
                continue;
            }
            if !self.settled.replace(true) {
                return Poll::Pending;
            }
            if self.pass(cx) {
                return Poll::Pending;
            }
        }
    }

    /// Nothing can go on: lets time pass. True when tokio is to do it, or to look at its timers.
    fn pass(&self, cx: &mut Context<'_>) -> bool {
        const MS: u64 = 1_000_000;
        let now = self.now();
        let next = self.next_at().expect("the end of the run is an event");
        // Timers of tokio are due at whole milliseconds of its own clock, which begins with ours.
        let tick = self.time.next_tick(now);
        if now < tick {
            self.time.advance(next.min(tick).saturating_sub(now));
            self.settled.set(false);
            return true;
        }
        if next - now >= MS {
            self.time.sleep_until(next - (next - now) % MS, cx);
            self.may_park.set(true);
            self.settled.set(false);
            return true;
        }
        self.time.advance(next - now);
        false
    }

    /// sentinel-io is about to park.
    pub(crate) fn parking(&self) {
        if self.may_park.replace(false) {
            return;
        }
        if let Some(main) = &*self.main.borrow() {
            main.wake_by_ref();
        }
    }

    /// It has parked: tokio may have moved the clock.
    pub(crate) fn parked(&self) {
        self.time.look();
    }

    /// Waits on `key` with some of `bits`, by fiber or by sentinel-io's thread itself; false when `until` passed first.
    pub(crate) fn wait(&self, key: usize, bits: u32, until: Option<u64>) -> bool {
        let token = self.fibers.enter(key, bits);
        if let Some(until) = until {
            self.at(until, move || kernel().fibers.expire(token));
        }
        if self.fibers.is_inside() {
            self.fibers.sleep();
        } else {
            self.drive(token);
        }
        self.fibers.leave(token)
    }

    /// sentinel-io's thread itself waits in the middle of a task: for a lock that a fiber holds.
    fn drive(&self, token: u64) {
        let began = self.now();
        while self.fibers.still_waits(token) {
            if self.run_one() {
                continue;
            }
            let next = self.next_at().expect("the end of the run is an event");
            self.time.advance(next.saturating_sub(self.now()));
            self.happen();
            let waits = self.now() - began;
            assert!(waits < 20_000_000, "sentinel-io has waited {waits} ns for a lock");
        }
    }

    /// Lets this thread of the program sleep.
    pub(crate) fn sleep(&self, nanos: u64) {
        let until = self.now() + nanos;
        while self.now() < until {
            self.wait(0, 0, Some(until));
        }
    }

    /// Wakes up to `most` of those who wait on `key` with one of `bits`.
    pub(crate) fn wake(&self, key: usize, bits: u32, most: usize) -> usize {
        self.fibers.wake(key, bits, most)
    }
}

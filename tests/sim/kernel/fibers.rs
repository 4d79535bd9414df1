//! The program's threads, as fibers of the simulation's one thread: exactly one runs at a time, until it gives way.

use std::cell::{Cell, RefCell};

use generator::{Generator, Gn};

/// No fiber: sentinel-io's own thread.
const ROOT: usize = usize::MAX;

/// Words of a fiber's stack.
const STACK: usize = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Runnable,
    Waiting,
    Running,
    Done,
}

struct Fiber {
    name: &'static str,
    number: usize,
    state: State,
    stack: Option<Generator<'static, (), ()>>,
}

struct Waiter {
    token: u64,
    key: usize,
    bits: u32,
    fiber: usize,
    woken: Option<bool>,
}

/// What never leaves its thread.
struct Here<F>(F);

// SAFETY: it is run where it was made: fibers are resumed by the thread that spawned them.
unsafe impl<F> Send for Here<F> {}

impl<F: FnOnce()> Here<F> {
    fn run(self) {
        (self.0)();
    }
}

#[derive(Default)]
pub(crate) struct Fibers {
    all: RefCell<Vec<Fiber>>,
    current: Cell<Option<usize>>,
    waiters: RefCell<Vec<Waiter>>,
    next_token: Cell<u64>,
}

impl Fibers {
    /// A new thread of the program.
    pub(crate) fn spawn(&self, name: &'static str, body: impl FnOnce() + 'static) -> usize {
        let body = Here(body);
        #[allow(
            deprecated,
            reason = "with a scope, that would have to be handed through the library's own code"
        )]
        let stack = Gn::<()>::new_opt(STACK, move || body.run());
        let mut all = self.all.borrow_mut();
        let number = all.len();
        all.push(Fiber {
            name,
            number,
            state: State::Runnable,
            stack: Some(stack),
        });
        number
    }

    /// Whether one of them runs.
    pub(crate) fn is_inside(&self) -> bool {
        self.current.get().is_some()
    }

    /// Who runs.
    pub(crate) fn name(&self) -> String {
        match self.current.get() {
            None => "io".to_owned(),
            Some(current) => {
                let all = self.all.borrow();
                format!("{}{}", all[current].name, all[current].number)
            }
        }
    }

    /// The number of who runs.
    pub(crate) fn current(&self) -> usize {
        self.current.get().unwrap_or(ROOT)
    }

    /// Whether all of them have ended.
    pub(crate) fn are_done(&self) -> bool {
        self.all.borrow().iter().all(|fiber| fiber.state == State::Done)
    }

    /// Those that have not.
    pub(crate) fn left(&self) -> Vec<String> {
        let all = self.all.borrow();
        let left = all.iter().filter(|fiber| fiber.state != State::Done);
        left.map(|fiber| format!("{}{}", fiber.name, fiber.number)).collect()
    }

    /// One that can go on.
    pub(super) fn choose(&self, choice: impl FnOnce(usize) -> usize) -> Option<usize> {
        let all = self.all.borrow();
        let runnable = || all.iter().filter(|fiber| fiber.state == State::Runnable);
        match runnable().count() {
            0 => None,
            1 => runnable().next().map(|fiber| fiber.number),
            count => runnable().nth(choice(count)).map(|fiber| fiber.number),
        }
    }

    /// Gives it a turn.
    pub(super) fn resume(&self, fiber: usize) {
        let mut stack = {
            let mut all = self.all.borrow_mut();
            all[fiber].state = State::Running;
            all[fiber].stack.take().expect("it does not run")
        };
        let before = self.current.replace(Some(fiber));
        assert!(before.is_none(), "only sentinel-io's thread gives turns");
        stack.resume();
        self.current.set(None);
        let mut all = self.all.borrow_mut();
        if stack.is_done() {
            all[fiber].state = State::Done;
        } else {
            all[fiber].stack = Some(stack);
        }
    }

    #[allow(deprecated, reason = "as above")]
    fn switch(&self, state: State) {
        if let Some(current) = self.current.get() {
            self.all.borrow_mut()[current].state = state;
            generator::yield_with(());
        }
    }

    /// Others have their turn first.
    pub(super) fn give_way(&self) {
        self.switch(State::Runnable);
    }

    /// Sleeps until its waiter is woken.
    pub(super) fn sleep(&self) {
        self.switch(State::Waiting);
    }

    /// Enters a waiter on `key`.
    pub(super) fn enter(&self, key: usize, bits: u32) -> u64 {
        let token = self.next_token.get();
        self.next_token.set(token + 1);
        self.waiters.borrow_mut().push(Waiter {
            token,
            key,
            bits,
            fiber: self.current(),
            woken: None,
        });
        token
    }

    /// Removes it; whether it was woken before its time.
    pub(super) fn leave(&self, token: u64) -> bool {
        let mut waiters = self.waiters.borrow_mut();
        let place = waiters.iter().position(|waiter| waiter.token == token);
        waiters.remove(place.expect("it was entered")).woken == Some(true)
    }

    pub(super) fn still_waits(&self, token: u64) -> bool {
        let waiters = self.waiters.borrow();
        waiters
            .iter()
            .any(|waiter| waiter.token == token && waiter.woken.is_none())
    }

    /// Its time has come.
    pub(super) fn expire(&self, token: u64) {
        self.end(1, false, |waiter| waiter.token == token);
    }

    /// Wakes those who wait on `key`.
    pub(super) fn wake(&self, key: usize, bits: u32, most: usize) -> usize {
        self.end(most, true, |waiter| waiter.key == key && waiter.bits & bits != 0)
    }

    fn end(&self, most: usize, woken: bool, which: impl Fn(&Waiter) -> bool) -> usize {
        let mut count = 0;
        let mut waiters = self.waiters.borrow_mut();
        let mut all = self.all.borrow_mut();
        for waiter in waiters.iter_mut().filter(|waiter| waiter.woken.is_none()) {
            if count < most && which(waiter) {
                waiter.woken = Some(woken);
                count += 1;
                if waiter.fiber != ROOT {
                    all[waiter.fiber].state = State::Runnable;
                }
            }
        }
        count
    }
}

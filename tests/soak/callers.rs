//! The callers: what each of them does, and what it knows afterwards.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sentinel::resp::{Kind, Reply};
use sentinel::{Batch, BatchKind, CallOptions, Client, Error, Outcome};

use crate::ledger::Ledger;
use crate::punctual::{Begun, Punctual, Way};

/// Deadlines of the calls.
pub(crate) const TIMEOUTS_MS: [i64; 5] = [50, 100, 250, 1000, 3000];

/// What all callers share.
pub(crate) struct World {
    pub(crate) primary: Client,
    pub(crate) replica: Client,
    pub(crate) punctual: Punctual,
    pub(crate) stopped: AtomicBool,
    pub(crate) succeeded: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) started: Instant,
    pub(crate) last_success_ms: AtomicU64,
    pub(crate) gap_ms: AtomicU64,
    pub(crate) pause: Duration,
}

/// What a caller does all the time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Habit {
    Counts,
    SetsAndGets,
    Pipelines,
    Transacts,
    ReadsReplicas,
}

/// The habits of the sixteen.
pub(crate) fn habit(number: usize) -> Habit {
    match number {
        0..=8 => Habit::Counts,
        9..=11 => Habit::SetsAndGets,
        12..=13 => Habit::Pipelines,
        14 => Habit::Transacts,
        _ => Habit::ReadsReplicas,
    }
}

/// What a caller brings home.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) key: String,
    pub(crate) ledger: Ledger,
    pub(crate) not_sent: u64,
    pub(crate) refused: u64,
}

impl World {
    pub(crate) fn call<T>(
        &self,
        random: &mut fastrand::Rng,
        on_primary: bool,
        call: impl FnOnce(&CallOptions) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let timeout_ms = TIMEOUTS_MS[random.usize(..TIMEOUTS_MS.len())];
        let options = CallOptions {
            timeout_ms,
            ..CallOptions::default()
        };
        let began = Begun::now();
        let result = call(&options);
        self.punctual
            .note(Way::Waited, &began, Duration::from_millis(timeout_ms.unsigned_abs()));
        self.count(on_primary, result.is_ok());
        result
    }

    pub(crate) fn count(&self, on_primary: bool, well: bool) {
        match well {
            true => self.succeed(on_primary),
            false => {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn succeed(&self, on_primary: bool) {
        self.succeeded.fetch_add(1, Ordering::Relaxed);
        if on_primary {
            let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let before = self.last_success_ms.fetch_max(now, Ordering::Relaxed);
            self.gap_ms.fetch_max(now.saturating_sub(before), Ordering::Relaxed);
        }
    }
}

impl Account {
    pub(crate) fn fail(&mut self, error: &Error, increments: usize) {
        self.ledger.remember(format!("{:?}: {error}", error.outcome()));
        match error.outcome() {
            Outcome::Unknown => (0..increments).for_each(|_| self.ledger.leave_unknown(Instant::now())),
            Outcome::NotSent => self.not_sent += 1,
            Outcome::Refused => self.refused += 1,
        }
    }

    /// One element of a batch that is an INCR.
    fn element(&mut self, kind: Kind, integer: i64, text: &str) {
        match (kind, text.split(' ').next()) {
            (Kind::Integer, _) => self.ledger.acknowledge(integer, Instant::now()),
            (Kind::Error, Some("UNKNOWN")) => self.ledger.leave_unknown(Instant::now()),
            (Kind::Error, Some("NOTSENT")) => self.not_sent += 1,
            (Kind::Error, _) => self.refused += 1,
            other => self.ledger.violations.push(format!("INCR was answered with {other:?}")),
        }
    }

    fn elements(&mut self, reply: &Reply, increments: usize) {
        for element in reply.elements().take(increments) {
            if element.kind() == Kind::Error {
                self.ledger.remember(element.text().into_owned());
            }
            self.element(element.kind(), element.integer(), &element.text());
        }
    }
}

/// Calls until the world stops.
pub(crate) fn live(world: &World, number: usize, seed: u64) -> Account {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut account = Account {
        key: format!("soak:{number}"),
        ..Account::default()
    };
    let mut turn = 0;
    while !world.stopped.load(Ordering::Relaxed) {
        turn += 1;
        match habit(number) {
            Habit::Counts => count(world, &mut random, &mut account),
            Habit::SetsAndGets => set_and_get(world, &mut random, &mut account, turn),
            Habit::Pipelines => batch(world, &mut random, &mut account, BatchKind::Pipeline),
            Habit::Transacts => batch(world, &mut random, &mut account, BatchKind::Transaction),
            Habit::ReadsReplicas => read(world, &mut random, &mut account, 9 + turn as usize % 3),
        }
        std::thread::sleep(world.pause);
    }
    account
}

fn count(world: &World, random: &mut fastrand::Rng, account: &mut Account) {
    let key = account.key.clone();
    let args: [&[u8]; 2] = [b"INCR", key.as_bytes()];
    match world.call(random, true, |call| world.primary.command(&args, call)) {
        Ok(reply) => account.ledger.acknowledge(reply.integer(), Instant::now()),
        Err(error) => account.fail(&error, 1),
    }
}

fn set_and_get(world: &World, random: &mut fastrand::Rng, account: &mut Account, turn: u64) {
    let (key, value) = (account.key.clone(), format!("{}:{turn}", account.key));
    let set: [&[u8]; 3] = [b"SET", key.as_bytes(), value.as_bytes()];
    if let Err(error) = world.call(random, true, |call| world.primary.command(&set, call)) {
        return account.fail(&error, 0);
    }
    let get: [&[u8]; 2] = [b"GET", key.as_bytes()];
    match world.call(random, true, |call| world.primary.command(&get, call)) {
        Ok(reply) => check_value(account, &key, &reply),
        Err(error) => account.fail(&error, 0),
    }
}

/// A value is one that the key's own caller once set, or none: never another call's reply.
fn check_value(account: &mut Account, key: &str, reply: &Reply) {
    let text = reply.text();
    if !reply.is_nil() && !text.starts_with(&format!("{key}:")) {
        account.ledger.violations.push(format!("GET {key} gave {text:?}"));
    }
}

fn batch(world: &World, random: &mut fastrand::Rng, account: &mut Account, kind: BatchKind) {
    const INCREMENTS: usize = 3;
    let key = account.key.clone();
    let mut commands = Batch::new(kind);
    (0..INCREMENTS).for_each(|_| commands.add(&[b"INCR", key.as_bytes()]).unwrap());
    commands.add(&[b"GET", key.as_bytes()]).unwrap();
    match world.call(random, true, |call| world.primary.batch(&commands, call)) {
        Ok(reply) => account.elements(&reply, INCREMENTS),
        Err(error) => account.fail(&error, INCREMENTS),
    }
}

fn read(world: &World, random: &mut fastrand::Rng, account: &mut Account, whose: usize) {
    let key = format!("soak:{whose}");
    let get: [&[u8]; 2] = [b"GET", key.as_bytes()];
    match world.call(random, false, |call| world.replica.command(&get, call)) {
        Ok(reply) => check_value(account, &key, &reply),
        Err(error) => account.fail(&error, 0),
    }
}

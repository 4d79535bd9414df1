//! Discovery over the simulated kernel: its own sources, and a world of Sentinels that die, move, come back as somebody
//! else, leave their address to those of another deployment, list the dead by the hundred, and fail over in between.
//!
//! `WORLD=sentinels SEED=n` runs one with its story.

mod absence;
mod answers;
mod court;
mod foresight;
mod names;
mod story;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::sync::Arc;

pub(crate) use answers::answer;
use court::Court;
pub(crate) use names::{Found, look_up};
use story::Tale;

use crate::kernel::trace::tell;
use crate::kernel::{Kernel, Temper, kernel};
use crate::ledger::Ledger;
use crate::network::{Network, Weather, network};
use crate::node::{Life, Node};
use crate::random;
use crate::run::Report;

const MS: u64 = 1_000_000;

thread_local! {
    static COURT: Cell<Option<&'static RefCell<Court>>> = const { Cell::new(None) };
}

/// Whether this thread's simulation is one of Sentinels.
pub(crate) fn is_running() -> bool {
    COURT.get().is_some()
}

/// Does something with the world.
fn court<T>(body: impl FnOnce(&mut Court) -> T) -> T {
    body(
        &mut COURT
            .get()
            .expect("a simulation of Sentinels runs on this thread")
            .borrow_mut(),
    )
}

/// A connection is being made.
pub(crate) fn dialled() {
    if is_running() {
        court(|court| court.dials.push(kernel().now()));
    }
}

/// Runs a seed on a thread of its own; it panics where a promise is not kept.
pub(crate) fn run(seed: u64, tells: bool) -> Report {
    let thread = std::thread::Builder::new().name(format!("seed {seed}"));
    let running = thread.spawn(move || on_this_thread(seed, tells)).unwrap();
    running.join().unwrap()
}

fn on_this_thread(seed: u64, tells: bool) -> Report {
    random::seed(seed);
    let temper = Temper {
        preempts: 0,
        yields: 255,
        costs: 1,
    };
    let kernel = Kernel::start(seed, temper, tells);
    Ledger::start();
    let tale = Tale::of(seed);
    tell(|| format!("{tale:#?}"));
    let network = Network::start(tale.weather());
    network
        .nodes
        .borrow_mut()
        .extend((0..court::SLOTS).map(|slot| node(slot, tale.old)));
    COURT.set(Some(Box::leak(Box::new(RefCell::new(Court::new(&tale))))));
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .on_thread_park(|| crate::kernel::kernel().parking())
        .on_thread_unpark(|| crate::kernel::kernel().parked())
        .build_local(tokio::runtime::LocalOptions::default())
        .unwrap();
    let asked = tokio.block_on(async {
        std::future::poll_fn(|cx| {
            kernel.begin(cx);
            std::task::Poll::Ready(())
        })
        .await;
        kernel.at(story::END + 60_000 * MS, || panic!("the story does not end"));
        let client = story::begin(tale);
        std::future::poll_fn(|cx| kernel.turn(cx, || court(|court| court.over))).await;
        drop(client);
        court(|court| court.asked)
    });
    Report {
        hash: kernel.trace.hash(),
        steps: kernel.trace.steps(),
        calls: asked,
    }
}

/// Where the Sentinel of a slot listens.
fn address(slot: usize) -> SocketAddr {
    SocketAddr::from(([10, 1, 0, u8::try_from(slot + 1).unwrap()], 26_379))
}

fn node(slot: usize, old: bool) -> Node {
    Node {
        number: slot,
        address: address(slot),
        is_primary: false,
        life: Life::Down,
        loading: false,
        speaks_tls: false,
        is_old: old,
        passwords: Vec::new(),
        rotation: 0,
        hasty: 0,
        was_hasty: false,
        chatty: 0,
        moody: 0,
    }
}

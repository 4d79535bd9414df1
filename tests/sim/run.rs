//! One run: the life of a program under one seed.

use std::net::SocketAddr;

use crate::kernel::trace::tell;
use crate::kernel::{Kernel, kernel};
use crate::ledger::Ledger;
use crate::network::Network;
use crate::node::{Life, Node};
use crate::plan::Plan;
use crate::{program, random};

/// What came of it. Two runs of one seed have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) hash: u64,
    pub(crate) steps: u64,
    pub(crate) calls: u64,
}

/// No program here takes longer, in its own time.
const END: u64 = 120_000_000_000;

/// Runs a seed on a thread of its own; it panics where a promise is not kept.
pub(crate) fn run(seed: u64, tells: bool) -> Report {
    let thread = std::thread::Builder::new().name(format!("seed {seed}"));
    let running = thread.spawn(move || on_this_thread(seed, tells)).unwrap();
    running.join().unwrap()
}

fn on_this_thread(seed: u64, tells: bool) -> Report {
    random::seed(seed);
    let plan = Plan::of(seed);
    let kernel = Kernel::start(seed, plan.temper, tells);
    let network = Network::start(plan.weather);
    let ledger = Ledger::start();
    tell(|| format!("{plan:#?}"));
    network
        .nodes
        .borrow_mut()
        .extend((0..plan.nodes).map(|number| node(number, &plan)));
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .on_thread_park(|| crate::kernel::kernel().parking())
        .on_thread_unpark(|| crate::kernel::kernel().parked())
        .build_local(tokio::runtime::LocalOptions::default())
        .unwrap();
    tokio.block_on(async {
        std::future::poll_fn(|cx| {
            kernel.begin(cx);
            std::task::Poll::Ready(())
        })
        .await;
        kernel.at(END, || {
            panic!("the program does not end: {:?}", crate::kernel::kernel().fibers.left())
        });
        let program = program::start(plan);
        std::future::poll_fn(|cx| kernel.turn(cx, || kernel.fibers.are_done())).await;
        drop(program);
    });
    Report {
        hash: kernel.trace.hash(),
        steps: kernel.trace.steps(),
        calls: ledger.count() as u64,
    }
}

fn node(number: usize, plan: &Plan) -> Node {
    let passwords = if plan.asks_login {
        vec!["first".to_owned()]
    } else {
        Vec::new()
    };
    Node {
        number,
        address: SocketAddr::from(([10, 0, 0, u8::try_from(number + 1).unwrap()], 6_379)),
        is_primary: number == 0,
        life: Life::Up,
        loading: false,
        speaks_tls: plan.tls,
        is_old: plan.old_nodes,
        passwords,
        rotation: 0,
        hasty: plan.hasty,
        was_hasty: plan.hasty > 0,
        chatty: plan.chatty,
        moody: plan.moody,
    }
}

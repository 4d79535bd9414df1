//! What befalls the nodes and the service while the program calls, and the end of a run.

use std::rc::Rc;
use std::sync::Arc;

use super::{MS, Phase, Program, caller};
use crate::base::error::Reason;
use crate::kernel::kernel;
use crate::kernel::trace::note;
use crate::ledger::{broken, ledger};
use crate::net::Endpoint;
use crate::network::{Connection, Fin, Side, network};
use crate::node::{self, Life};
use crate::plan::Mischief;
use crate::topology::{Node, Role, Snapshot, Writes};

/// How long the library may take after the storm: its own patience with a silent lane is 2 s.
const CALM: u64 = 6_000 * MS;
const WELL: u64 = 1_500 * MS;

/// Whom the Sentinels name, as the conductor has it.
struct Service {
    primary: usize,
    epoch: u64,
    generation: u64,
    rotations: u64,
}

pub(super) fn run(program: &Rc<Program>) {
    let kernel = kernel();
    let mut service = Service {
        primary: 0,
        epoch: 1,
        generation: 0,
        rotations: 0,
    };
    kernel.sleep(kernel.pick(&[0, 0, MS, 50 * MS]));
    tell_of(program, &mut service);
    let end = kernel.now() + program.plan.storm;
    while kernel.now() < end {
        let pause = kernel.between(MS, program.plan.pause);
        kernel.sleep(pause.min(end.saturating_sub(kernel.now()).max(1)));
        if !program.plan.mischief.is_empty() {
            disturb(program, &mut service);
        }
        while program.discovery.borrow_mut().requests.try_recv().is_ok() {}
    }
    calm(program, &mut service);
    program.phase.set(Phase::Calm);
    kernel.sleep(CALM);
    program.phase.set(Phase::Well);
    kernel.sleep(WELL);
    program.phase.set(Phase::Over);
    while program.busy.get() > 0 || program.submitted.left() > 0 {
        kernel.sleep(10 * MS);
    }
    finish(program);
}

/// The Sentinels name the primary and the replicas.
fn tell_of(program: &Program, service: &mut Service) {
    service.generation += 1;
    let nodes: Vec<(usize, Endpoint)> = {
        let nodes = network().nodes.borrow();
        let all = nodes.iter().map(|node| (node.number, node.address));
        all.map(|(number, at)| (number, Endpoint::new(at.ip().to_string(), at.port())))
            .collect()
    };
    let node = |endpoint: &Endpoint, role| Node {
        endpoint: endpoint.clone(),
        role,
        fields: Vec::new(),
    };
    let primary = node(&nodes[service.primary].1, Role::Primary);
    let replicas = nodes.iter().filter(|(number, _)| *number != service.primary);
    let snapshot = Snapshot {
        epoch: service.epoch,
        primary: Some(primary),
        replicas: replicas.map(|(_, endpoint)| node(endpoint, Role::Replica)).collect(),
        generation: service.generation,
        ..Snapshot::default()
    };
    note("named", service.primary as u64, service.epoch);
    program.discovery.borrow().snapshot.send_if_modified(|current| {
        let writes = current.writes;
        *current = Arc::new(Snapshot { writes, ..snapshot });
        true
    });
}

fn disturb(program: &Rc<Program>, service: &mut Service) {
    let kernel = kernel();
    let mischief = kernel.pick(&program.plan.mischief);
    note("mischief", mischief as u64, 0);
    let nodes = network().nodes.borrow().len();
    match mischief {
        Mischief::Switch => switch(program, service),
        Mischief::Freeze => pass_away(kernel.index(nodes), Life::Frozen),
        Mischief::Away => pass_away(kernel.index(nodes), Life::Away),
        Mischief::Crash => pass_away(kernel.index(nodes), Life::Down),
        Mischief::Break => each(|connection| connection.break_off()),
        Mischief::Close => each(|connection| {
            connection.session.close();
            connection.close_down();
        }),
        Mischief::Silence => each(|connection| {
            let side = kernel.pick(&[Side::Up, Side::Down]);
            note("silenced", connection.id as u64, side as u64);
            connection.silence(side, true);
        }),
        Mischief::Rotate => rotate(program, service),
        Mischief::Hold => hold(program),
        Mischief::Load => {
            let node = kernel.index(nodes);
            network().with_node(node, |node| node.loading = true);
            kernel.after(kernel.between(MS, 300 * MS), move || {
                network().with_node(node, |node| node.loading = false);
            });
        }
    }
}

/// Nobody is sure of the primary for a while. What only reads goes on.
fn hold(program: &Rc<Program>) {
    let kernel = kernel();
    hold_writes(program, true);
    let most = kernel.pick(&[5 * MS, 50 * MS, 500 * MS, 2_500 * MS]);
    let length = kernel.between(MS, most);
    if program.plan.only_holds && length > 100 * MS {
        kernel.sleep(10 * MS);
        caller::must_read(program);
    }
    if kernel.one_in(2) {
        kernel.sleep(length);
        hold_writes(program, false);
    } else {
        // Meanwhile other things may happen, a switch too.
        let own = Rc::downgrade(program);
        kernel.after(length, move || {
            own.upgrade().iter().for_each(|own| hold_writes(own, false))
        });
    }
}

fn hold_writes(program: &Program, holds: bool) {
    let writes = match holds {
        true => Writes::Held(Reason::NoMajority),
        false => Writes::Flow,
    };
    if !holds {
        ledger().hold(false);
    }
    program.discovery.borrow().snapshot.hold(writes);
    // What clients of replicas write goes where it is refused, held or not.
    if holds && !program.plan.replica_clients {
        ledger().hold(true);
    }
}

/// A node is gone for a while.
fn pass_away(number: usize, life: Life) {
    node::live(number, life);
    let kernel = kernel();
    let back = kernel.pick(&[5 * MS, 50 * MS, 500 * MS, 1_500 * MS, 4_000 * MS]);
    kernel.after(kernel.between(MS, back), move || node::live(number, Life::Up));
}

/// One or two of the open connections.
fn each(befall: impl Fn(&mut Connection)) {
    let open: Vec<usize> = {
        let connections = network().connections.borrow();
        let open = connections.iter().filter(|connection| !connection.is_over());
        open.map(|connection| connection.id).collect()
    };
    for _ in 0..=kernel().below(2) {
        if !open.is_empty() {
            let id = open[kernel().index(open.len())];
            network().with(id, &befall);
        }
    }
}

/// Another node becomes the primary, and the Sentinels say so a moment later.
fn switch(program: &Rc<Program>, service: &mut Service) {
    let kernel = kernel();
    let nodes = network().nodes.borrow().len();
    let (old, new) = (service.primary, (service.primary + 1 + kernel.index(nodes - 1)) % nodes);
    match kernel.below(4) {
        0 => {
            node::play(old, false);
            kernel.sleep(kernel.between(0, 50 * MS));
            node::play(new, true);
        }
        1 => {
            node::play(new, true);
            kernel.sleep(kernel.between(0, 300 * MS));
            let later = kernel.between(0, 2_000 * MS);
            kernel.after(later, move || node::play(old, false));
        }
        way => {
            let life = if way == 2 {
                Life::Down
            } else {
                kernel.pick(&[Life::Frozen, Life::Away])
            };
            pass_away(old, life);
            kernel.sleep(kernel.between(0, 300 * MS));
            node::play(new, true);
            node::play(old, false);
        }
    }
    kernel.sleep(kernel.between(0, 100 * MS));
    (service.primary, service.epoch) = (new, service.epoch + 1);
    // Whatever befell it before, it plays its part now.
    node::play(new, true);
    let under_way = ledger().under_way_at(old);
    tell_of(program, service);
    kernel.after(52 * MS, move || ledger().must_have_ended(&under_way));
}

/// Another password is given, which the nodes take from now on, or a moment ago or later.
fn rotate(program: &Rc<Program>, service: &mut Service) {
    let kernel = kernel();
    if !program.plan.asks_login {
        return;
    }
    let password = format!("p{}", kernel.now());
    let nodes = network().nodes.borrow().len();
    let forgets = kernel.one_in(2);
    let rotation = service.rotations + 1;
    service.rotations = rotation;
    let take = move |number: usize, password: String| {
        network().with_node(number, |node| {
            // An earlier rotation that comes late takes nothing away.
            if forgets && node.rotation < rotation {
                node.passwords.clear();
            }
            node.rotation = node.rotation.max(rotation);
            node.passwords.push(password);
        });
    };
    let early = kernel.one_in(2);
    for number in 0..nodes {
        let password = password.clone();
        if early {
            take(number, password);
        } else {
            kernel.after(kernel.between(0, 300 * MS), move || take(number, password));
        }
    }
    program.rotate(&password);
}

/// The storm is over: all nodes are well, the network keeps nothing back that is not silent for ever.
fn calm(program: &Rc<Program>, service: &mut Service) {
    let network = network();
    let mut weather = network.weather.get();
    (weather.faulty, weather.refused, weather.hangs) = (0, 0, 0);
    network.weather.set(weather);
    // What was to happen to nodes later has happened by then.
    kernel().sleep(4_100 * MS);
    hold_writes(program, false);
    let nodes = network.nodes.borrow().len();
    for number in 0..nodes {
        node::live(number, Life::Up);
        node::play(number, number == service.primary);
        network.with_node(number, |node| {
            (node.loading, node.hasty, node.moody) = (false, 0, 0);
        });
    }
    tell_of(program, service);
    for connection in network.connections.borrow_mut().iter_mut() {
        // A silent connection on which nothing is owed may cost the next call: these are made known.
        let silent = connection.up.silent || connection.down.silent;
        let owes = connection.up.held + connection.down.held > 0 || connection.up.fin != Fin::None;
        if silent && !owes && !connection.is_over() {
            connection.break_off();
        }
        connection.fault = crate::network::Fault::None;
    }
}

/// The program frees all it has; nothing must be left of it.
fn finish(program: &Rc<Program>) {
    let kernel = kernel();
    program.submitted.finish();
    program.drop_clients();
    if kernel.one_in(2) {
        program.runtime.close();
    }
    program
        .runtime
        .callbacks()
        .close(crate::base::deadline::Deadline::NEVER);
    // A sentry looks once a second, and a dial under way has its time.
    kernel.sleep(4_000 * MS);
    let held = network().held();
    if !held.is_empty() {
        broken("nothing is left", &format!("sockets {held:?}"));
    }
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    // The watch on hang-ups, the watchdog, the jobs.
    if tasks > 3 {
        broken("nothing is left", &format!("{tasks} tasks"));
    }
    ledger().check();
}

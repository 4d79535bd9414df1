//! `run`: a topology for the time of one command.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use sentinel_lab::{Authority, Server, Tls, Topology};

use super::environment::Addresses;
use super::fakes::Fakes;
use super::guard::{Guard, end_descendants, guarded, reap_adopted, signalled};
use super::options::Plan;
use super::orders::Lab;
use super::{FAILED, child, control, reason, say};

const STEP: Duration = Duration::from_millis(10);
/// The servers' certificates outlast whoever works in a shell inside the kit.
const CERTIFICATES_SECONDS: i64 = 365 * 24 * 3600;

pub(crate) fn run(words: Vec<OsString>) -> Result<u8, String> {
    let plan = Plan::from(words)?;
    plan.config.check_programs()?;
    // What the laboratory's panics say is passed on by those who catch them.
    std::panic::set_hook(Box::new(|_| {}));
    guarded(|guard| keep(plan, guard))
}

/// In the keeper: everything from the servers' start to their end.
fn keep(plan: Plan, guard: &Guard) -> u8 {
    match start(&plan, guard) {
        Some(Ok((topology, authority))) => {
            let status = with_command(&plan, &topology, authority.as_ref(), guard);
            topology.end();
            end_descendants(!guard.is_gone());
            status
        }
        Some(Err(problem)) => {
            say(&problem);
            end_descendants(false);
            FAILED
        }
        // Servers that are just being started end with this process.
        None => {
            end_descendants(false);
            let signal = u8::try_from(signalled().unwrap_or_default()).unwrap_or_default();
            128 + signal
        }
    }
}

type Started = (Arc<Topology>, Option<Authority>);

/// The servers, or what is wrong; nothing when we are to end before they are up.
fn start(plan: &Plan, guard: &Guard) -> Option<Result<Started, String>> {
    let (config, tls, folder) = (
        plan.config.clone().folder(&guard.folder),
        plan.tls,
        guard.folder.clone(),
    );
    let (sender, started) = mpsc::channel();
    let starting = move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let authority = tls.then(|| Authority::new_in(&folder));
            let config = match &authority {
                Some(authority) => config.tls(Tls {
                    ca: authority.ca(),
                    identity: authority.issue_for(
                        "server",
                        &["localhost", "127.0.0.1", "127.0.0.2", "::1"],
                        CERTIFICATES_SECONDS,
                    ),
                    clients_have_certificates: false,
                    among_servers: true,
                }),
                None => config,
            };
            (Arc::new(Topology::start(config)), authority)
        }));
        // Nobody waits any more when we are to end.
        sender.send(outcome.map_err(|panic| reason(&*panic))).ok();
    };
    if let Err(error) = std::thread::Builder::new().spawn(starting) {
        return Some(Err(format!("cannot start a thread: {error}")));
    }
    loop {
        match started.recv_timeout(STEP) {
            Ok(outcome) => return Some(outcome),
            Err(mpsc::RecvTimeoutError::Disconnected) => return Some(Err("the servers' start has been lost".into())),
            Err(mpsc::RecvTimeoutError::Timeout) if signalled().is_some() || guard.is_gone() => return None,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
    }
}

fn with_command(plan: &Plan, topology: &Arc<Topology>, authority: Option<&Authority>, guard: &Guard) -> u8 {
    let prepared = catch_unwind(AssertUnwindSafe(|| {
        let fakes = Fakes::start(plan.fakes, topology, plan.logins.sentinel_password.as_deref());
        let listed: Vec<String> = fakes.list().into_iter().map(|(_, address, _)| address).collect();
        let addresses = Addresses::of(topology, &listed);
        let variables = addresses.variables(&plan.logins, authority);
        let topology = topology.clone();
        let lab = Arc::new(Lab {
            topology,
            fakes,
            addresses,
        });
        (control::serve(lab.clone()), variables, lab)
    }));
    let (control, variables, lab) = match prepared {
        Ok(prepared) => prepared,
        Err(panic) => {
            say(&reason(&*panic));
            return FAILED;
        }
    };
    let Some((program, arguments)) = plan.command.split_first() else {
        return FAILED;
    };
    let mut command = Command::new(program);
    command.args(arguments).env("LAB_CONTROL", control).envs(variables);
    let mut child = match child::start(command) {
        Ok(child) => child,
        Err((status, problem)) => {
            say(&problem);
            return status;
        }
    };
    let id = child.id();
    let own = || {
        let servers = lab.all_nodes().chain(lab.all_sentinels());
        servers.filter_map(Server::pid).chain([id]).collect()
    };
    let status = child::wait(&mut child, || {
        reap_adopted(own);
        guard.is_gone()
    });
    child::code(status)
}

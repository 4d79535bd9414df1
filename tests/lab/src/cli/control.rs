//! `lab ctl`: orders from inside the command of `lab run`, one a connection, over loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use sentinel_lab::{Server, Topology};

const REFUSED: &str = "refused: ";

/// Obeys orders for `topology` on a thread of its own, and returns the address for LAB_CONTROL.
pub(crate) fn serve(topology: Arc<Topology>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen on loopback for lab ctl");
    let address = listener
        .local_addr()
        .expect("a bound listener has an address")
        .to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let topology = topology.clone();
            std::thread::spawn(move || obey(&topology, &stream));
        }
    });
    address
}

fn obey(topology: &Topology, stream: &TcpStream) {
    let mut order = String::new();
    if BufReader::new(stream).read_line(&mut order).is_err() {
        return;
    }
    let words: Vec<&str> = order.split_whitespace().collect();
    // The laboratory panics when something cannot be done; whoever gave the order wants to know.
    let answer = catch_unwind(AssertUnwindSafe(|| carry_out(topology, &words)));
    let answer = answer.unwrap_or_else(|_| Err("it could not be done; the reason is on lab's standard error".into()));
    let text = answer.unwrap_or_else(|problem| format!("{REFUSED}{problem}\n"));
    let mut output = stream;
    // An order whose giver is gone needs no answer.
    output.write_all(text.as_bytes()).ok();
    stream.shutdown(Shutdown::Both).ok();
}

fn all_nodes(topology: &Topology) -> impl Iterator<Item = &Server> {
    (0..topology.nodes().len()).map(|index| topology.node(index))
}

fn all_sentinels(topology: &Topology) -> impl Iterator<Item = &Server> {
    (0..topology.sentinels().len()).map(|index| topology.sentinel(index))
}

fn carry_out(topology: &Topology, words: &[&str]) -> Result<String, String> {
    let line = |server: &Server| format!("{}\n", server.address());
    match words {
        ["primary"] => Ok(line(topology.node(topology.primary()))),
        ["nodes"] => Ok(all_nodes(topology).map(describe).collect()),
        ["sentinels"] => Ok(all_sentinels(topology).map(describe).collect()),
        ["kill-primary"] => {
            let primary = topology.node(topology.primary());
            primary.kill();
            Ok(line(primary))
        }
        ["stop-primary"] => {
            let primary = topology.node(topology.primary());
            primary.stop();
            Ok(line(primary))
        }
        ["cont"] => {
            let servers = all_nodes(topology).chain(all_sentinels(topology));
            Ok(servers
                .filter(|server| server.is_stopped())
                .inspect(|server| server.cont())
                .map(line)
                .collect())
        }
        ["restart-killed"] => {
            let servers = all_nodes(topology).chain(all_sentinels(topology));
            Ok(servers
                .filter(|server| server.pid().is_none())
                .inspect(|server| server.restart())
                .map(line)
                .collect())
        }
        ["fail-over"] => {
            topology.fail_over();
            Ok(String::new())
        }
        ["wait-settled"] => {
            topology.wait_for_settled();
            Ok(line(topology.node(topology.primary())))
        }
        [verb, index] => single(topology, verb, index),
        _ => Err("no such order; see lab --help".into()),
    }
}

/// An order for one server.
fn single(topology: &Topology, verb: &str, index: &str) -> Result<String, String> {
    let (verb, sentinels) = verb
        .strip_suffix("-sentinel")
        .map_or((verb, false), |verb| (verb, true));
    let count = if sentinels {
        topology.sentinels().len()
    } else {
        topology.nodes().len()
    };
    let index = index
        .parse()
        .ok()
        .filter(|index| *index < count)
        .ok_or(format!("an index is 0 to {}", count - 1))?;
    let server = if sentinels {
        topology.sentinel(index)
    } else {
        topology.node(index)
    };
    match verb {
        "kill" => server.kill(),
        "stop" => server.stop(),
        "restart" => server.restart(),
        _ => return Err("no such order; see lab --help".into()),
    }
    Ok(format!("{}\n", server.address()))
}

/// Address, process id and state in one line.
fn describe(server: &Server) -> String {
    let state = match (server.pid(), server.is_stopped()) {
        (None, _) => "down".into(),
        (Some(pid), true) => format!("{pid} stopped"),
        (Some(pid), false) => format!("{pid} running"),
    };
    format!("{} {state}\n", server.address())
}

/// Sends one order and prints the answer.
pub(crate) fn ctl(words: &[&str]) -> Result<u8, String> {
    if words.is_empty() {
        return Err("ctl needs an order; see lab --help".into());
    }
    let address = std::env::var("LAB_CONTROL").map_err(|_| "LAB_CONTROL is not set; use ctl inside `lab run`")?;
    let lost = |error: std::io::Error| format!("no answer from the laboratory on {address}: {error}");
    let mut stream = TcpStream::connect(&address).map_err(lost)?;
    stream
        .write_all(format!("{}\n", words.join(" ")).as_bytes())
        .map_err(lost)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(lost)?;
    if let Some(problem) = answer.strip_prefix(REFUSED) {
        return Err(problem.trim_end().into());
    }
    print!("{answer}");
    Ok(0)
}

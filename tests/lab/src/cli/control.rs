//! `ctl`: orders from inside the command of `run`, one a connection, over loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::orders::{Lab, Refusal};
use super::{print, reason, say};

/// What an answer begins with. One that does not is cut off.
const DONE: &str = "done\n";
const REFUSED: &str = "refused\n";
const MISUSED: &str = "misused\n";

const STATUS_REFUSED: u8 = 1;
const STATUS_MISUSED: u8 = 2;
const STATUS_NO_LAB: u8 = 3;

/// Obeys orders for `lab` on a thread of its own, and returns the address for LAB_CONTROL.
pub(crate) fn serve(lab: Arc<Lab>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen on loopback for ctl");
    let address = listener
        .local_addr()
        .expect("a bound listener has an address")
        .to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let lab = lab.clone();
            std::thread::spawn(move || obey(&lab, &stream));
        }
    });
    address
}

fn obey(lab: &Lab, stream: &TcpStream) {
    let mut order = String::new();
    if BufReader::new(stream).read_line(&mut order).is_err() {
        return;
    }
    let words: Vec<&str> = order.split_whitespace().collect();
    // The laboratory panics when something cannot be done; whoever gave the order wants to know.
    let answer = catch_unwind(AssertUnwindSafe(|| lab.carry_out(&words)));
    let answer = answer.unwrap_or_else(|panic| {
        let text = reason(&*panic);
        let first = text.lines().next().unwrap_or_default();
        let folder = lab.topology.dir().display();
        Err(Refusal::Now(format!(
            "{first} (the servers' logs: `ctl logs`, or below {folder})"
        )))
    });
    let text = match answer {
        Ok(text) => format!("{DONE}{text}"),
        Err(Refusal::Usage(problem)) => format!("{MISUSED}{problem}\n"),
        Err(Refusal::Now(problem)) => format!("{REFUSED}{problem}\n"),
    };
    let mut output = stream;
    // An order whose giver is gone needs no answer.
    output.write_all(text.as_bytes()).ok();
    stream.shutdown(Shutdown::Both).ok();
}

/// Sends one order and prints the answer.
pub(crate) fn ctl(words: &[String]) -> u8 {
    let fail = |status: u8, problem: &str| {
        say(&format!("ctl: {}", problem.trim_end()));
        status
    };
    if words.is_empty() {
        return fail(STATUS_MISUSED, "an order is needed; see --help");
    }
    let Some(address) = std::env::var_os("LAB_CONTROL").map(|address| address.to_string_lossy().into_owned()) else {
        return fail(
            STATUS_NO_LAB,
            "LAB_CONTROL is not set: ctl works inside the command of `run`",
        );
    };
    let answer = match ask(&address, words) {
        Ok(answer) => answer,
        Err(error) => {
            return fail(
                STATUS_NO_LAB,
                &format!("nobody answers at LAB_CONTROL ({address}): {error}"),
            );
        }
    };
    if let Some(text) = answer.strip_prefix(DONE) {
        print(text);
        0
    } else if let Some(problem) = answer.strip_prefix(REFUSED) {
        fail(STATUS_REFUSED, problem)
    } else if let Some(problem) = answer.strip_prefix(MISUSED) {
        fail(STATUS_MISUSED, problem)
    } else {
        fail(STATUS_NO_LAB, "the answer was cut off: `run` has ended meanwhile")
    }
}

fn ask(address: &str, words: &[String]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(format!("{}\n", words.join(" ")).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

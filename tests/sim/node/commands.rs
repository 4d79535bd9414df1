//! What the model's servers do with commands. Those of the callers carry the number of their call behind their name.

use super::Session;
use super::request::number;
use crate::kernel::kernel;
use crate::ledger::{ledger, payload};
use crate::network::network;

pub(super) type Args = Vec<Vec<u8>>;

const MS: u64 = 1_000_000;

/// What a node says to a command.
pub(super) enum Said {
    Now(Vec<u8>),
    /// The call waits in the node for so long.
    Later(u64, u64),
}

const READONLY: &str = "-READONLY You can't write against a read only replica.";

fn now(text: &str) -> Said {
    Said::Now(format!("{text}\r\n").into_bytes())
}

fn bulk(data: &[u8]) -> Vec<u8> {
    let mut out = format!("${}\r\n", data.len()).into_bytes();
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
    out
}

fn text(args: &Args, place: usize) -> String {
    args.get(place)
        .map_or_else(String::new, |arg| String::from_utf8_lossy(arg).into_owned())
}

/// Runs a command.
pub(super) fn run(node: usize, connection: usize, session: &mut Session, args: Args) -> Said {
    if crate::sentinels::is_running() {
        let answer = crate::sentinels::answer(node, connection, session, &args);
        return Said::Now(answer.unwrap_or_default());
    }
    let name = text(&args, 0).to_ascii_uppercase();
    if let Some(said) = greeting(node, session, &name, &args) {
        return said;
    }
    let (asks, loading) = network().with_node(node, |node| (!node.passwords.is_empty(), node.loading));
    let within = matches!(name.as_str(), "MULTI" | "EXEC" | "DISCARD" | "WATCH" | "UNWATCH");
    if asks && !session.logged_in {
        return decline(session, &args, "-NOAUTH Authentication required.");
    }
    if loading && !within {
        return decline(session, &args, "-LOADING Redis is loading the dataset in memory");
    }
    match name.as_str() {
        "MULTI" => {
            session.multi = Some(Vec::new());
            session.spoilt = false;
            now("+OK")
        }
        "EXEC" => exec(node, connection, session),
        "DISCARD" => {
            session.multi = None;
            now("+OK")
        }
        "WATCH" | "UNWATCH" => now("+OK"),
        "WAIT" => now(&format!(":{}", kernel().below(3))),
        "WAITAOF" => now("*2\r\n:1\r\n:1"),
        "COMMAND" => describe(&text(&args, 2).to_ascii_uppercase()),
        _ if session.multi.is_some() => queue(node, session, args),
        _ => own(node, connection, &args),
    }
}

/// Does not run it. A transaction that it was to be a part of will not be executed.
fn decline(session: &mut Session, args: &Args, why: &str) -> Said {
    session.spoilt = true;
    ledger().refused(number(args));
    now(why)
}

/// The first words on a connection, and the signs of life.
fn greeting(node: usize, session: &mut Session, name: &str, args: &Args) -> Option<Said> {
    let (is_primary, is_old, loading) = network().with_node(node, |node| (node.is_primary, node.is_old, node.loading));
    let takes = |password: &str| {
        network().with_node(node, |node| {
            node.passwords.is_empty() || node.passwords.iter().any(|own| own == password)
        })
    };
    let role = if is_primary { "master" } else { "slave" };
    let said = match name {
        "HELLO" if is_old && node % 2 == 1 => now("-NOPERM this user has no permissions to run the 'hello' command"),
        "HELLO" if is_old => now("-ERR unknown command 'HELLO', with args beginning with: "),
        "HELLO" => {
            let password = args
                .iter()
                .position(|arg| arg == b"AUTH")
                .map(|place| text(args, place + 2));
            if password.is_some_and(|password| !takes(&password)) {
                return Some(now("-WRONGPASS invalid username-password pair or user is disabled."));
            }
            session.logged_in = true;
            let protocol = text(args, 1);
            session.has_pushes = protocol == "3";
            let head = if protocol == "3" { "%3" } else { "*6" };
            now(&format!(
                "{head}\r\n$7\r\nversion\r\n$5\r\n7.2.0\r\n$5\r\nproto\r\n:{protocol}\r\n$4\r\nrole\r\n${}\r\n{role}",
                role.len()
            ))
        }
        "AUTH" => {
            let password = text(args, args.len() - 1);
            session.logged_in = takes(&password);
            now(if session.logged_in {
                "+OK"
            } else {
                "-ERR invalid password"
            })
        }
        "CLIENT" if is_old && text(args, 1) == "SETINFO" => {
            now("-ERR Unknown subcommand or wrong number of arguments for 'SETINFO'. Try CLIENT HELP")
        }
        "SELECT" | "CLIENT" => now("+OK"),
        "ROLE" if is_primary => now("*3\r\n$6\r\nmaster\r\n:0\r\n*0"),
        "ROLE" => {
            // Cut off from the primary, now and then and from one second to the next.
            let state = if kernel().one_in(6) { "connect" } else { "connected" };
            let head = "*5\r\n$5\r\nslave\r\n$8\r\n10.0.0.1\r\n:6379";
            now(&format!("{head}\r\n${}\r\n{state}\r\n:0", state.len()))
        }
        "PING" if loading => now("-LOADING Redis is loading the dataset in memory"),
        "PING" => now("+PONG"),
        "INFO" if text(args, 1) == "replication" => Said::Now(bulk(
            format!("role:{role}\r\nmaster_link_status:down\r\nmaster_link_down_since_seconds:3\r\n").as_bytes(),
        )),
        "INFO" => Said::Now(bulk(
            format!("# Server\r\nrun_id:{node:040}\r\nrole:{role}\r\n").as_bytes(),
        )),
        _ => return None,
    };
    Some(said)
}

/// What COMMAND INFO says.
fn describe(name: &str) -> Said {
    let flags = match name {
        "MOD.READ" => "readonly",
        "MOD.WRITE" => "write",
        "MOD.WAIT" => "blocking",
        _ => return now("*1\r\n*-1"),
    };
    let (name_len, rest) = (name.len(), ":0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*0\r\n*0");
    now(&format!(
        "*1\r\n*10\r\n${name_len}\r\n{name}\r\n:-2\r\n*1\r\n+{flags}\r\n{rest}"
    ))
}

fn writes(name: &str) -> bool {
    !matches!(name, "GET" | "MOD.READ")
}

fn is_writable(node: usize, name: &str) -> bool {
    !writes(name) || network().with_node(node, |node| node.is_primary)
}

/// Checks what a command carries: it must be as its caller sent it.
fn check(args: &Args) {
    let (name, id) = (text(args, 0).to_ascii_uppercase(), number(args));
    let carries = matches!(name.as_str(), "APPEND" | "MOD.WRITE");
    if id == 0 || (carries && args.get(2).is_none_or(|data| *data != payload(id, data.len()))) {
        ledger().corrupt(&format!(
            "{name} {id} came with {} arguments that are not its own",
            args.len()
        ));
    }
}

/// A command whose answer was given before it had come.
pub(super) fn swallowed(args: &Args) {
    check(args);
    ledger().refused(number(args));
}

/// A caller's command by itself.
fn own(node: usize, connection: usize, args: &Args) -> Said {
    check(args);
    let (name, id) = (text(args, 0).to_ascii_uppercase(), number(args));
    let refuse = |text: &str| {
        ledger().refused(id);
        now(text)
    };
    if !is_writable(node, &name) {
        let within = if name == "EVAL" {
            " script: f00d, on @user_script:1."
        } else {
            ""
        };
        return refuse(&format!("{READONLY}{within}"));
    }
    let moody = network().with_node(node, |node| node.moody);
    if moody > 0 && matches!(name.as_str(), "APPEND" | "GET") && kernel().one_in(moody) {
        return refuse("-WRONGTYPE Operation against a key holding the wrong kind of value");
    }
    match name.as_str() {
        "BLPOP" | "MOD.WAIT" => {
            let limit = text(args, 2).parse::<f64>().unwrap_or(0.1);
            let most = (limit * 1e9) as u64;
            Said::Later(id, kernel().between(MS, most.max(2 * MS)).min(most.max(MS)))
        }
        _ => Said::Now(answer(node, connection, &name, args)),
    }
}

/// Executes it, and says so.
fn answer(node: usize, connection: usize, name: &str, args: &Args) -> Vec<u8> {
    let id = number(args);
    ledger().executed(id, node, connection);
    match name {
        "GET" => {
            let asked = text(args, 1);
            let size = asked
                .split(':')
                .nth(1)
                .and_then(|digits| digits.parse().ok())
                .unwrap_or(0);
            let mut data = asked.into_bytes();
            data.extend(payload(id, size));
            bulk(&data)
        }
        "EVAL" => match lies(id, node, &text(args, 4)) {
            "error" => b"-ERR boom script: f00d, on @user_script:1.\r\n".to_vec(),
            "forge" => b"-ERR invalid name: x -READONLY You can't write script: f00d, on @user_script:1.\r\n".to_vec(),
            "pretend" => format!("{READONLY}\r\n").into_bytes(),
            _ => bulk(id.to_string().as_bytes()),
        },
        _ => bulk(id.to_string().as_bytes()),
    }
}

/// What the script is to say.
fn lies(id: u64, node: usize, mode: &str) -> &str {
    if matches!(mode, "forge" | "pretend") {
        ledger().lied(id, node);
    }
    mode
}

/// The end of a wait in the node: it got what it waited for, or nothing in time.
pub(super) fn blocked_ends(id: u64, node: usize, connection: usize) -> Vec<u8> {
    if kernel().one_in(3) {
        ledger().expired(id);
        return b"*-1\r\n".to_vec();
    }
    ledger().executed(id, node, connection);
    bulk(id.to_string().as_bytes())
}

fn queue(node: usize, session: &mut Session, args: Args) -> Said {
    check(&args);
    if !is_writable(node, &text(&args, 0).to_ascii_uppercase()) {
        return decline(session, &args, READONLY);
    }
    if let Some(multi) = &mut session.multi {
        multi.push(args);
    }
    now("+QUEUED")
}

fn exec(node: usize, connection: usize, session: &mut Session) -> Said {
    let Some(queued) = session.multi.take() else {
        return now("-ERR EXEC without MULTI");
    };
    if session.spoilt {
        queued.iter().for_each(|args| ledger().refused(number(args)));
        return now("-EXECABORT Transaction discarded because of previous errors.");
    }
    if !network().with_node(node, |node| node.is_primary) && queued.iter().any(|args| writes(&text(args, 0))) {
        queued.iter().for_each(|args| ledger().refused(number(args)));
        return now(&format!(
            "-EXECABORT Transaction discarded because of: {}",
            &READONLY[1..]
        ));
    }
    let mut out = format!("*{}\r\n", queued.len()).into_bytes();
    for args in &queued {
        out.extend(answer(node, connection, &text(args, 0).to_ascii_uppercase(), args));
    }
    Said::Now(out)
}

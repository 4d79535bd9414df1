//! Replies of every kind, in RESP2 and in RESP3, written as `redis-cli` writes them and compared with what it writes.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use sentinel::resp::{Kind, Value};
use sentinel::{CallOptions, Client};
use sentinel_lab::Server;

use crate::support::{SERVICE, open_on, overrides, shared};

/// One command a line, arguments apart by spaces, `"` around those that hold one. Nothing in it depends on the time, on
/// what other tests do, or on chance.
const COMMANDS: &str = include_str!("rendered.txt");

/// Stands behind the reply of each command.
const BEHIND: &str = "-- behind the reply --";

/// The arguments of a line, as `redis-cli` takes it apart: in quotes `\n`, `\xff` and kin are escapes.
pub(crate) fn arguments(line: &str) -> Vec<Vec<u8>> {
    let (mut all, mut own, mut quoted) = (Vec::new(), Vec::new(), false);
    let mut letters = line.chars();
    let mut begun = false;
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                quoted = !quoted;
                begun = true;
            }
            ' ' if !quoted => {
                if std::mem::take(&mut begun) {
                    all.push(std::mem::take(&mut own));
                }
            }
            '\\' if quoted => match letters.next().expect("an escape ends") {
                'n' => own.push(b'\n'),
                'r' => own.push(b'\r'),
                't' => own.push(b'\t'),
                'x' => {
                    let digits: String = letters.by_ref().take(2).collect();
                    own.push(u8::from_str_radix(&digits, 16).expect("two hexadecimal digits"));
                }
                other => own.extend(other.to_string().as_bytes()),
            },
            other => {
                begun = true;
                own.extend(other.to_string().as_bytes());
            }
        }
    }
    if begun {
        all.push(own);
    }
    all
}

/// A string in quotes with its escapes.
fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for byte in bytes {
        match byte {
            b'\\' | b'"' => write!(out, "\\{}", char::from(*byte)).unwrap(),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x07 => out.push_str("\\a"),
            0x08 => out.push_str("\\b"),
            0x20..=0x7e => out.push(char::from(*byte)),
            _ => write!(out, "\\x{byte:02x}").unwrap(),
        }
    }
    out + "\""
}

/// A reply as `redis-cli` shows it on a terminal, the lines of nested ones behind `prefix`.
fn rendered(value: Value<'_>, prefix: &str) -> String {
    match value.kind() {
        Kind::Nil => "(nil)\n".into(),
        Kind::Status | Kind::Verbatim | Kind::BigNumber => format!("{}\n", value.text()),
        Kind::String => quoted(value.data()) + "\n",
        Kind::Integer => format!("(integer) {}\n", value.integer()),
        Kind::Double => format!("(double) {}\n", value.text()),
        Kind::Bool => format!("({})\n", value.integer() == 1),
        Kind::Error => format!("(error) {}\n", value.text()),
        Kind::Array => elements(value, ("array", ')'), prefix),
        Kind::Map => elements(value, ("hash", '#'), prefix),
        Kind::Set => elements(value, ("set", '~'), prefix),
        Kind::Push => elements(value, ("push", ')'), prefix),
    }
}

fn elements(value: Value<'_>, (name, sign): (&str, char), prefix: &str) -> String {
    if value.is_empty() {
        return format!("(empty {name})\n");
    }
    let width = value.len().to_string().len();
    let below = format!("{prefix}{}", " ".repeat(width + 2));
    let mut out = String::new();
    for at in 0..value.len() {
        let prefix = if at == 0 { "" } else { prefix };
        write!(out, "{prefix}{:>width$}{sign} ", at + 1).unwrap();
        match value.kind() {
            Kind::Map => {
                let key = rendered(value.key_at(at).unwrap(), &below);
                let value = rendered(value.value_at(at).unwrap(), &below);
                write!(out, "{} => {value}", key.trim_end_matches('\n')).unwrap();
            }
            _ => out.push_str(&rendered(value.at(at).unwrap(), &below)),
        }
    }
    out
}

/// What the library receives for each command.
fn received(client: &Client, lines: &[&str]) -> Vec<String> {
    let one = |line: &&str| {
        let own = arguments(line);
        let args: Vec<&[u8]> = own.iter().map(Vec::as_slice).collect();
        match client.command(&args, &CallOptions::default()) {
            Ok(reply) => rendered(reply.root(), ""),
            Err(error) => format!("(error) {error}\n"),
        }
    };
    lines.iter().map(one).collect()
}

/// What `redis-cli` writes for each command.
fn shown(server: &Server, protocol: &str, database: &str, lines: &[&str]) -> Vec<String> {
    let port = server.port().to_string();
    let mut cli = Command::new("redis-cli")
        .args(["-h", server.host(), "-p", &port, "-n", database])
        .args([&format!("-{protocol}"), "--no-raw"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-cli is installed with redis-server");
    let mut input = cli.stdin.take().unwrap();
    let script: String = lines
        .iter()
        .map(|line| format!("{line}\nECHO \"{BEHIND}\"\n"))
        .collect();
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(script.as_bytes()).unwrap());
        let output = cli.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).expect("--no-raw writes text");
        let end = format!("{}\n", quoted(BEHIND.as_bytes()));
        let mut replies: Vec<String> = text.split(&end).map(str::to_owned).collect();
        assert_eq!(replies.pop().as_deref(), Some(""), "the last reply ends");
        replies
    })
}

/// Versions of `redis-cli` differ in the line ends behind errors and verbatim strings, and in whether an aggregate that
/// is the value of a pair begins on a line of its own.
fn normal(text: &str) -> String {
    let pieces = text.trim_end_matches('\n').split("=> \n");
    let mut pieces = pieces.enumerate().map(|(at, piece)| match at {
        0 => piece,
        _ => piece.trim_start_matches(' '),
    });
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| text + "=> " + piece)
}

fn compare(protocol: &str, databases: [&str; 2]) {
    let topology = shared();
    let keys = overrides(&[("protocol", protocol), ("database", databases[0])]);
    let client = open_on(&topology).primary_for(Some(SERVICE), Some(&keys)).unwrap();
    let lines: Vec<&str> = COMMANDS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("# "))
        .collect();
    let received = received(&client, &lines);
    let shown = shown(topology.node(topology.primary()), protocol, databases[1], &lines);
    assert_eq!((received.len(), lines.len()), (shown.len(), shown.len()));
    for (line, (received, shown)) in lines.iter().zip(received.iter().zip(&shown)) {
        assert_eq!(normal(received), normal(shown), "RESP{protocol}: {line}");
    }
}

#[test]
fn resp2_replies_of_all_kinds_are_those_that_redis_cli_shows() {
    compare("2", ["10", "11"]);
}

#[test]
fn resp3_replies_of_all_kinds_are_those_that_redis_cli_shows() {
    compare("3", ["12", "13"]);
}

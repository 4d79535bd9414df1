//! `lab`, installed as `libsentinel-lab`: real topologies for the tests of any program, and the demonstration of a
//! failover for `make demo`.

mod cli;

use std::ffi::OsString;
use std::process::ExitCode;

/// The exit status for words that are no verb.
const MISUSED: u8 = 2;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let verb = words.next().unwrap_or_default();
    let rest: Vec<OsString> = words.collect();
    let text = |word: &OsString| word.to_string_lossy().into_owned();
    let name = cli::own_name();
    let outcome = match (text(&verb).as_str(), rest.as_slice()) {
        ("run" | "ctl", [only]) if *only == "--help" || *only == "-h" => Ok(help(&name)),
        ("run", _) => cli::run(rest).map_err(|problem| (cli::FAILED, format!("run: {problem}"))),
        ("ctl", _) => Ok(cli::ctl(&rest.iter().map(text).collect::<Vec<_>>())),
        ("demo", [quickstart, failover]) => {
            cli::demo(&text(quickstart), &text(failover)).map_err(|problem| (MISUSED, problem))
        }
        ("help" | "--help" | "-h", _) => Ok(help(&name)),
        ("--version" | "-V", _) => {
            cli::print(&format!("{name} {}\n", env!("CARGO_PKG_VERSION")));
            Ok(0)
        }
        ("", _) => Err((MISUSED, "a verb is needed: run or ctl; see --help".into())),
        (other, _) => Err((MISUSED, format!("no verb {other:?}; there are run and ctl, see --help"))),
    };
    ExitCode::from(outcome.unwrap_or_else(|(status, problem)| {
        cli::say(&problem);
        status
    }))
}

fn help(name: &str) -> u8 {
    cli::print(&cli::help::text(name));
    0
}

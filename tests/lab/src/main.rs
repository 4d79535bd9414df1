//! `lab`: real topologies for programs that are not Rust tests, and the demonstration of a failover.

mod cli;

use std::process::ExitCode;

const USAGE: &str = "\
lab run [OPTIONS] -- COMMAND [ARGUMENT...]
    Starts servers on loopback, runs COMMAND, ends the servers, and exits with COMMAND's status.
    COMMAND's environment has SENTINELS (host:port,host:port,...), SERVICE, NODES, and LAB_CONTROL for `lab ctl`.
        --nodes N                 data nodes, the first of them the primary (3)
        --sentinels N             sentinels (3)
        --quorum N                how many sentinels find the primary down (a majority)
        --service NAME            the name of the primary (mymaster)
        --default-timers          the servers' own timers in place of short ones; down-after is 1000 ms
        --down-after MS           down-after-milliseconds
        --password TEXT           of the data nodes
        --user NAME:TEXT          an ACL user on the data nodes
        --sentinel-password TEXT  of the sentinels
        --hostnames               names in place of addresses
        --ipv6                    ::1 in place of 127.0.0.1

lab ctl VERB
    Inside COMMAND: one of primary, nodes, sentinels, kill-primary, stop-primary, cont, restart-killed, fail-over,
    wait-settled, kill INDEX, stop INDEX, restart INDEX, and the three with -sentinel, as in kill-sentinel INDEX.

lab demo QUICKSTART FAILOVER
    Starts three nodes and three sentinels, runs the program QUICKSTART, then FAILOVER, kills the primary with -9
    under it, and counts what it cost.

LAB_SERVER and LAB_SENTINEL name the programs to run in place of redis-server and redis-sentinel. With LAB_KEEP in the
environment the servers' folder stays.
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.split_first() {
        Some((&"run", rest)) => cli::run(rest),
        Some((&"ctl", rest)) => cli::ctl(rest),
        Some((&"demo", [quickstart, failover])) => cli::demo(quickstart, failover),
        Some((&("help" | "--help" | "-h"), _)) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => Err(USAGE.into()),
    };
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(problem) => {
            eprintln!("lab: {problem}");
            ExitCode::from(2)
        }
    }
}

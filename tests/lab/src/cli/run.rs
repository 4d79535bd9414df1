//! `lab run`: a topology for the time of one command.

use std::process::Command;
use std::sync::Arc;

use sentinel_lab::{Config, Topology};

use super::{child, control};

pub(crate) fn run(args: &[&str]) -> Result<u8, String> {
    let split = args
        .iter()
        .position(|arg| *arg == "--")
        .ok_or("run needs `--` and a command after its options")?;
    let (options, command) = (&args[..split], &args[split + 1..]);
    let (program, arguments) = command.split_first().ok_or("run needs a command after `--`")?;
    let config = parse(options)?;
    child::catch_signals();
    let topology = Arc::new(Topology::start(config));
    let address = control::serve(topology.clone());
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("SERVICE", topology.service())
        .env("LAB_CONTROL", address);
    command
        .env("SENTINELS", list(&topology.sentinels()))
        .env("NODES", list(&topology.nodes()));
    let status = child::start(command).map(|mut child| child::code(child::wait(&mut child, || ())));
    topology.end();
    status
}

/// `host:port,host:port`, IPv6 in brackets.
fn list(servers: &[(String, u16)]) -> String {
    let shown = |(host, port): &(String, u16)| match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    servers.iter().map(shown).collect::<Vec<_>>().join(",")
}

fn parse(options: &[&str]) -> Result<Config, String> {
    let mut config = Config::default();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let mut value = || options.next().copied().ok_or(format!("{option} needs a value"));
        config = match *option {
            "--nodes" => config.nodes(number(value()?)?),
            "--sentinels" => config.sentinels(number(value()?)?),
            "--quorum" => config.quorum(number(value()?)?),
            "--service" => config.service(value()?),
            "--default-timers" => config.fast(false),
            "--down-after" => config.down_after_ms(number(value()?)? as u64),
            "--password" => config.password(value()?),
            "--user" => {
                let (name, password) = value()?.split_once(':').ok_or("--user needs NAME:PASSWORD")?;
                config.user(name, password)
            }
            "--sentinel-password" => config.sentinel_password(value()?),
            "--hostnames" => config.hostnames(true),
            "--ipv6" => config.ipv6(true),
            other => return Err(format!("no option {other}; see lab --help")),
        };
    }
    Ok(config)
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

//! Programs that nobody here wrote, unchanged: they are given the path of a socket that is served.

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sentinel::{Client, serve};

use crate::serve::peer::encoded;
use crate::support::{SERVICE, open_on, overrides, shared};

/// Serves whoever connects to a path while `use_it` runs.
fn at_a_path(client: &Client, name: &str, use_it: impl FnOnce(&Path)) {
    let path: PathBuf = std::env::temp_dir().join(format!("{name}-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::scope(|scope| {
        let (over, is_over) = std::sync::mpsc::channel::<()>();
        let accepting = listener.try_clone().unwrap();
        scope.spawn(move || {
            for stream in accepting.incoming() {
                if is_over.try_recv().is_ok() {
                    return;
                }
                serve::serve(client, stream.unwrap().into()).unwrap();
            }
        });
        let ends = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| use_it(&path)));
        over.send(()).unwrap();
        let _ = std::os::unix::net::UnixStream::connect(&path);
        std::fs::remove_file(&path).unwrap();
        if let Err(panic) = ends {
            std::panic::resume_unwind(panic);
        }
    });
}

/// What a program writes that is told `input`; `None` where it is not installed.
fn output(program: &str, args: &[&str], input: &[u8]) -> Option<String> {
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: {program} is not installed");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {text}");
    Some(text)
}

#[test]
fn redis_cli_shows_what_it_shows_of_a_server() {
    let topology = shared();
    let keys = overrides(&[("database", "9")]);
    let client = open_on(&topology).primary_for(Some(SERVICE), Some(&keys)).unwrap();
    let node = topology.node(topology.primary());
    // Of big numbers it says that it does not know them, and ends.
    let shown = |line: &&str| !line.starts_with("# ") && !line.contains("big_number") && !line.contains("bignum");
    let lines: Vec<&str> = include_str!("shapes.txt").lines().filter(shown).collect();
    let mut script = lines.join("\n");
    script.push_str("\nMULTI\nSET a 1\nGET a\nEXEC\nWATCH a\nMULTI\nGET a\nEXEC\nFLUSHDB\n");
    at_a_path(&client, "redis-cli", |path| {
        let path = path.to_str().unwrap();
        let port = node.port().to_string();
        for protocol in ["-2", "-3"] {
            let own = output(
                "redis-cli",
                &["-s", path, "-n", "9", protocol, "--no-raw"],
                script.as_bytes(),
            );
            let direct = ["-h", node.host(), "-p", &port, "-n", "8", protocol, "--no-raw"];
            assert_eq!(own, output("redis-cli", &direct, script.as_bytes()), "{protocol}");
        }
        let sets: Vec<u8> = (0..20_000u32)
            .flat_map(|n| encoded(&[b"SET", format!("piped:{n}").as_bytes(), b"v"]))
            .collect();
        if let Some(told) = output("redis-cli", &["-s", path, "--pipe"], &sets) {
            assert!(told.contains("errors: 0, replies: 20000"), "{told}");
        }
        if let Some(found) = output("redis-cli", &["-s", path, "--scan", "--pattern", "piped:1999?"], b"") {
            assert_eq!(found.lines().count(), 10, "{found}");
        }
    });
    assert_eq!(crate::support::text(&client, "FLUSHDB"), "OK");
}

#[test]
fn redis_benchmark_finds_nothing_wrong() {
    let topology = shared();
    let keys = overrides(&[("database", "1")]);
    let client = open_on(&topology).primary_for(Some(SERVICE), Some(&keys)).unwrap();
    at_a_path(&client, "redis-benchmark", |path| {
        let path = path.to_str().unwrap();
        for (clients, pipeline) in [("1", "1"), ("20", "1"), ("20", "16")] {
            let args = [
                &["-s", path, "-q", "-n", "2000", "-c", clients, "-P", pipeline],
                &["-t", "ping,set,get,incr,lpush,lpop,sadd,hset,spop,zadd,lrange_100,mset"][..],
            ];
            let Some(told) = output("redis-benchmark", &args.concat(), b"") else {
                return;
            };
            let measured = told.matches("requests per second").count();
            assert!(
                measured >= 12 && !told.contains("rror"),
                "-c {clients} -P {pipeline}: {told}"
            );
        }
    });
    assert_eq!(crate::support::text(&client, "FLUSHDB"), "OK");
}

//! A test in a process and a network of its own: loopback with every address free, its own resolver, and connections that
//! nobody else makes.

use std::fs;
use std::process::{Command, Stdio};

use sentinel_lab::spawn_bound;

const INSIDE: &str = "SENTINEL_PROMISES_APART";

/// Makes the network's loopback, puts the resolver's file in its place, and becomes the test.
const ENTER: &str = "ip link set lo up && mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"";

/// Whether this process is the one that [`run`] started.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs the ignored test `name` of this program apart, and shows what it says. Panics when it fails.
pub(crate) fn run(name: &str) {
    let possible = Command::new("unshare")
        .args(["-n", "-m", "true"])
        .stderr(Stdio::null())
        .status();
    if !possible.is_ok_and(|status| status.success()) {
        println!("skipped: network namespaces cannot be made here");
        return;
    }
    let resolver = format!("sentinel-resolv-{}-{}", std::process::id(), name.replace("::", "-"));
    let resolver = std::env::temp_dir().join(resolver);
    fs::write(&resolver, "nameserver 127.0.0.1\noptions timeout:1 attempts:2\n").unwrap();
    let mut command = Command::new("unshare");
    command.args(["-n", "-m", "sh", "-c", ENTER, "sh"]).arg(&resolver);
    command.arg(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--ignored", "--nocapture"]);
    command.env(INSIDE, "1").stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = spawn_bound(command).unwrap().wait_with_output().unwrap();
    let _ = fs::remove_file(&resolver);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    print!("{}", text(&output.stdout));
    assert!(
        output.status.success(),
        "{name}: {}\n{}",
        output.status,
        text(&output.stderr)
    );
}

//! The kit as a command: what it passes on, and that nothing is left of it, however it ends.

mod kit;

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use kit::{LONG, Place, status, text};
use sentinel_lab::{process_exists, wait_for};

/// Writes the pids of all servers, of a shell, and of a process that no longer has any of them as its parent.
const PIDS: &str = r#"
    (setsid sleep 300 <&- >&- 2>&- & echo $! >"$HERE/orphan")
    { "$LAB" ctl nodes; "$LAB" ctl sentinels; } | awk '{ print $2 }' >"$HERE/pids.new"
    { cat "$HERE/orphan"; echo $$; echo done; } >>"$HERE/pids.new"
    mv "$HERE/pids.new" "$HERE/pids"
"#;

/// The children of a process: of the guard, the keeper.
fn children(pid: u32) -> Vec<u32> {
    let folders = fs::read_dir("/proc").expect("read /proc").flatten();
    let parent = |stat: &str| -> Option<u32> { stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok() };
    folders
        .filter_map(|folder| folder.file_name().to_string_lossy().parse().ok())
        .filter(|child| fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| parent(&stat) == Some(pid)))
        .collect()
}

/// Half a minute, for a test that fails as well.
const WAIT: &str = "i=0; while [ $i -lt 300 ]; do sleep 0.1; i=$((i + 1)); done";

fn kill(pid: u32, number: libc::c_int) {
    // SAFETY: kill has no memory preconditions; the process is our child, or that of one.
    unsafe { libc::kill(pid as libc::pid_t, number) };
}

/// Waits for the end, so long and no longer.
fn end_of(mut child: Child) -> std::process::ExitStatus {
    wait_for("the end of the kit", LONG, || {
        child.try_wait().expect("wait for the own child")
    })
}

#[test]
fn the_exit_status_is_that_of_the_command() {
    let place = Place::new();
    let run = |script: &str| status(&place.script(script).output().expect("run"));
    assert_eq!(run("exit 0"), 0);
    assert_eq!(run("exit 7"), 7);
    assert_eq!(run("kill -9 $$"), 128 + 9);
    let of_program = |program: &str| {
        let output = place
            .kit(&["run", "--replicas=0", "--sentinels=0", "--", program])
            .output()
            .expect("run");
        (status(&output), text(&output.stderr))
    };
    let (missing, said) = of_program("no-such-program");
    assert_eq!(missing, 127);
    assert!(said.contains("no-such-program"), "{said}");
    assert_eq!(of_program("/etc/passwd").0, 126);
    assert!(place.is_clean());
}

#[test]
fn the_command_has_input_output_and_an_environment_and_can_be_any_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let mut command =
        place.script(r#"read line; printf "%s %s " "$line" "$1"; echo "$SERVICE $SENTINEL_URL $LAB_CONTROL""#);
    command
        .arg("sh")
        .arg(std::ffi::OsStr::from_bytes(b"\xff"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().expect("start");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), b"heard\n").expect("write");
    let output = child.wait_with_output().expect("wait");
    assert!(
        output
            .stdout
            .starts_with(b"heard \xff mymaster redis+sentinel://127.0.0.1:"),
        "{output:?}"
    );
    assert!(output.status.success());
}

#[test]
fn nothing_is_left_after_a_normal_end_nor_of_what_the_command_leaves() {
    let place = Place::new();
    let output = place.script_with(&[], PIDS).output().expect("run");
    let pids = place.numbers("pids");
    assert_eq!(pids.len(), 8, "{pids:?}");
    assert_eq!(status(&output), 0);
    // At once, not some time later.
    assert_eq!(pids.iter().filter(|pid| process_exists(**pid)).count(), 0);
    assert!(place.is_clean());
    assert!(text(&output.stderr).contains("(sleep 300)"), "{output:?}");
}

#[test]
fn what_ends_by_itself_right_after_the_command_is_let() {
    let place = Place::new();
    let script = r#"(sleep 0.2; echo written >"$HERE/late") <&- >&- 2>&- & exit 0"#;
    let output = place.script(script).output().expect("run");
    assert_eq!(text(&output.stderr), "");
    assert!(place.file("late").exists());
}

#[test]
fn what_the_command_has_lost_is_reaped_while_it_runs() {
    let place = Place::new();
    let script = r#"
        pid=$(sh -c 'sleep 0 >/dev/null & echo $!')
        tries=0
        while kill -0 "$pid" 2>/dev/null && [ $tries -lt 100 ]; do sleep 0.05; tries=$((tries + 1)); done
        ! kill -0 "$pid" 2>/dev/null
    "#;
    assert_eq!(status(&place.script(script).output().expect("run")), 0);
}

#[test]
fn sigterm_reaches_the_command_and_nothing_is_left() {
    let place = Place::new();
    let script = format!(r#"trap 'echo >"$HERE/told"; exit 3' TERM; {PIDS} {WAIT}"#);
    let child = place.script(&script).spawn().expect("start");
    let pids = place.numbers("pids");
    kill(child.id(), libc::SIGTERM);
    assert_eq!(end_of(child).code(), Some(3));
    assert!(place.file("told").exists());
    place.wait_until_clean(&pids);
}

#[test]
fn a_command_that_ignores_sigterm_is_killed() {
    let place = Place::new();
    let script = format!("trap '' TERM; {PIDS} {WAIT}");
    let child = place.script(&script).spawn().expect("start");
    let pids = place.numbers("pids");
    kill(child.id(), libc::SIGTERM);
    assert_eq!(end_of(child).code(), Some(128 + 9));
    place.wait_until_clean(&pids);
}

#[test]
fn kill_9_of_either_process_of_the_kit_leaves_nothing() {
    for of_guard in [true, false] {
        let place = Place::new();
        let script = format!("trap '' TERM; {PIDS} {WAIT}");
        let child = place.script_with(&[], &script).spawn().expect("start");
        let mut pids = place.numbers("pids");
        let keeper = children(child.id());
        assert_eq!(keeper.len(), 1);
        kill(if of_guard { child.id() } else { keeper[0] }, libc::SIGKILL);
        let status = end_of(child);
        assert_eq!(status.code(), if of_guard { None } else { Some(125) });
        pids.extend(keeper);
        place.wait_until_clean(&pids);
    }
}

#[test]
fn a_signal_ends_a_start_as_well() {
    let place = Place::new();
    let child = place
        .script_with(&["--sentinels", "5"], "echo >\"$HERE/ran\"")
        .spawn()
        .expect("start");
    // The keeper is the child that has children itself.
    let servers = wait_for("the first servers", LONG, || {
        let below = children(child.id()).into_iter().map(children);
        below.into_iter().find(|servers| servers.len() > 1)
    });
    let asked = Instant::now();
    kill(child.id(), libc::SIGTERM);
    assert_eq!(end_of(child).code(), Some(128 + libc::SIGTERM));
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    place.wait_until_clean(&servers);
    assert!(!place.file("ran").exists());
}

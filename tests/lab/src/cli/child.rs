//! A program in the foreground: it gets our SIGINT and SIGTERM, and ends before we do.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use sentinel_lab::spawn_bound;

use super::guard::signalled;

const STEP: Duration = Duration::from_millis(10);
/// A program that got a terminal's Ctrl-C itself may take this long before it is told again.
const OWN_CHANCE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

/// As a shell has it: not found, or found and not to be run.
pub(crate) fn start(command: Command) -> Result<Child, (u8, String)> {
    let name = command.get_program().to_string_lossy().into_owned();
    spawn_bound(command).map_err(|error| {
        let status = if error.kind() == io::ErrorKind::NotFound {
            127
        } else {
            126
        };
        (status, format!("cannot run {name}: {error}"))
    })
}

/// Waits for the end of `child`; after one of our signals it is asked, then made, to end, and at once when `at_once` says
/// so, which is called often.
pub(crate) fn wait(child: &mut Child, mut at_once: impl FnMut() -> bool) -> ExitStatus {
    let mut asked: Option<Instant> = None;
    let mut told = false;
    loop {
        if let Some(status) = child.try_wait().expect("wait for the own child") {
            return status;
        }
        if let Some(number) = signalled() {
            let since = asked.get_or_insert_with(Instant::now).elapsed();
            if !told && (number != libc::SIGINT || since > OWN_CHANCE) {
                told = true;
                // SAFETY: kill has no memory preconditions; the child is not reaped yet, so its id is its own.
                unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
            }
            if since > PATIENCE {
                child.kill().expect("kill the own child");
            }
        }
        if at_once() {
            child.kill().expect("kill the own child");
        }
        std::thread::sleep(STEP);
    }
}

/// The exit status a shell would give.
pub(crate) fn code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(code).unwrap_or(u8::MAX)
}

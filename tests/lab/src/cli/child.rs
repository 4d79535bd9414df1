//! A program in the foreground: it gets our SIGINT and SIGTERM, and ends before we do.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use sentinel_lab::spawn_bound;

const STEP: Duration = Duration::from_millis(10);
/// A program that got a terminal's Ctrl-C itself may take this long before it is told again.
const OWN_CHANCE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

static SIGNALLED: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(number: libc::c_int) {
    SIGNALLED.store(number, Ordering::SeqCst);
}

/// From now on SIGINT, SIGTERM and SIGHUP end what runs in the foreground, so that everything is cleaned up.
pub(crate) fn catch_signals() {
    for number in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only stores into an atomic.
        unsafe { libc::signal(number, note as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    }
}

/// The signal that has asked us to end.
pub(crate) fn signalled() -> Option<i32> {
    Some(SIGNALLED.load(Ordering::SeqCst)).filter(|number| *number != 0)
}

pub(crate) fn start(command: Command) -> Result<Child, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    spawn_bound(command).map_err(|error| format!("cannot run {name}: {error}"))
}

/// Waits for the end of `child`; after one of our signals it is asked, then made, to end. `meanwhile` is called often.
pub(crate) fn wait(child: &mut Child, mut meanwhile: impl FnMut()) -> ExitStatus {
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
        meanwhile();
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

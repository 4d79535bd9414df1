//! Everything ends with the command, however the kit itself ends.
//!
//! Two processes watch each other: the one that was started, the guard, and its child, the keeper, which has the servers
//! and the command. Both adopt what loses its parent below them. So whichever of the two is killed with -9, the other one
//! is there to end what is left and to remove the folder.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use super::{FAILED, say};

/// For what ends by itself when the command has ended, such as what writes its log.
const OWN_END: Duration = Duration::from_millis(500);
/// Until what was asked to end is made to.
const GRACE: Duration = Duration::from_secs(1);
/// Until what cannot be ended, another user's process say, is given up.
const PATIENCE: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(2);
/// Processes that a message names.
const NAMED: usize = 5;

static SIGNALLED: AtomicI32 = AtomicI32::new(0);
static KEEPER: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(number: libc::c_int) {
    SIGNALLED.store(number, Ordering::SeqCst);
    let keeper = KEEPER.load(Ordering::SeqCst);
    if keeper != 0 {
        // SAFETY: kill is async-signal-safe; the keeper is not reaped before KEEPER is 0 again.
        unsafe { libc::kill(keeper, number) };
    }
}

/// From now on signals that end a program are noted, but for those that whoever started us ignores (nohup).
pub(crate) fn catch_signals() {
    for number in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
        let handler = note as extern "C" fn(libc::c_int) as libc::sighandler_t;
        // SAFETY: the handler only uses atomics and kill.
        unsafe {
            if libc::signal(number, handler) == libc::SIG_IGN {
                libc::signal(number, libc::SIG_IGN);
            }
        }
    }
}

/// The signal that has asked us to end.
pub(crate) fn signalled() -> Option<i32> {
    Some(SIGNALLED.load(Ordering::SeqCst)).filter(|number| *number != 0)
}

/// The keeper's view of the guard.
pub(crate) struct Guard {
    pid: u32,
    /// The folder for everything.
    pub(crate) folder: PathBuf,
}

impl Guard {
    /// Whether the guard was killed.
    pub(crate) fn is_gone(&self) -> bool {
        std::os::unix::process::parent_id() != self.pid
    }
}

/// Runs `keep` in a child process, and returns its exit status when nothing of it is left.
pub(crate) fn guarded(keep: impl FnOnce(&Guard) -> u8) -> Result<u8, String> {
    let parent = std::env::temp_dir();
    let folder = tempfile::Builder::new().prefix("lab-").tempdir_in(&parent);
    let cannot = |error: io::Error| format!("cannot make a folder in {}: {error}; see TMPDIR", parent.display());
    let folder = folder
        .and_then(|folder| fs::canonicalize(folder.keep()))
        .map_err(cannot)?;
    let guard = Guard {
        pid: std::process::id(),
        folder,
    };
    catch_signals();
    adopt_orphans();
    // SAFETY: there is one thread so far, so the child may do whatever the parent may.
    match unsafe { libc::fork() } {
        -1 => {
            fs::remove_dir_all(&guard.folder).ok();
            Err(format!("cannot fork: {}", io::Error::last_os_error()))
        }
        0 => {
            adopt_orphans();
            let status = keep(&guard);
            remove(&guard.folder);
            std::process::exit(i32::from(status));
        }
        keeper => Ok(watch(keeper, &guard.folder)),
    }
}

/// Waits for the keeper's end. Signals reach it through the handler.
fn watch(keeper: libc::pid_t, folder: &Path) -> u8 {
    KEEPER.store(keeper, Ordering::SeqCst);
    if let Some(number) = signalled() {
        // It may have come before the handler knew where to send it.
        // SAFETY: kill has no memory preconditions.
        unsafe { libc::kill(keeper, number) };
    }
    let mut raw = 0;
    // SAFETY: `raw` outlives the calls. The first leaves the id taken until the handler no longer uses it.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        while libc::waitid(
            libc::P_PID,
            keeper as libc::id_t,
            &raw mut info,
            libc::WEXITED | libc::WNOWAIT,
        ) != 0
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
        KEEPER.store(0, Ordering::SeqCst);
        libc::waitpid(keeper, &raw mut raw, 0);
    }
    end_descendants(false);
    remove(folder);
    let status = ExitStatus::from_raw(raw);
    match status.code() {
        Some(code) => u8::try_from(code).unwrap_or(u8::MAX),
        None => {
            let number = status.signal().unwrap_or_default();
            say(&format!(
                "the process that kept the servers was killed by signal {number}"
            ));
            FAILED
        }
    }
}

/// A child whose parent ends becomes ours.
fn adopt_orphans() {
    // SAFETY: this prctl takes a number and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

fn remove(folder: &Path) {
    if std::env::var_os("LAB_KEEP").is_some() || !folder.exists() {
        return;
    }
    if let Err(error) = fs::remove_dir_all(folder) {
        // The other of the two processes may be at it as well.
        if error.kind() != io::ErrorKind::NotFound {
            say(&format!("cannot remove {}: {error}", folder.display()));
        }
    }
}

/// The parents of all processes, from /proc.
fn parents() -> Vec<(libc::pid_t, libc::pid_t)> {
    let folders = fs::read_dir("/proc").into_iter().flatten().flatten();
    folders
        .filter_map(|folder| {
            let pid: libc::pid_t = folder.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // After the name, which may contain anything: state, parent.
            let mut rest = stat.rsplit_once(')')?.1.split_whitespace();
            let state = rest.next()?;
            let parent = rest.next()?.parse().ok()?;
            (state != "Z").then_some((pid, parent))
        })
        .collect()
}

/// All that runs below this process.
fn descendants() -> Vec<libc::pid_t> {
    let parents = parents();
    let mut found = vec![std::process::id() as libc::pid_t];
    let mut looked_at = 0;
    while let Some(parent) = found.get(looked_at).copied() {
        looked_at += 1;
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
    }
    found.split_off(1)
}

/// `1234 (sleep 100)`
fn shown(pid: libc::pid_t) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&line).replace('\0', " ");
    format!("{pid} ({})", words.trim_end())
}

/// The first of them by name, and how many there are besides.
fn listed(pids: &[libc::pid_t]) -> String {
    let (named, others) = pids.split_at(pids.len().min(NAMED));
    let mut names: Vec<String> = named.iter().copied().map(shown).collect();
    names.extend((!others.is_empty()).then(|| format!("and {} more", others.len())));
    names.join(", ")
}

/// Ends all that runs below this process and reaps it; `kindly` with time to end by itself, with SIGTERM at first, and
/// with a word about it.
pub(crate) fn end_descendants(kindly: bool) {
    if kindly {
        if none_is_left_within(OWN_END) {
            return;
        }
        let left = descendants();
        say(&format!(
            "the command left processes behind, which are ended: {}",
            listed(&left)
        ));
        send_all(&left, libc::SIGTERM);
        // A stopped process takes the signal when it goes on.
        send_all(&left, libc::SIGCONT);
        if none_is_left_within(GRACE) {
            return;
        }
    }
    let started = Instant::now();
    loop {
        // What has been forked meanwhile, too.
        let left = descendants();
        send_all(&left, libc::SIGKILL);
        if none_is_left_within(STEP) {
            return;
        }
        if started.elapsed() > PATIENCE {
            return say(&format!("these processes cannot be ended: {}", listed(&left)));
        }
    }
}

/// Reaps what ends, for so long.
fn none_is_left_within(time: Duration) -> bool {
    let started = Instant::now();
    loop {
        // SAFETY: without a place for the status there are no memory preconditions.
        while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
        if descendants().is_empty() {
            return true;
        }
        if started.elapsed() >= time {
            return false;
        }
        std::thread::sleep(STEP);
    }
}

fn send_all(pids: &[libc::pid_t], number: libc::c_int) {
    for pid in pids {
        // SAFETY: kill has no memory preconditions. What is below us keeps its id until we, or its parent, reap it.
        unsafe { libc::kill(*pid, number) };
    }
}

/// Reaps adopted children that have ended; those in `own` have somebody who waits for them.
pub(crate) fn reap_adopted(own: impl Fn() -> Vec<u32>) {
    loop {
        // SAFETY: `info` outlives the calls, and si_pid is set by a waitid that succeeds.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            if libc::waitid(libc::P_ALL, 0, &raw mut info, how) != 0 {
                return;
            }
            let pid = info.si_pid();
            if pid == 0 || own().contains(&(pid as u32)) {
                return;
            }
            libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG);
        }
    }
}

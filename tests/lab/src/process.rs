//! Child processes that do not outlive the test process, however it ends.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Mutex, OnceLock, mpsc};

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// Starts `command` as a child that is killed when this process dies, even by SIGKILL.
///
/// The kernel ties PR_SET_PDEATHSIG to the *thread* that forked, and test threads come and go; so one thread that never
/// ends forks for all.
pub fn spawn_bound(command: Command) -> io::Result<Child> {
    static FORKER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let forker = FORKER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::Builder::new()
            .name("lab-forker".into())
            .spawn(move || {
                for (mut command, answer) in inbox {
                    // Whoever asked waits for the answer, so it is always taken.
                    answer.send(die_with_parent(&mut command).spawn()).ok();
                }
            })
            .expect("start the thread that forks; raise the limit of threads");
        Mutex::new(orders)
    });
    let (answer, result) = mpsc::channel();
    forker
        .lock()
        .expect("the lock of the forking thread is never held over a panic")
        .send((command, answer))
        .expect("the forking thread never ends");
    result.recv().expect("the forking thread answers every order")
}

fn die_with_parent(command: &mut Command) -> &mut Command {
    let parent = std::process::id();
    // SAFETY: between fork and exec the closure makes system calls only, it neither allocates nor locks.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the call above.
            if libc::getppid() as u32 != parent {
                libc::_exit(1);
            }
            Ok(())
        })
    }
}

/// Sends `signal` to `pid`; whether it could be sent.
pub(crate) fn signal(pid: u32, signal: libc::c_int) -> bool {
    let pid = libc::pid_t::try_from(pid).expect("a process id fits its own type");
    // SAFETY: kill has no memory preconditions.
    unsafe { libc::kill(pid, signal) == 0 }
}

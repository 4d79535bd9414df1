//! What /proc tells about a process: threads, descriptors and processor time.

use std::fs;
use std::time::Duration;

fn read(pid: u32, file: &str) -> String {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path}: {error}; has the process ended?"))
}

/// The number of threads of `pid` (`std::process::id()` for the own process).
pub fn count_threads(pid: u32) -> usize {
    let status = read(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    line.and_then(|count| count.trim().parse().ok())
        .expect("/proc/PID/status has a line `Threads:`")
}

/// The number of open file descriptors of `pid`; for the own process one is the folder this function reads.
pub fn count_fds(pid: u32) -> usize {
    let path = format!("/proc/{pid}/fd");
    fs::read_dir(&path)
        .unwrap_or_else(|error| panic!("cannot read {path}: {error}; has the process ended?"))
        .count()
}

/// The processor time, user and system together, that `pid` has used; resolution is one clock tick (10 ms).
pub fn cpu_time(pid: u32) -> Duration {
    let stat = read(pid, "stat");
    // The second field is the name in parentheses and may contain anything, so fields are counted after it.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let ticks: u64 = fields[11..=12]
        .iter()
        .map(|field| field.parse::<u64>().expect("ticks are a number"))
        .sum();
    // SAFETY: sysconf has no memory preconditions.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Duration::from_millis(ticks * 1000 / u64::try_from(per_second).expect("the clock ticks"))
}

/// Whether `pid` exists and is not a zombie.
pub fn process_exists(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.trim_start().chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

//! Processor time of the threads that matter: the library's own and its callers', not the laboratory's.

use std::fs;
use std::time::{Duration, Instant};

/// The library's thread.
pub(crate) const IO: &[&str] = &["sentinel-io", "sentinel-dns", "sentinel-files", "sentinel-aside"];

/// The library's thread and the threads that call it.
pub(crate) const LIBRARY_AND_CALLERS: &[&str] = &[
    "sentinel-io",
    "sentinel-dns",
    "sentinel-files",
    "sentinel-aside",
    "writer",
];

/// What the threads of this process with one of these names have used so far.
pub(crate) fn used_by(names: &[&str]) -> Duration {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let wanted = tasks.filter(|task| {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        names.contains(&name.trim_end())
    });
    wanted
        .filter_map(|task| thread_time(task.file_name().to_str()?.parse().ok()?))
        .sum()
}

/// The processor time of a thread of this process. The files of /proc count in ticks of 10 ms, its clock does not; the
/// number of that clock is what pthread_getcpuclockid makes of a thread's id.
fn thread_time(thread: i32) -> Option<Duration> {
    const PER_THREAD: i32 = 4;
    const SCHEDULED: i32 = 2;
    read_clock((!thread << 3) | PER_THREAD | SCHEDULED)
}

/// The processor time of the calling thread.
pub(crate) fn used_by_this_thread() -> Duration {
    read_clock(libc::CLOCK_THREAD_CPUTIME_ID).unwrap_or_default()
}

fn read_clock(clock: libc::clockid_t) -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is the call's own for its duration; an unknown clock is an error.
    let known = unsafe { libc::clock_gettime(clock, &raw mut time) } == 0;
    known.then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// `make promises` asserts the promised share on the build that is shipped. `make test` runs an unoptimised one beside
/// whatever else a machine does: there the bound only tells a loop that spins from one that waits.
pub(crate) const DEBUG_FACTOR: f64 = if cfg!(debug_assertions) { 6.0 } else { 1.0 };

/// Measures the share of a core that threads use.
pub(crate) struct Meter {
    names: &'static [&'static str],
    before: Duration,
    since: Instant,
}

impl Meter {
    pub(crate) fn start(names: &'static [&'static str]) -> Meter {
        Meter {
            names,
            before: used_by(names),
            since: Instant::now(),
        }
    }

    /// Percent of a core since the start.
    pub(crate) fn percent(&self) -> f64 {
        let used = used_by(self.names).saturating_sub(self.before);
        100.0 * used.as_secs_f64() / self.since.elapsed().as_secs_f64()
    }
}

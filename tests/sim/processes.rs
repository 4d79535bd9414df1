//! Many seeds: each in a child of its own, so that it finds everything as the first one does, and on all processors.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::time::{Duration, Instant};

use crate::run::{self, Report};
use crate::sentinels;

/// Seconds after which a child hangs.
const PATIENCE: u32 = 60;

/// One seed in so many runs twice, and must do the same.
const TWICE: u64 = 50;

/// Failures that are told in full.
const MOST_TOLD: usize = 3;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs what the environment asks for. The status of the process.
pub(crate) fn main() -> i32 {
    if std::env::args().any(|arg| arg == "--list") {
        return 0;
    }
    std::panic::set_hook(Box::new(|panic| {
        // It may be in the middle of anything, and nothing that follows counts.
        eprintln!("{panic}");
        if std::env::var_os("TRACE").is_some() {
            eprintln!("{}", std::backtrace::Backtrace::force_capture());
        }
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(101) };
    }));
    let (of_data, of_sentinels): (World, World) = (("data path", run::run, 1), ("sentinels", sentinels::run, 8));
    let worlds = match std::env::var("WORLD").as_deref() {
        Ok("sentinels") => vec![of_sentinels],
        Ok("data") => vec![of_data],
        _ => vec![of_data, of_sentinels],
    };
    if let Some(seed) = number("SEED") {
        let report = worlds[0].1(seed, std::env::var_os("QUIET").is_none());
        println!("seed {seed}: {report:?}");
        return 0;
    }
    let (from, asked) = (number("FROM").unwrap_or(0), number("SEEDS"));
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = number("JOBS").map_or(jobs, |jobs| jobs as usize);
    let failed = worlds.into_iter().map(|world| {
        let count = asked.unwrap_or(2_000 / world.2);
        Runs::of(world).all(from..from + count, jobs)
    });
    failed.max().unwrap_or(0)
}

/// A name, what runs a seed, and how many times longer one takes than one of the others.
type World = (&'static str, fn(u64, bool) -> Report, u64);

struct Child {
    seed: u64,
    again: bool,
    out: File,
}

struct Runs {
    world: World,
    children: BTreeMap<libc::pid_t, Child>,
    /// The first reports of the seeds that run twice.
    first: BTreeMap<u64, String>,
    done: u64,
    calls: u64,
    failed: Vec<(u64, String)>,
}

impl Runs {
    fn of(world: World) -> Runs {
        Runs {
            world,
            children: BTreeMap::new(),
            first: BTreeMap::new(),
            done: 0,
            calls: 0,
            failed: Vec::new(),
        }
    }

    fn all(mut self, seeds: std::ops::Range<u64>, jobs: usize) -> i32 {
        let began = Instant::now();
        for seed in seeds.clone() {
            let twice = seed % TWICE == 0;
            for again in [false, true].into_iter().take(1 + usize::from(twice)) {
                while self.children.len() >= jobs {
                    self.take_one();
                }
                self.start(seed, again);
            }
        }
        while !self.children.is_empty() {
            self.take_one();
        }
        let (took, count) = (began.elapsed().as_secs_f64(), seeds.end - seeds.start);
        println!(
            "simulation of the {}: seeds {}..{}, {} calls, {took:.1} s",
            self.world.0, seeds.start, seeds.end, self.calls
        );
        if self.failed.is_empty() {
            return 0;
        }
        self.failed.sort();
        for (seed, what) in self.failed.iter().take(MOST_TOLD) {
            println!(
                "seed {seed} failed (WORLD={} SEED={seed} tells how):\n{what}\n",
                self.world.0.split(' ').next().unwrap_or_default()
            );
        }
        for (seed, what) in &self.failed {
            let line = what.lines().nth(1).or(what.lines().next());
            println!("  {seed}: {}", line.unwrap_or("without a word"));
        }
        println!("{} of {count} seeds failed", self.failed.len());
        1
    }

    fn start(&mut self, seed: u64, again: bool) {
        let mut ends = [0; 2];
        // SAFETY: room for two descriptors.
        assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
        // What a child says is read when it has ended: all of it has room.
        // SAFETY: a descriptor of this process.
        unsafe { libc::fcntl(ends[1], libc::F_SETPIPE_SZ, 1 << 20) };
        // SAFETY: this process has one thread.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            // SAFETY: descriptors of this process; the pipe takes the place of its output.
            unsafe {
                libc::dup2(ends[1], 1);
                libc::dup2(ends[1], 2);
                libc::close(ends[0]);
                libc::close(ends[1]);
                libc::alarm(PATIENCE);
            }
            let Report { hash, steps, calls } = (self.world.1)(seed, false);
            println!("{calls} {steps} {hash:x}");
            let _ = std::io::stdout().flush();
            // SAFETY: ends the process; nothing of it is to be cleaned up.
            unsafe { libc::_exit(0) };
        }
        // SAFETY: the end for writing is the child's.
        unsafe { libc::close(ends[1]) };
        // SAFETY: the descriptor is open and nobody else's.
        let out = unsafe { File::from_raw_fd(ends[0]) };
        self.children.insert(pid, Child { seed, again, out });
    }

    fn take_one(&mut self) {
        let mut status = 0;
        // SAFETY: the children are this process's own, and `status` outlives the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, 0) };
        let Some(mut child) = self.children.remove(&pid) else {
            return;
        };
        let mut said = String::new();
        let _ = child.out.read_to_string(&mut said);
        self.done += 1;
        if status != 0 {
            if libc::WIFSIGNALED(status) {
                said.push_str(&format!("\nended by signal {}", libc::WTERMSIG(status)));
            }
            self.failed.push((child.seed, said));
            return;
        }
        let calls = said.split(' ').next().and_then(|calls| calls.parse::<u64>().ok());
        self.calls += calls.unwrap_or(0);
        if child.seed % TWICE == 0 {
            match self.first.remove(&child.seed) {
                Some(first) if first != said => {
                    let what = format!("two runs differ:\n{first}{said}");
                    self.failed.push((child.seed, what));
                }
                Some(_) => {}
                None => {
                    self.first.insert(child.seed, said);
                }
            }
        }
    }
}

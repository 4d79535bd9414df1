//! How late calls ended, and how late the machine was at that moment.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A call ends no later after its deadline.
pub(crate) const PROMISED: Duration = Duration::from_millis(20);

/// Samples of a second and a half.
const KEPT: usize = 1500;

const STEP: Duration = Duration::from_millis(1);

#[derive(Debug, Default)]
struct Worst {
    late: Duration,
    /// Less what a thread that only slept was late by at that moment.
    net: Duration,
    beyond: u64,
    measured: u64,
}

/// How long this thread was ready to run and did not get a processor, since it began.
fn waited_for_a_processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let waited = stat.split(' ').nth(1).and_then(|text| text.parse().ok());
    Duration::from_nanos(waited.unwrap_or(0))
}

/// How a call comes back to its caller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Way {
    /// The caller's thread waits for it, and looks at the time itself.
    Waited,
    /// sentinel-io ends it in a queue that the caller's thread polls: the machine may let one of them wait, and then the
    /// other.
    Submitted,
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Begun {
    at: Instant,
    waited: Duration,
}

impl Begun {
    pub(crate) fn now() -> Begun {
        Begun {
            waited: waited_for_a_processor(),
            at: Instant::now(),
        }
    }
}

/// Shared by all callers.
#[derive(Debug, Default)]
pub(crate) struct Punctual {
    noise: Mutex<VecDeque<(Instant, Duration)>>,
    worst: [Mutex<Worst>; 2],
    pub(crate) ended: AtomicBool,
}

impl Punctual {
    /// Measures what the machine is late by, until it is ended.
    pub(crate) fn listen(&self) {
        while !self.ended.load(Ordering::Relaxed) {
            let wanted = Instant::now() + STEP;
            std::thread::sleep(STEP);
            let mut noise = self.noise.lock().unwrap();
            noise.push_back((wanted, wanted.elapsed()));
            if noise.len() > KEPT {
                noise.pop_front();
            }
        }
    }

    /// Notes a call that began then, had so long, and ended now. What the machine was late by meanwhile is what another
    /// thread measured that only sleeps, or what the caller itself waited for a processor.
    pub(crate) fn note(&self, way: Way, began: &Begun, limit: Duration) {
        let (deadline, end) = (began.at + limit, Instant::now());
        let late = end.saturating_duration_since(deadline);
        if late.is_zero() {
            return;
        }
        let waited = waited_for_a_processor().saturating_sub(began.waited);
        // The sampler must have had its turn too.
        std::thread::sleep(2 * STEP);
        let noise = self.noise.lock().unwrap();
        let around = noise.iter().filter(|(at, by)| *at + *by >= deadline && *at <= end);
        let noise = around.map(|(_, by)| *by).max().unwrap_or_default();
        let machine = match way {
            Way::Waited => noise.max(waited),
            Way::Submitted => noise + waited,
        };
        let net = late.saturating_sub(machine);
        let mut worst = self.worst[way as usize].lock().unwrap();
        worst.measured += 1;
        worst.late = worst.late.max(late);
        worst.net = worst.net.max(net);
        worst.beyond += u64::from(net > PROMISED);
    }

    /// Lines about it, and how many calls ended too late.
    pub(crate) fn summary(&self) -> (Vec<String>, u64) {
        let mut late = 0;
        let lines = ["calls", "submissions"].iter().zip(&self.worst).map(|(what, worst)| {
            let worst = worst.lock().unwrap();
            late += worst.beyond;
            format!(
                "{} {what} ended after their deadline, the latest by {:.1} ms, {:.1} ms without the machine's own delay; {} \
                 by more than {} ms",
                worst.measured,
                worst.late.as_secs_f64() * 1e3,
                worst.net.as_secs_f64() * 1e3,
                worst.beyond,
                PROMISED.as_millis()
            )
        });
        (lines.collect(), late)
    }
}

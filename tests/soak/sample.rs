//! One second of the program as its line tells it.

use std::fmt;

/// What happened in a second, and what the process held at its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) second: u64,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    /// The longest time without a success on the primary that ended in this second.
    pub(crate) gap_ms: u64,
    pub(crate) rss_kib: u64,
    pub(crate) descriptors: u64,
    /// Those that stay.
    pub(crate) threads: u64,
}

const MARK: &str = "sample";

impl Sample {
    pub(crate) fn read(line: &str) -> Option<Sample> {
        let numbers = line.strip_prefix(MARK)?.split_whitespace().map(str::parse);
        let numbers: Vec<u64> = numbers.collect::<Result<_, _>>().ok()?;
        let &[second, succeeded, failed, gap_ms, rss_kib, descriptors, threads] = numbers.as_slice() else {
            return None;
        };
        Some(Sample {
            second,
            succeeded,
            failed,
            gap_ms,
            rss_kib,
            descriptors,
            threads,
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{MARK} {} {} {} {} {} {} {}",
            self.second, self.succeeded, self.failed, self.gap_ms, self.rss_kib, self.descriptors, self.threads
        )
    }
}

/// Growth of the resident memory that is no leak: the allocator's arenas fill up late.
const GROWTH_KIB: u64 = 2048;

/// Connections of two clients and three links, twice while one generation replaces another.
const DESCRIPTORS: u64 = 64;

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

/// Checks that the program was at the end what it was at the beginning: the first quarter is for growing into.
pub(crate) fn assert_stable(samples: &[Sample]) {
    let len = samples.len();
    assert!(len >= 40, "only {len} seconds were sampled");
    let rss = |part: &[Sample]| median(part.iter().map(|sample| sample.rss_kib).collect());
    let (early, late) = (rss(&samples[len / 4..len / 2]), rss(&samples[3 * len / 4..]));
    let threads = |pick: fn(u64, u64) -> u64| samples[5..].iter().map(|sample| sample.threads).reduce(pick).unwrap();
    let most = samples.iter().map(|sample| sample.descriptors).max().unwrap();
    println!(
        "soak: RSS {early} KiB in the second quarter, {late} KiB in the last; at most {most} descriptors; {} to {} threads",
        threads(u64::min),
        threads(u64::max)
    );
    assert!(late <= early + GROWTH_KIB, "memory grew");
    assert!(most <= DESCRIPTORS, "descriptors");
    assert_eq!(threads(u64::min), threads(u64::max), "threads came or went");
}

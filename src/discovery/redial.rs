//! When a Sentinel is dialled, and how long it is given. Pure.

use std::time::{Duration, Instant};

use crate::base::error::Stage;

/// The first wait after a failure is at most so long; each further one up to twice as long as the one before.
const FIRST: Duration = Duration::from_millis(100);

/// The longest waits: while others answer and hold it to be down, or up, while nobody does, and where the next try fails as
/// the last one did. One that only we cannot reach is back for us without a sign: with 30 s, a hundred clients needed 28 s
/// to be back at it (make crowd), where 10 are wanted.
const WHILE_OTHERS_ANSWER: Duration = Duration::from_secs(30);
const WHILE_OTHERS_HOLD_IT_UP: Duration = Duration::from_secs(8);
const WHILE_NOBODY_DOES: Duration = Duration::from_secs(1);
const WHERE_IT_IS_OF_NO_USE: Duration = Duration::from_secs(60);

/// A Sentinel that callers wait for is dialled once a second at the most, however long its wait would be.
pub(super) const FOR_CALLERS: Duration = Duration::from_secs(1);

/// Connecting and answers are given no more than this, however often they failed.
const MOST_PATIENCE: Duration = Duration::from_secs(3);

/// Dials of a deployment: so many at once, or all the addresses that were given. While nobody answers so many a second, or
/// each of those addresses once, up to a limit; and between further ones while others answer.
const BURST: u32 = 16;
const MOST_AT_ONCE: u32 = 256;
const EACH_SECOND: (u32, u32) = (10, 50);
const BETWEEN_WHILE_OTHERS_ANSWER: Duration = Duration::from_millis(250);

/// What the others say of a Sentinel that cannot be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Nobody answers.
    Silent,
    /// They hold it to be down, or do not know it.
    HoldItDown,
    /// They hold it to be up.
    HoldItUp,
}

/// The longest wait before the next try, after so many failures in a row of which the last was at `stage`.
pub(super) fn longest_wait(failures: u32, stage: Stage, others: Others) -> Duration {
    let most = match (stage, others) {
        (Stage::Resolve | Stage::Tls | Stage::Auth, _) => WHERE_IT_IS_OF_NO_USE,
        (_, Others::HoldItDown) => WHILE_OTHERS_ANSWER,
        (_, Others::HoldItUp) => WHILE_OTHERS_HOLD_IT_UP,
        (_, Others::Silent) => WHILE_NOBODY_DOES,
    };
    let doublings = failures.saturating_sub(1).min(16);
    FIRST.saturating_mul(1 << doublings).min(most)
}

/// How long a Sentinel is given that was too slow so many times: one that is far away, or overloaded, is never reached
/// with the patience that finds a dead one quickly.
pub(super) fn patience(first: Duration, too_slow: u32) -> Duration {
    first
        .saturating_mul(1 << too_slow.min(16))
        .min(MOST_PATIENCE.max(first))
}

/// How many dials a deployment may make, whatever number of Sentinels is dead.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// When the next one would be due, were there none at once.
    next: Option<Instant>,
}

impl Budget {
    /// Takes a dial, or tells when there may be one: whoever has gone by then has taken none.
    pub(super) fn take(&mut self, others_answer: bool, given: u32, now: Instant) -> Result<(), Instant> {
        let between = if others_answer {
            BETWEEN_WHILE_OTHERS_ANSWER
        } else {
            Duration::from_secs(1) / given.clamp(EACH_SECOND.0, EACH_SECOND.1)
        };
        let saved = between * (given.clamp(BURST, MOST_AT_ONCE) - 1);
        let saved_up = now.checked_sub(saved).unwrap_or(now);
        let due = self.next.map_or(saved_up, |next| next.max(saved_up));
        if due > now {
            return Err(due);
        }
        self.next = Some(due + between);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end_where_they_should() {
        let waits = |stage, others| [1, 2, 5, 20].map(|failures| longest_wait(failures, stage, others).as_millis());
        assert_eq!(waits(Stage::Connect, Others::HoldItDown), [100, 200, 1600, 30_000]);
        assert_eq!(waits(Stage::Connect, Others::HoldItUp), [100, 200, 1600, 8000]);
        assert_eq!(waits(Stage::Connect, Others::Silent), [100, 200, 1000, 1000]);
        assert_eq!(waits(Stage::Auth, Others::Silent), [100, 200, 1600, 60_000]);
        assert_eq!(waits(Stage::Tls, Others::HoldItUp), [100, 200, 1600, 60_000]);
        assert_eq!(waits(Stage::Resolve, Others::HoldItUp), [100, 200, 1600, 60_000]);
    }

    #[test]
    fn who_was_too_slow_is_given_more_time() {
        let given = |first, too_slow| patience(Duration::from_millis(first), too_slow).as_millis();
        assert_eq!(
            [given(200, 0), given(200, 1), given(200, 3), given(200, 40)],
            [200, 400, 1600, 3000]
        );
        assert_eq!([given(5000, 0), given(5000, 4)], [5000, 5000]);
    }

    #[test]
    fn a_deployment_dials_so_often_and_no_more() {
        for (others, given, each_minute, burst) in [
            (true, 3, 240, BURST),
            (false, 3, 600, BURST),
            (false, 20, 1200, 20),
            (false, 60, 3000, 60),
        ] {
            let mut budget = Budget::default();
            let begin = Instant::now() + Duration::from_secs(60);
            let mut now = begin;
            let mut dials = 0;
            while now < begin + Duration::from_secs(60) {
                match budget.take(others, given, now) {
                    Ok(()) => dials += 1,
                    Err(due) => now = due,
                }
            }
            assert!((each_minute..=each_minute + burst + 1).contains(&dials), "{dials}");
            // What was saved up is no more than the burst.
            let later = now + Duration::from_secs(3600);
            let at_once = (0..burst * 2)
                .filter(|_| budget.take(others, given, later).is_ok())
                .count();
            assert_eq!(at_once, burst as usize);
        }
    }
}

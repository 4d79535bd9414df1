//! When a lane stops sending to a node that has fallen silent.
//!
//! A server that shuts down holds back the replies to writes for up to ten seconds while replicas catch up, and dies
//! with them: whatever was sent to it meanwhile ends UNKNOWN. What gathers unsent instead moves over to the new primary.
//! Pure.

use std::time::Duration;

use crate::base::clock::Moment;

/// Silence that means nothing, however near the node is.
const SHORTEST: Duration = Duration::from_millis(5);

/// Round trips of silence on top of it.
const ROUND_TRIPS: u32 = 4;

/// A wait for so long makes the node be asked whether it holds back writes: with the looks at the time and the sentry's
/// next PING it has answered before the connection is given up.
const DOUBT_AFTER: Duration = Duration::from_millis(250);

/// Before anything was measured.
const GUESS: Duration = Duration::from_millis(50);

/// How long a connection may leave one waiting while its node answers elsewhere, before it is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// The server answers in its turn: together with the sentry's next pong less than the 2 s of a half-open connection.
    Usual = 0,
    /// A command of a module, which may answer from a thread of its own.
    Long = 1,
    /// The command waits in the server, for as long as its caller does.
    Endless = 2,
}

impl Patience {
    /// That of this number.
    pub(super) fn of(number: u8) -> Patience {
        match number {
            0 => Patience::Usual,
            1 => Patience::Long,
            _ => Patience::Endless,
        }
    }

    /// None: for ever.
    fn limit(self) -> Option<Duration> {
        match self {
            Patience::Usual => Some(Duration::from_millis(1500)),
            Patience::Long => Some(Duration::from_secs(10)),
            Patience::Endless => None,
        }
    }

    /// Whether a connection that has left one waiting since `since` is to be given up. `answered`: when its node last
    /// answered on another one, and held nothing back; asked early, for who doubts the node makes it be asked that.
    pub(super) fn is_over(self, since: Moment, now: Moment, answered: impl FnOnce() -> Option<Moment>) -> bool {
        let Some(limit) = self.limit().filter(|_| now.is_beyond(since, DOUBT_AFTER)) else {
            return false;
        };
        let answered = answered();
        now.is_beyond(since, limit) && answered.is_some_and(|answered| answered > since)
    }
}

/// Why a connection is given up then.
pub(super) const SILENT: &str = "the connection is silent, and its node is not";

/// What is to become of a connection that leaves one waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is of use.
    Stay,
    /// Nothing more is sent on it: what was sent may take longer than others like to wait.
    Leave,
    /// It is of no use.
    GiveUp,
}

/// What a connection leaves one waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The reply to a request that was handed over whole.
    Reply(Patience),
    /// Room for the rest of what it was given, after so many bytes.
    Room(u64),
}

/// How long a lane's node has said nothing although replies are due.
#[derive(Debug)]
pub(super) struct Silence {
    /// Since when; none while no reply is due.
    since: Option<Moment>,
    /// What is due, and since when nothing was heard of it.
    owed: Option<(Due, Moment)>,
    /// A request that is being timed: where in the lane's stream it begins, and when it was taken.
    timed: Option<(u64, Moment)>,
    round_trip: Duration,
}

impl Silence {
    pub(super) fn new() -> Silence {
        Silence {
            since: None,
            owed: None,
            timed: None,
            round_trip: GUESS,
        }
    }

    /// A request that begins at `begin` is about to be sent.
    pub(super) fn asked(&mut self, begin: u64, now: Moment) {
        self.since.get_or_insert(now);
        self.timed.get_or_insert((begin, now));
    }

    /// The node said something. `due`: where the first request without a reply begins, if there is one.
    pub(super) fn heard(&mut self, due: Option<u64>, now: Moment) {
        self.since = due.map(|_| now);
        self.owed = None;
        let answered = |(begin, _): &mut (u64, Moment)| due.is_none_or(|due| due > *begin);
        if let Some((_, at)) = self.timed.take_if(answered) {
            self.round_trip = (self.round_trip * 7 + now.since(at)) / 8;
        }
    }

    /// What is due now.
    pub(super) fn owes(&mut self, due: Option<Due>) {
        if self.owed.map(|(due, _)| due) != due {
            self.owed = due.map(|due| (due, Moment::now()));
        }
    }

    /// What is to become of the connection; its node answered on another one at `answered`.
    pub(super) fn verdict(&self, now: Moment, answered: impl Fn() -> Option<Moment>) -> Verdict {
        let Some((due, since)) = self.owed else {
            return Verdict::Stay;
        };
        let patience = match due {
            Due::Reply(patience) => patience,
            Due::Room(_) => Patience::Usual,
        };
        if patience.is_over(since, now, &answered) {
            Verdict::GiveUp
        } else if Patience::Usual.is_over(since, now, &answered) {
            Verdict::Leave
        } else {
            Verdict::Stay
        }
    }

    /// Whether nothing more should be sent before the node says something.
    pub(super) fn is_long(&self) -> bool {
        self.since.is_some() && self.was_long(Moment::now())
    }

    fn was_long(&self, now: Moment) -> bool {
        let limit = SHORTEST + self.round_trip * ROUND_TRIPS;
        self.since.is_some_and(|since| now.is_beyond(since, limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn silence_is_long_after_some_round_trips_and_ends_with_a_word() {
        let (mut silence, mut now) = (Silence::new(), Moment::now());
        assert!(!silence.was_long(now.plus(1000 * MS)), "nothing is due");
        for begin in 0..100 {
            silence.asked(begin, now);
            now = now.plus(MS);
            silence.heard(None, now);
        }
        assert!(!silence.was_long(now.plus(1000 * MS)));
        silence.asked(100, now);
        silence.asked(101, now.plus(8 * MS));
        assert!(!silence.was_long(now.plus(8 * MS)));
        assert!(silence.was_long(now.plus(11 * MS)), "5 ms and four round trips of 1 ms");
        silence.heard(Some(101), now.plus(12 * MS));
        assert!(!silence.was_long(now.plus(13 * MS)), "it speaks");
        assert!(silence.was_long(now.plus(60 * MS)), "one of two is still due");
    }

    #[test]
    fn a_connection_is_given_up_when_it_owes_a_reply_while_its_node_answers_elsewhere() {
        let mut silence = Silence::new();
        let none = silence.verdict(Moment::NEVER, || Some(Moment::now()));
        assert_eq!(none, Verdict::Stay, "nothing is due");
        let reply = Some(Due::Reply(Patience::Usual));
        silence.owes(reply);
        let (_, owed) = silence.owed.unwrap();
        silence.owes(reply);
        assert_eq!(silence.owed.unwrap().1, owed, "since the first time");
        let late = owed.plus(1501 * MS);
        let verdict = |at, answered| silence.verdict(at, || answered);
        assert_eq!(verdict(late, None), Verdict::Stay, "the node is silent as a whole");
        assert_eq!(verdict(late, Some(owed)), Verdict::Stay, "it has not answered since");
        assert_eq!(verdict(owed.plus(1500 * MS), Some(owed.plus(MS))), Verdict::Stay);
        assert_eq!(verdict(late, Some(owed.plus(MS))), Verdict::GiveUp);
        silence.heard(Some(7), late);
        let heard = silence.verdict(late.plus(1000 * MS), || Some(late));
        assert_eq!(heard, Verdict::Stay, "it has said something");
    }

    #[test]
    fn what_a_module_or_the_server_itself_waits_for_has_its_time_and_a_write_that_is_stuck_has_not() {
        for (due, at_2_s, at_11_s) in [
            (Due::Reply(Patience::Usual), Verdict::GiveUp, Verdict::GiveUp),
            (Due::Reply(Patience::Long), Verdict::Leave, Verdict::GiveUp),
            (Due::Reply(Patience::Endless), Verdict::Leave, Verdict::Leave),
            (Due::Room(1), Verdict::GiveUp, Verdict::GiveUp),
        ] {
            let mut silence = Silence::new();
            silence.owes(Some(due));
            let (_, since) = silence.owed.unwrap();
            let verdict = |ms| silence.verdict(since.plus(ms * MS), || Some(since.plus(MS)));
            assert_eq!((verdict(2_000), verdict(11_000)), (at_2_s, at_11_s), "{due:?}");
        }
        let mut silence = Silence::new();
        silence.owes(Some(Due::Room(1)));
        silence.owed = Some((Due::Room(1), Moment::of(1)));
        silence.owes(Some(Due::Room(2)));
        assert!(silence.owed.unwrap().1 > Moment::of(1), "something moves");
    }

    #[test]
    fn a_distant_node_is_given_more_time() {
        let (mut silence, mut now) = (Silence::new(), Moment::now());
        for begin in 0..100 {
            silence.asked(begin, now);
            now = now.plus(80 * MS);
            silence.heard(None, now);
        }
        silence.asked(100, now);
        assert!(!silence.was_long(now.plus(300 * MS)));
        assert!(silence.was_long(now.plus(330 * MS)));
    }
}

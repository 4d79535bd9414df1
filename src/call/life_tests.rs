//! Whatever happens to a call, in whatever order: what it promises of its outcome holds, and it ends.

use proptest::prelude::*;

use super::commands::{self, Traits};
use super::events::Word;
use super::life::{Commands, Ended, Event, Handed, Life, Message, Next, Scene, Shape, Step};
use super::reading::in_one;
use super::terms::CallOptions;
use crate::base::error::{Error, ErrorKind, Outcome};
use crate::resp::{Builder, Kind, Reply};
use crate::topology::Role;

/// The commands of a call.
struct Words(Vec<Vec<&'static str>>);

impl Commands for Words {
    fn show(&self, look: &mut dyn FnMut(&[&[u8]]) -> bool) {
        for command in &self.0 {
            let args: Vec<&[u8]> = command.iter().map(|word| word.as_bytes()).collect();
            if !look(&args) {
                return;
            }
        }
    }

    fn only_read(&self) -> bool {
        let mut all = true;
        self.show(&mut |args| {
            all &= commands::is_read_only(args);
            all
        });
        all
    }
}

/// The commands of a call, and its shape when there are so many.
type Made = (&'static [&'static str], fn(usize) -> Shape);

/// What calls are made of.
const CALLS: [Made; 16] = [
    (&["SET k v"], |_| Shape::Command),
    (&["GET k"], |_| Shape::Command),
    (&["BLPOP k 0"], |_| Shape::Command),
    (&["EVAL s 0"], |_| Shape::Command),
    (&["EVAL_RO s 0"], |_| Shape::Command),
    (&["EVALSHA s 0"], |_| Shape::Command),
    (&["FCALL f 0"], |_| Shape::Command),
    (&["MOD.X k"], |_| Shape::Command),
    (&["SET k v"], |_| Shape::Confirmed),
    (&["EVALSHA s 0"], |_| Shape::Confirmed),
    (&["SET k v", "INCR n"], Shape::Pipeline),
    (&["GET k", "GET n"], Shape::Pipeline),
    (&["SET k v", "EVAL s 0"], Shape::Pipeline),
    (&["EVAL s 0", "EVALSHA s 0"], Shape::Pipeline),
    (&["SET k v", "INCR n"], Shape::Transaction),
    (&["EVAL s 0", "SET k v"], Shape::Transaction),
];

const ERRORS: [&str; 14] = [
    "READONLY You can't write against a read only replica.",
    "ERR Error running script: @user_script:1: -READONLY You can't write against a read only replica.",
    "LOADING Redis is loading the dataset in memory",
    "MASTERDOWN Link with MASTER is down",
    "NOSCRIPT No matching script. Please use EVAL.",
    "EXECABORT Transaction discarded because of previous errors.",
    "EXECABORT Transaction discarded because of: READONLY You can't write",
    "ERR unknown command 'X', with args beginning with: '-READONLY You can't write'",
    "WRONGTYPE Operation against a key",
    "UNBLOCKED force unblock from blocking operation",
    "BUSY Redis is busy running a script",
    "NOPERM this user has no permissions",
    "NOAUTH Authentication required.",
    "ERR whatever",
];

fn array(of: &[&[u8]]) -> Reply {
    let mut out = Builder::new();
    out.array(of.len());
    of.iter().for_each(|word| {
        out.string(word);
    });
    out.finish().unwrap()
}

/// Any reply that a server, a script, or something broken might give.
fn reply(pick: u8) -> Reply {
    let mut out = Builder::new();
    match pick % 32 {
        0 => return array(&[b"master", b"0"]),
        1 | 2 => return array(&[b"slave", b"h", b"1", b"connected"]),
        3 => return array(&[b"slave", b"h", b"1", b"sync"]),
        4 => out.array(1).integer(0),
        5 => out.array(1).integer(1),
        6 => out.array(2).integer(1).integer(9),
        7 => out.array(1).nil(),
        8 => out.nil(),
        9 => out.integer(9),
        10..=14 => out.status(b"OK"),
        15 => out.array(0),
        error => out.error(ERRORS[usize::from(error) % ERRORS.len()].as_bytes()),
    };
    out.finish().unwrap()
}

/// A call, and what really became of each of its attempts.
struct Account {
    commands: Words,
    shape: Shape,
    life: Life,
    wanted: Role,
    marked: bool,
    absent: bool,
    /// What it does, as far as it said.
    step: Doing,
    /// Of each handing over: whether it cannot have been executed.
    safe: Vec<Safe>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Waiting,
    Sending(Message),
    Learning,
    Resting,
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Safe {
    Yes,
    No,
    /// If the server says that it is a replica.
    IfReplica,
    /// If the server says that it does not have the script.
    IfMissing,
}

fn is_guest(name: &str) -> bool {
    ["EVAL", "FCALL", "MOD."].iter().any(|prefix| name.starts_with(prefix))
}

impl Account {
    fn new([which, options, more]: [u8; 3]) -> Account {
        let (commands, shape) = CALLS[usize::from(which) % CALLS.len()];
        let commands: Vec<Vec<&str>> = commands.iter().map(|words| words.split(' ').collect()).collect();
        let shape = shape(commands.len());
        let call = CallOptions {
            retry_unknown: options & 1 != 0,
            no_retry: options & 14 == 14,
            wait_aof: shape == Shape::Confirmed && options & 16 != 0,
            ..CallOptions::default()
        };
        let unknown = match commands[0][0] {
            "MOD.X" if more & 1 == 0 => vec![b"MOD.X".to_vec()],
            _ => Vec::new(),
        };
        let mut life = Life::new(shape, &call, more & 2 != 0).asking(unknown);
        if commands[0][0] == "EVALSHA" && more & 4 != 0 && !matches!(shape, Shape::Pipeline(_)) {
            life = life.of_script();
        }
        let wanted = if more & 8 == 0 { Role::Primary } else { Role::Replica };
        Account {
            commands: Words(commands),
            shape,
            life,
            wanted,
            marked: call.retry_unknown,
            absent: false,
            step: Doing::Waiting,
            safe: Vec::new(),
        }
    }

    fn reads(&self) -> bool {
        self.commands.only_read()
    }

    /// Whether what was answered to that command cannot have come from executing it.
    fn refused(&self, name: &str, reply: &Reply) -> Safe {
        let text = reply.text();
        match reply.kind() {
            Kind::Error if !is_guest(name) => Safe::Yes,
            Kind::Error if self.absent && text.starts_with("ERR unknown command") => Safe::Yes,
            Kind::Error if name.starts_with("EVALSHA") && text.starts_with("NOSCRIPT") => Safe::IfMissing,
            Kind::Error if text.contains("READONLY") => Safe::IfReplica,
            Kind::Error if text.starts_with("LOADING") || text.starts_with("MASTERDOWN") => Safe::IfReplica,
            _ => Safe::No,
        }
    }

    /// What an attempt came to.
    fn judge(&self, ended: &Ended) -> Safe {
        let replies = &ended.replies;
        let len = self.commands.0.len();
        let begun = replies.first().is_some_and(|multi| multi.kind() == Kind::Status);
        if ended.done.is_err() {
            let nothing = replies
                .iter()
                .all(|all| matches!(self.shape, Shape::Pipeline(_)) && all.is_empty());
            let framed = matches!(self.shape, Shape::Transaction(_)) && begun && replies.len() < len + 2;
            let nothing = nothing && ended.handed == Handed::Nothing;
            return match nothing || (framed && ended.handed != Handed::Whole) {
                true => Safe::Yes,
                false => Safe::No,
            };
        }
        let name = |place: usize| self.commands.0[place][0];
        let all = |each: &mut dyn Iterator<Item = Safe>| {
            let each: Vec<Safe> = each.collect();
            match each.iter().all(|safe| *safe == Safe::Yes) {
                true => Safe::Yes,
                false if each.iter().all(|safe| matches!(safe, Safe::Yes | Safe::IfReplica)) => Safe::IfReplica,
                false => Safe::No,
            }
        };
        match self.shape {
            Shape::Command | Shape::Confirmed => replies.first().map_or(Safe::No, |reply| self.refused(name(0), reply)),
            Shape::Pipeline(_) => match replies.first().filter(|all| all.len() == len) {
                Some(array) => all(&mut array.elements().enumerate().map(|(place, element)| {
                    let mut copy = Builder::new();
                    copy.copy(element);
                    self.refused(name(place), &copy.finish().unwrap())
                })),
                None => Safe::No,
            },
            Shape::Transaction(_) if replies.len() != len + 2 => Safe::No,
            Shape::Transaction(_) if begun => match replies.last() {
                // Nothing runs before EXEC, and where EXEC fails nothing has.
                Some(exec) if matches!(exec.kind(), Kind::Error | Kind::Nil) => Safe::Yes,
                _ => Safe::No,
            },
            Shape::Transaction(_) => {
                let plain = self.commands.0.iter().all(|command| !is_guest(command[0]));
                match plain && replies.iter().all(|reply| reply.kind() == Kind::Error) {
                    true => Safe::Yes,
                    false => Safe::No,
                }
            }
        }
    }

    /// Has a connection, whether it waits for one or not.
    fn set_out(&mut self, has_script: bool) {
        let Some(message) = self.life.set_out_on(|| has_script) else {
            assert_ne!(self.step, Doing::Waiting);
            return;
        };
        assert_eq!(self.step, Doing::Waiting);
        self.check(&Step::Send(message), false);
        self.step = Doing::Sending(message);
    }

    /// Tells it what happened, keeps the account, and checks what it says.
    fn on(&mut self, event: Event<'_>, must_end: bool) {
        let (before, was_over) = (self.step, self.step == Doing::Over);
        let mut said_replica = false;
        match (&event, before) {
            (Event::Ended(ended, _), Doing::Sending(Message::Itself | Message::Source)) => {
                let safe = self.judge(ended);
                self.safe.push(safe);
            }
            (Event::GivenUp(_, handed), Doing::Sending(Message::Itself | Message::Source)) => {
                self.safe.push(match handed {
                    Handed::Nothing => Safe::Yes,
                    _ => Safe::No,
                });
            }
            (Event::Ended(ended, _), Doing::Sending(Message::Role | Message::Exists)) => {
                let answer = ended
                    .replies
                    .first()
                    .filter(|answer| ended.done.is_ok() && !answer.is_empty());
                let first = answer.and_then(|answer| answer.at(0));
                said_replica = first.is_some_and(|word| word.data() == b"slave");
                let missing = first.is_some_and(|has| has.kind() == Kind::Integer && has.integer() == 0);
                match self.safe.last_mut() {
                    Some(safe) if *safe == Safe::IfReplica && said_replica => *safe = Safe::Yes,
                    Some(safe) if *safe == Safe::IfMissing && missing => *safe = Safe::Yes,
                    _ => {}
                }
            }
            (Event::Told(word), Doing::Learning) => self.absent |= *word == Word::Absent,
            _ => {}
        }
        let Next { condemn, step } = self.life.on(event);
        if was_over {
            assert!(matches!(step, Step::Stay), "it goes on after its end: {step:?}");
        }
        let all_guests = self.commands.0.iter().all(|command| is_guest(command[0]));
        if condemn && all_guests && matches!(before, Doing::Sending(Message::Itself | Message::Source)) {
            assert!(
                matches!(self.shape, Shape::Transaction(_)),
                "condemned on a script's word"
            );
        }
        if condemn && before == Doing::Sending(Message::Role) {
            assert!(said_replica || !all_guests, "condemned on a word that nothing confirms");
        }
        self.check(&step, must_end && before != Doing::Over);
        match step {
            Step::Stay => {}
            Step::Connect(_) => self.step = Doing::Waiting,
            Step::Send(message) => self.step = Doing::Sending(message),
            Step::Learn(_) => self.step = Doing::Learning,
            Step::Again(..) => self.step = Doing::Resting,
            Step::End(_) => self.step = Doing::Over,
        }
    }

    fn check(&self, step: &Step, must_end: bool) {
        let all_safe = self.safe.iter().all(|safe| *safe == Safe::Yes);
        match step {
            Step::Send(Message::Itself | Message::Source) => assert!(
                all_safe || self.marked || self.reads(),
                "sent again although it may have been executed: {:?}",
                self.safe
            ),
            Step::End(Err(error)) if error.outcome() != Outcome::Unknown => assert!(
                all_safe,
                "{:?} of what may have been executed: {:?}: {error}",
                error.outcome(),
                self.safe
            ),
            _ => {}
        }
        assert!(!must_end || matches!(step, Step::End(_)), "it does not end: {step:?}");
    }
}

fn error(pick: u8) -> Error {
    let cause = "cut".to_owned();
    let kind = match pick % 8 {
        0 => ErrorKind::Timeout { during: cause },
        1 => ErrorKind::Protocol { problem: cause },
        2 => ErrorKind::QueueFull { limit: 1 },
        _ => ErrorKind::ConnectionLost { cause },
    };
    // What it is said to have come to is not what counts.
    let outcome = [Outcome::NotSent, Outcome::Refused, Outcome::Unknown][usize::from(pick / 8) % 3];
    Error::new(kind).with_outcome(outcome)
}

fn handed(pick: u8) -> Handed {
    [Handed::Nothing, Handed::Begun, Handed::Whole][usize::from(pick) % 3]
}

/// What came of a message: mostly as many replies as it has, sometimes too few or too many.
fn came(account: &Account, [ends, count, picks @ ..]: [u8; 6]) -> Ended {
    let whole = match (account.step, account.shape) {
        (Doing::Sending(Message::Itself | Message::Source), Shape::Transaction(len)) => len + 2,
        (Doing::Sending(Message::Itself | Message::Source), Shape::Pipeline(len)) => len,
        _ => 1,
    };
    let done = if ends % 4 == 0 { Err(error(ends / 4)) } else { Ok(()) };
    let count = match (count % 8, &done) {
        (0, _) | (_, Err(_)) => usize::from(count / 8) % (whole + 2),
        _ => whole,
    };
    let mut replies: Vec<Reply> = picks.iter().cycle().take(count).map(|pick| reply(*pick)).collect();
    let is_pipeline = matches!(account.shape, Shape::Pipeline(_));
    if is_pipeline && matches!(account.step, Doing::Sending(Message::Itself)) {
        replies = in_one(&replies).into_iter().collect();
    }
    // What a transaction begins with decides about all of it.
    if matches!(account.shape, Shape::Transaction(_)) && ends & 16 != 0 && !replies.is_empty() {
        replies[0] = reply(10);
    }
    let handed = if done.is_ok() { Handed::Whole } else { handed(ends / 32) };
    Ended {
        replies,
        done,
        handed,
        unsent: usize::from(ends / 64) * 40,
    }
}

fn word(pick: u8) -> Word {
    match pick % 3 {
        0 => Word::Absent,
        1 => Word::Silent,
        _ => Word::Command(Traits {
            read_only: false,
            write: true,
            blocking: pick & 4 != 0,
        }),
    }
}

/// One event: mostly the one that can happen now, sometimes any other.
fn happen(account: &mut Account, [what, time, picks @ ..]: [u8; 8]) {
    let possible = match account.step {
        Doing::Waiting if picks[0] % 8 == 0 => 1,
        Doing::Waiting => 0,
        Doing::Sending(_) => 2,
        Doing::Learning => 3,
        Doing::Resting | Doing::Over => 4,
    };
    let event = match what % 16 {
        0..=12 => possible,
        13 => 5,
        _ => picks[5] % 7,
    };
    let commands = Words(account.commands.0.clone());
    let scene = Scene {
        commands: &commands,
        node: None,
        wanted: account.wanted,
        closed: time % 32 == 1,
        late: time % 16 == 2,
    };
    let sending = matches!(account.step, Doing::Sending(_));
    match event {
        0 => account.set_out(picks[1] & 1 == 0),
        1 => account.on(Event::GivenUp(error(picks[1]), Handed::Nothing), true),
        2 => {
            let came = came(account, picks);
            account.on(Event::Ended(came, scene), sending && (scene.closed || scene.late));
        }
        3 => account.on(Event::Told(word(picks[1])), false),
        4 => account.on(Event::Rested, false),
        5 => account.on(Event::TakenBack((picks[1] & 1 == 0).then(|| error(picks[2]))), false),
        _ if picks[4] % 4 == 0 => account.on(Event::GivenUp(error(picks[1]), handed(picks[2])), true),
        _ => account.set_out(picks[1] & 1 == 0),
    }
}

/// The one connection that it may go out on is gone, before or after it was written: it goes to no other, whatever the
/// command.
#[test]
fn a_call_that_is_bound_to_its_connection_goes_to_no_other() {
    let only_reads = Words(vec![vec!["GET", "k"]]);
    let refused = || {
        let mut out = Builder::new();
        out.error(ERRORS[0].as_bytes());
        out.finish().into_iter().collect()
    };
    for pick in 0..32 {
        for (event, wanted) in [
            (Event::TakenBack(None), Some(Outcome::NotSent)),
            (Event::TakenBack(Some(error(pick))), Some(Outcome::NotSent)),
            (Event::Ended(Ended::unsent(error(pick)), scene_of(&only_reads)), None),
            (
                Event::Ended(Ended::new(refused(), Ok(()), 0), scene_of(&only_reads)),
                None,
            ),
        ] {
            let mut life = Life::new(Shape::Command, &CallOptions::default(), false).bound();
            assert!(life.set_out().is_some());
            let Step::End(Err(error)) = life.on(event).step else {
                panic!("it goes on");
            };
            assert!(wanted.is_none_or(|wanted| error.outcome() == wanted), "{error}");
        }
    }
}

fn scene_of(commands: &Words) -> Scene<'_> {
    Scene {
        commands,
        node: None,
        wanted: Role::Primary,
        closed: false,
        late: false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) })]

    #[test]
    fn whatever_happens_no_outcome_is_too_good_nothing_runs_twice_and_each_call_ends(
        call in any::<[u8; 3]>(),
        events in prop::collection::vec(any::<[u8; 8]>(), 0..24),
        last in any::<[u8; 2]>(),
    ) {
        let mut account = Account::new(call);
        for event in events {
            happen(&mut account, event);
        }
        // Its deadline passes, it is cancelled or closed.
        let over = account.step == Doing::Over;
        account.on(Event::GivenUp(error(last[0]), handed(last[1])), !over);
        account.on(Event::Rested, false);
    }
}

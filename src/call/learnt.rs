//! What the servers say of commands that the table does not know, those of modules and of newer servers. Each is asked
//! for once, before its first use, and kept for the life of the deployment, for each service by itself: a module of one
//! may mean something else in another.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::sync::Mutex;

use super::commands::{self, Class, Traits};
use super::events::{Event, Next, Word};
use super::life::Life;
use crate::base::error::Result;
use crate::resp::{Reply, Value};

/// Names kept at most; beyond it nothing is asked, so that made-up names cost no memory.
const MOST: usize = 1024;

/// The commands asked for, by service.
#[derive(Debug, Default)]
pub(crate) struct Lessons {
    services: Mutex<HashMap<String, Arc<Learnt>>>,
}

impl Lessons {
    /// Those of one service, for all its clients.
    pub(crate) fn of(&self, service: &str) -> Arc<Learnt> {
        let mut services = self.services.lock();
        if let Some(learnt) = services.get(service) {
            return Arc::clone(learnt);
        }
        Arc::clone(services.entry(service.to_owned()).or_default())
    }
}

/// The commands asked for, of one service.
#[derive(Debug, Default)]
pub struct Learnt {
    /// By name in upper case; `None` where the server may not be asked.
    known: Mutex<HashMap<Vec<u8>, Option<Traits>>>,
}

impl Learnt {
    /// What is known without asking, `None` when the server is to be asked.
    fn known(&self, name: &[u8]) -> Option<Word> {
        let known = self.known.lock();
        match known.get(&name.to_ascii_uppercase()) {
            Some(traits) => Some(word(*traits)),
            None => (known.len() >= MOST).then_some(Word::Silent),
        }
    }

    /// Has a call ask nothing that the server was asked before.
    pub(crate) fn recall(&self, life: &mut Life) {
        while let Some(word) = life.question().and_then(|name| self.known(name)) {
            life.knows(word);
        }
    }

    /// The same of a new one.
    pub(crate) fn recalled(&self, mut life: Life) -> Life {
        self.recall(&mut life);
        life
    }

    /// Tells a call what the server said of the command that it asked for, and keeps it. What follows.
    pub(crate) fn heard(&self, life: &mut Life, answer: Result<Reply>) -> Next {
        let word = self.read(life.question().map_or(b"", Vec::as_slice), answer);
        life.on(Event::Told(word))
    }

    /// Keeps what the server said of the command called `name`. That it has none may change: it is not kept.
    fn read(&self, name: &[u8], answer: Result<Reply>) -> Word {
        let traits = match answer {
            Ok(reply) => match described(&reply) {
                None if reply.at(0).is_some_and(|command| command.is_nil()) => return Word::Absent,
                None => return Word::Silent,
                traits => traits,
            },
            // A user without the right to ask, or a server that cannot be asked.
            Err(error) if matches!(error.server_code(), Some("NOPERM" | "ERR")) => None,
            Err(_) => return Word::Silent,
        };
        self.known.lock().insert(name.to_ascii_uppercase(), traits);
        word(traits)
    }

    /// Whether the server said that the command, which the table does not know, only reads.
    pub(crate) fn only_reads(&self, args: &[&[u8]]) -> bool {
        let word = unknown_name(args, commands::look_up(args)).and_then(|name| self.known(name));
        matches!(word, Some(Word::Command(Traits { read_only: true, .. })))
    }
}

fn word(traits: Option<Traits>) -> Word {
    traits.map_or(Word::Silent, Word::Command)
}

/// The command that asks for the command called `name`.
pub(super) fn question(name: Option<&Vec<u8>>) -> [&[u8]; 3] {
    [b"COMMAND", b"INFO", name.map_or(b"", Vec::as_slice)]
}

/// Reads the answer to COMMAND INFO of one name; `None` when the server has no such command.
fn described(reply: &Reply) -> Option<Traits> {
    let command = reply.at(0).filter(|command| command.len() > FLAGS)?;
    let mut traits = flags_of(command);
    // With subcommands: it waits when one of them may, and only reads when all of them do.
    if let Some(subcommands) = command.at(SUBCOMMANDS).filter(|all| !all.is_empty()) {
        let each: Vec<Traits> = subcommands.elements().map(flags_of).collect();
        traits = Traits {
            read_only: each.iter().all(|one| one.read_only),
            write: traits.write || each.iter().any(|one| one.write),
            blocking: traits.blocking || each.iter().any(|one| one.blocking),
        };
    }
    Some(traits)
}

/// Places in the description of a command.
const FLAGS: usize = 2;
const SUBCOMMANDS: usize = 9;

fn flags_of(command: Value<'_>) -> Traits {
    let has = |flag: &[u8]| {
        let flags = command.at(FLAGS);
        flags.is_some_and(|flags| flags.elements().any(|own| own.data() == flag))
    };
    Traits {
        // A command that runs others, or publishes, is not harmless for having no flag; one that does both is a write.
        read_only: has(b"readonly") && !has(b"write"),
        write: has(b"write"),
        blocking: has(b"blocking"),
    }
}

/// The name to ask for, of a command of this class: `None` when the table knows it.
pub(crate) fn unknown_name<'a>(args: &[&'a [u8]], class: Option<Class>) -> Option<&'a [u8]> {
    let name = args.first().copied().filter(|_| class.is_none())?;
    (name.len() <= LONGEST && !name.is_empty()).then_some(name)
}

/// No command is called by more, and the cache is not for keys.
const LONGEST: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::Builder;

    fn command(out: &mut Builder, flags: &[&[u8]], subcommands: &[&[&[u8]]]) {
        out.array(10).string(b"name").integer(-2);
        out.set(flags.len());
        for flag in flags {
            out.status(flag);
        }
        for _ in 3..9 {
            out.integer(0);
        }
        out.array(subcommands.len());
        for flags in subcommands {
            command(out, flags, &[]);
        }
    }

    fn of(flags: &[&[u8]], subcommands: &[&[&[u8]]]) -> Traits {
        let mut out = Builder::new();
        out.array(1);
        command(&mut out, flags, subcommands);
        described(&out.finish().unwrap()).unwrap()
    }

    #[test]
    fn the_flags_of_a_description_are_read() {
        let traits = of(&[b"readonly", b"fast"], &[]);
        assert_eq!((traits.read_only, traits.write, traits.blocking), (true, false, false));
        let traits = of(&[b"write", b"blocking"], &[]);
        assert_eq!((traits.read_only, traits.write, traits.blocking), (false, true, true));
        let traits = of(&[], &[&[b"readonly"], &[b"write", b"blocking"]]);
        assert_eq!((traits.read_only, traits.write, traits.blocking), (false, true, true));
        assert!(of(&[], &[&[b"readonly"], &[b"readonly"]]).read_only);
        assert!(!of(&[], &[]).read_only, "no flag is no promise");
    }

    #[test]
    fn a_server_without_the_command_says_nothing_of_it() {
        let mut nil = Builder::new();
        nil.array(1).nil();
        assert_eq!(described(&nil.finish().unwrap()), None);
        let mut empty = Builder::new();
        empty.array(0);
        assert_eq!(described(&empty.finish().unwrap()), None);
    }

    #[test]
    fn only_what_the_table_lacks_is_asked_for() {
        let name = |args: &[&'static [u8]]| unknown_name(args, commands::look_up(args)).map(<[u8]>::to_vec);
        assert_eq!(name(&[b"get", b"k"]), None);
        assert_eq!(name(&[b"hexpire", b"k"]), None);
        assert_eq!(name(&[b"CONFIG", b"GET"]), None);
        assert_eq!(name(&[b"json.get", b"k"]), Some(b"json.get".to_vec()));
        assert_eq!(name(&[&[b'x'; 129]]), None);
        assert_eq!(name(&[b""]), None);
    }
}

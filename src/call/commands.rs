//! What is known of a command before it is sent: whether it may share a connection, waits in the server, or only reads.
//!
//! The flags are the server's own (`commands_table`); which commands change the state of a connection is not among them
//! and is written here.

use std::time::Duration;

#[path = "commands_table.rs"]
mod table;

use table::TABLE;

/// The server's flag `readonly`.
const READONLY: u8 = 1;
/// The server's flag `write`.
const WRITE: u8 = 2;
/// The server's flag `blocking`.
const BLOCKING: u8 = 4;
/// Some of its subcommands have lines of their own.
const CONTAINER: u8 = 8;
/// One line of the table.
struct Entry {
    /// Upper case, a subcommand behind a space.
    name: &'static str,
    /// Its start, so that most comparisons are of numbers.
    start: u64,
    flags: u8,
    rule: Rule,
}

const fn entry(name: &'static str, flags: u8) -> Entry {
    Entry {
        name,
        start: start(name.as_bytes()),
        flags,
        rule: rule(name.as_bytes()),
    }
}

/// The first eight bytes as a number.
const fn start(mut name: &[u8]) -> u64 {
    let mut start = 0;
    let mut left = 8;
    while left > 0 {
        start <<= 8;
        if let [first, rest @ ..] = name {
            start |= *first as u64;
            name = rest;
        }
        left -= 1;
    }
    start
}

/// Names up to here are their start.
const SHORT: usize = 8;

/// The start of a short name in upper case.
fn upper_start(name: &[u8]) -> u64 {
    let start = name.iter().fold(0, |start: u64, byte| {
        (start << 8) | u64::from(byte.to_ascii_uppercase())
    });
    start
        .checked_shl(8 * u32::try_from(SHORT - name.len()).unwrap_or(0))
        .unwrap_or(0)
}

/// What the server's command table says of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// It only reads.
    pub read_only: bool,
    /// It may write.
    pub write: bool,
    /// It may wait in the server. `XREAD` has the flag and waits only with `BLOCK`: [`Known::class`] looks.
    pub blocking: bool,
}

/// On what kind of connection a command may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// On a connection that others use at the same time.
    Shared,
    /// It waits in the server: on a connection of its own.
    Blocking,
    /// It waits until others have the writes of its own connection: only on an acquired one.
    Confirming {
        /// What to use instead, as the end of an error message.
        instead: &'static str,
    },
    /// It changes the state of its connection: only on an acquired one.
    Stateful {
        /// What to use instead, as the end of an error message.
        instead: &'static str,
    },
    /// After it, replies no longer pair with requests: on no connection for commands.
    Never {
        /// What to use instead, as the end of an error message.
        instead: &'static str,
    },
}

/// What the name alone tells of its class.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Shared.
    Plain,
    /// Blocking, until the limit that stands there.
    Waits(Limit),
    /// Confirming, until the limit that stands there.
    Confirms(Limit),
    /// Blocking with the option BLOCK.
    WaitsWithBlock,
    /// The subcommand decides.
    OfClient,
    /// The subcommand decides.
    OfScript,
    Stateful,
    Never,
}

/// Where a command has the limit of its waiting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Limit {
    /// Seconds, the last argument.
    Last,
    /// Seconds, the first argument.
    First,
    /// Milliseconds, the second argument.
    Second,
    /// Milliseconds, the third argument.
    Third,
}

const fn rule(name: &[u8]) -> Rule {
    match name {
        b"BLPOP" | b"BRPOP" | b"BLMOVE" | b"BRPOPLPUSH" | b"BZPOPMIN" | b"BZPOPMAX" => Rule::Waits(Limit::Last),
        b"BLMPOP" | b"BZMPOP" => Rule::Waits(Limit::First),
        b"WAIT" => Rule::Confirms(Limit::Second),
        b"WAITAOF" => Rule::Confirms(Limit::Third),
        b"XREAD" | b"XREADGROUP" => Rule::WaitsWithBlock,
        b"CLIENT" => Rule::OfClient,
        b"SCRIPT" => Rule::OfScript,
        b"SELECT" | b"MULTI" | b"EXEC" | b"DISCARD" | b"WATCH" | b"UNWATCH" | b"AUTH" | b"HELLO" | b"RESET"
        | b"QUIT" | b"ASKING" | b"READONLY" | b"READWRITE" => Rule::Stateful,
        b"SUBSCRIBE" | b"PSUBSCRIBE" | b"SSUBSCRIBE" | b"UNSUBSCRIBE" | b"PUNSUBSCRIBE" | b"SUNSUBSCRIBE"
        | b"MONITOR" | b"SYNC" | b"PSYNC" | b"REPLCONF" => Rule::Never,
        _ => Rule::Plain,
    }
}

/// What to use in place of a command that its name alone rules out.
fn instead_of(name: &str) -> &'static str {
    match name {
        "WAIT" => "it speaks of its own connection's writes: set sentinel_call_t.replicas with the write",
        "WAITAOF" => {
            "it speaks of its own connection's writes: set SENTINEL_CALL_WAIT_AOF and sentinel_call_t.replicas with the \
             write"
        }
        "SELECT" => "set the option database, or use sentinel_client_acquire",
        "MULTI" | "EXEC" | "DISCARD" => {
            "use sentinel_batch_run with SENTINEL_BATCH_TRANSACTION, or sentinel_client_acquire"
        }
        "AUTH" => "set the options username and password",
        "HELLO" => "set the options protocol, username, password and client_name",
        "RESET" => "use sentinel_client_acquire: release resets the connection",
        "QUIT" => "use sentinel_client_free",
        "ASKING" | "READONLY" | "READWRITE" => "it is for clusters, not for Sentinel",
        "MONITOR" => "use redis-cli",
        "SYNC" | "PSYNC" | "REPLCONF" => "it is for replicas, not for clients",
        name if name.ends_with("SUBSCRIBE") => "use sentinel_subscription_new",
        _ => ACQUIRE,
    }
}

/// A command that the table has.
#[derive(Clone, Copy)]
pub struct Known<'a, 'b> {
    entry: &'static Entry,
    rest: &'a [&'b [u8]],
}

/// The command; `None` when the table does not have it.
#[inline]
pub fn find<'a, 'b>(args: &'a [&'b [u8]]) -> Option<Known<'a, 'b>> {
    let (name, rest) = args.split_first()?;
    let entry = if name.len() <= SHORT {
        search(upper_start(name), name.len(), |_| true)
    } else {
        Name::default().push(name)?.find()
    }?;
    Some(Known { entry, rest })
}

impl Known<'_, '_> {
    /// On what kind of connection it may run.
    #[inline]
    pub fn class(&self) -> Class {
        match self.entry.rule {
            Rule::Plain => Class::Shared,
            rule => self.ruled(rule),
        }
    }

    fn ruled(&self, rule: Rule) -> Class {
        let instead = || instead_of(self.entry.name);
        match rule {
            Rule::Waits(_) => Class::Blocking,
            Rule::Confirms(_) => Class::Confirming { instead: instead() },
            Rule::WaitsWithBlock if block_option(self.rest).is_some() => Class::Blocking,
            Rule::OfClient => classify_client(self.rest),
            Rule::OfScript if has_word(self.rest, b"DEBUG") => Class::Stateful {
                instead: "use redis-cli --ldb",
            },
            Rule::Stateful => Class::Stateful { instead: instead() },
            Rule::Never => Class::Never { instead: instead() },
            Rule::Plain | Rule::WaitsWithBlock | Rule::OfScript => Class::Shared,
        }
    }

    /// The server's flags, of the subcommand where it has some of its own.
    fn flags(&self) -> u8 {
        let Entry { name, flags, .. } = self.entry;
        let sub = (flags & CONTAINER != 0).then(|| self.rest.first()).flatten();
        let entry = sub.and_then(|word| Name::default().push(name.as_bytes())?.with(word)?.find());
        entry.map_or(*flags, |entry| entry.flags)
    }

    /// The same, as what they say.
    pub fn traits(&self) -> Traits {
        let flags = self.flags();
        Traits {
            read_only: flags & READONLY != 0,
            write: flags & WRITE != 0,
            blocking: flags & BLOCKING != 0,
        }
    }

    /// Whether it may be repeated without changing anything: the server marks it read-only, or it is one of a few that are
    /// known to be harmless.
    pub fn is_read_only(&self) -> bool {
        self.flags() & READONLY != 0 || is_harmless(self.entry.name, self.rest)
    }

    /// The limit that it sets to its own waiting: see [`blocking_timeout`].
    fn limit(&self) -> Option<Option<Duration>> {
        let rest = self.rest;
        let limit = match self.entry.rule {
            Rule::WaitsWithBlock => millis(block_option(rest)?)?,
            Rule::Waits(limit) | Rule::Confirms(limit) => match limit {
                Limit::Last => seconds(rest.last()?)?,
                Limit::First => seconds(rest.first()?)?,
                Limit::Second => millis(rest.get(1)?)?,
                Limit::Third => millis(rest.get(2)?)?,
            },
            _ => return None,
        };
        Some(Some(limit).filter(|limit| !limit.is_zero()))
    }
}

/// On what kind of connection the command may run; `None` when the table does not have it.
#[inline]
pub fn look_up(args: &[&[u8]]) -> Option<Class> {
    find(args).map(|known| known.class())
}

/// The server's flags of the command; `None` when the table does not have it.
pub fn traits(args: &[&[u8]]) -> Option<Traits> {
    find(args).map(|known| known.traits())
}

/// Whether the command may be repeated without changing anything. What is unknown may not.
pub fn is_read_only(args: &[&[u8]]) -> bool {
    find(args).is_some_and(|known| known.is_read_only())
}

/// The limit that the command itself sets to its waiting in the server: `Some(None)` is none. `None` when it does not
/// wait, or what stands there is not a time (the server will say so).
pub fn blocking_timeout(args: &[&[u8]]) -> Option<Option<Duration>> {
    find(args)?.limit()
}

const ACQUIRE: &str = "use sentinel_client_acquire";

fn classify_client(rest: &[&[u8]]) -> Class {
    let is = |word: &[u8]| has_word(rest, word);
    if is(b"REPLY") {
        return Class::Never {
            instead: "every call takes its reply; use sentinel_submit_queued not to wait for it",
        };
    }
    if is(b"SETNAME") {
        return Class::Stateful {
            instead: "set the option client_name",
        };
    }
    let stateful: [&[u8]; 8] = [
        b"TRACKING",
        b"CACHING",
        b"NO-EVICT",
        b"NO-TOUCH",
        b"SETINFO",
        b"CAPA",
        b"IMPORT-SOURCE",
        b"MAINT_NOTIFICATIONS",
    ];
    if stateful.into_iter().any(is) {
        Class::Stateful { instead: ACQUIRE }
    } else {
        Class::Shared
    }
}

/// Commands without the flag `readonly` that change nothing all the same.
fn is_harmless(name: &str, rest: &[&[u8]]) -> bool {
    match name {
        "PING" | "ECHO" | "TIME" | "LASTSAVE" | "COMMAND" | "INFO" | "ROLE" | "PUBSUB" => true,
        "ACL" => has_any(rest, &[b"WHOAMI", b"CAT", b"LIST", b"USERS", b"GETUSER"]),
        "CONFIG" => has_word(rest, b"GET"),
        "MEMORY" => has_word(rest, b"STATS"),
        "FUNCTION" => has_word(rest, b"LIST"),
        "SCRIPT" => has_word(rest, b"EXISTS"),
        _ => false,
    }
}

/// Places of a hash table of twice as many names, or more.
const PLACES: usize = 1024;

/// For each place the number of its line in the table, counted from 1; 0 is free. Each call looks here.
static PLACED: [u16; PLACES] = place_all();

#[allow(clippy::indexing_slicing, reason = "the compiler runs it")]
#[allow(clippy::cast_possible_truncation, reason = "there are fewer lines")]
const fn place_all() -> [u16; PLACES] {
    assert!(TABLE.len() <= PLACES / 2);
    let mut placed = [0; PLACES];
    let mut line = 0;
    while line < TABLE.len() {
        let entry = &TABLE[line];
        let mut place = place(entry.start, entry.name.len());
        while placed[place] != 0 {
            place = (place + 1) % PLACES;
        }
        line += 1;
        placed[place] = line as u16;
    }
    placed
}

/// Where the search for a name begins.
#[allow(clippy::cast_possible_truncation, reason = "ten bits are left")]
const fn place(start: u64, len: usize) -> usize {
    ((start ^ len as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize
}

/// `is_it` decides between names of the same start and length.
fn search(start: u64, len: usize, is_it: impl Fn(&Entry) -> bool) -> Option<&'static Entry> {
    let mut at = place(start, len);
    loop {
        let line = usize::from(*PLACED.get(at)?).checked_sub(1)?;
        let entry = TABLE.get(line)?;
        if entry.start == start && entry.name.len() == len && is_it(entry) {
            return Some(entry);
        }
        at = (at + 1) % PLACES;
    }
}

/// The argument of `BLOCK` in what follows `XREAD` or `XREADGROUP`. After `STREAMS` only keys and ids come; a group, a
/// consumer or a count may be called BLOCK too.
fn block_option<'a>(mut args: &[&'a [u8]]) -> Option<&'a [u8]> {
    let mut found = None;
    while let [option, rest @ ..] = args {
        let is = |word: &[u8]| option.eq_ignore_ascii_case(word);
        let values = match rest {
            _ if is(b"STREAMS") => break,
            [value, ..] if is(b"BLOCK") => {
                found = Some(*value);
                1
            }
            _ if is(b"COUNT") || is(b"CLAIM") => 1,
            _ if is(b"GROUP") => 2,
            _ => 0,
        };
        args = rest.get(values..).unwrap_or_default();
    }
    found
}

/// Seconds with a fraction, to the millisecond above, as the server rounds.
fn seconds(text: &[u8]) -> Option<Duration> {
    let seconds: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let exact = Duration::try_from_secs_f64(seconds).ok()?;
    let millis = exact.as_nanos().div_ceil(1_000_000);
    Some(Duration::from_millis(u64::try_from(millis).ok()?))
}

fn millis(text: &[u8]) -> Option<Duration> {
    std::str::from_utf8(text).ok()?.parse().ok().map(Duration::from_millis)
}

/// The command's name for a message, upper case, with the subcommand where that is what decides: `CLIENT REPLY`.
pub fn shown_name(args: &[&[u8]]) -> String {
    let shown = |word: &&[u8]| {
        let start: &[u8] = word.get(..LONGEST).unwrap_or(word);
        start.escape_ascii().to_string().to_ascii_uppercase()
    };
    let name = args.first().map(shown).unwrap_or_default();
    match args.get(1) {
        Some(word) if name == "CLIENT" || name == "SCRIPT" => format!("{name} {}", shown(word)),
        _ => name,
    }
}

fn has_word(rest: &[&[u8]], word: &[u8]) -> bool {
    rest.first().is_some_and(|first| first.eq_ignore_ascii_case(word))
}

fn has_any(rest: &[&[u8]], words: &[&[u8]]) -> bool {
    words.iter().any(|word| has_word(rest, word))
}

/// Room for every name of the table.
const LONGEST: usize = 32;

/// A name in upper case, on the stack.
#[derive(Clone, Copy, Default)]
struct Name {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Name {
    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn find(&self) -> Option<&'static Entry> {
        let text = self.as_bytes();
        search(self.start(), text.len(), |entry| entry.name.as_bytes() == text)
    }

    fn start(&self) -> u64 {
        self.bytes.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// With one more word in upper case; `None` when it is longer than any name known.
    fn push(mut self, word: &[u8]) -> Option<Name> {
        let end = self.len + word.len();
        let place = self.bytes.get_mut(self.len..end)?;
        for (to, from) in place.iter_mut().zip(word) {
            *to = from.to_ascii_uppercase();
        }
        self.len = end;
        Some(self)
    }

    fn with(self, subcommand: &[u8]) -> Option<Name> {
        self.push(b" ")?.push(subcommand)
    }
}

#[cfg(test)]
#[path = "commands_tests.rs"]
mod tests;

//! What an error reply means: for the caller, and for the next attempt. Pure.
//!
//! That depends on who wrote it. Of a plain command it is the server, and its first words count, nothing behind them: the
//! rest may be the caller's own data. What a script, a function, a module or an unknown command answers is its own words.

use super::commands;
use crate::base::error::{Error, ErrorKind, Outcome};
use crate::resp::{Kind, Reply, Said, Value};
use crate::topology::Role;

/// Whether another node or moment cures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// The error is about the command: it would be the same anywhere.
    None,
    /// The node is not, or not now, what it was taken for.
    AnotherNode,
    /// Only the server, asked on the same connection, can tell whether this is true.
    Ask(Claim),
}

/// What an error that is not the server's own word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The node is a replica and takes no writes.
    Readonly,
    /// The node has no data to serve from at the moment.
    NotServing,
    /// The node does not have the script.
    NoScript,
}

/// Reads the text of an error reply to `args`.
pub(crate) fn of_error(args: &[&[u8]], text: &str) -> (Error, Remedy) {
    if !speaks_for_itself(args) {
        return of_server(args, text);
    }
    let kind = ErrorKind::Server { text: text.to_owned() };
    let remedy = claim_of(args, text).map_or(Remedy::None, Remedy::Ask);
    (Error::new(kind).with_outcome(Outcome::Unknown), remedy)
}

/// The same where the server itself wrote the text, whatever the command.
pub(crate) fn of_server(args: &[&[u8]], text: &str) -> (Error, Remedy) {
    let owned = text.to_owned();
    let kind = match first_word(text) {
        "READONLY" => ErrorKind::Readonly { text: owned },
        "LOADING" => ErrorKind::Loading { text: owned },
        "EXECABORT" => ErrorKind::TransactionAborted { text: owned },
        _ => ErrorKind::Server { text: owned },
    };
    let remedy = match is_about_the_node(text) {
        true => Remedy::AnotherNode,
        false => Remedy::None,
    };
    // A plain command that fails changed nothing. EXEC does not begin then, as far as these words go.
    let refused = remedy == Remedy::AnotherNode || !is_called(args, b"EXEC") || begins(text, &BEFORE_EXEC);
    let outcome = if refused { Outcome::Refused } else { Outcome::Unknown };
    (Error::new(kind).with_outcome(outcome), remedy)
}

/// What an error inside a reply means; `None` for what is none.
pub(crate) fn of_element(element: Value<'_>) -> Option<Error> {
    if element.kind() != Kind::Error {
        return None;
    }
    let text = element.text();
    let lost = |outcome| {
        let cause = text.split_once(' ').map_or("", |(_, cause)| cause).to_owned();
        Error::new(ErrorKind::ConnectionLost { cause }).with_outcome(outcome)
    };
    Some(match element.said() {
        Said::ByServer => of_server(&[], &text).0.with_outcome(Outcome::Refused),
        Said::NotSent => lost(Outcome::NotSent),
        Said::CutOff => lost(Outcome::Unknown),
        Said::BySomebody => {
            let text = text.into_owned();
            Error::new(ErrorKind::Server { text }).with_outcome(Outcome::Unknown)
        }
    })
}

/// The error of a claim that the server has confirmed.
pub(crate) fn confirmed(claim: Claim, text: &str) -> Error {
    let text = text.to_owned();
    let kind = match claim {
        Claim::Readonly => ErrorKind::Readonly { text },
        Claim::NotServing if first_word(&text) == "LOADING" => ErrorKind::Loading { text },
        Claim::NotServing | Claim::NoScript => ErrorKind::Server { text },
    };
    Error::new(kind).with_outcome(Outcome::Refused)
}

/// Whether the server's answer to the question, ROLE or SCRIPT EXISTS, confirms the claim to a client of `wanted`.
pub(crate) fn confirms(claim: Claim, wanted: Role, answer: &Reply) -> bool {
    if answer.kind() != Kind::Array {
        return false;
    }
    let word = |place| answer.at(place).map(|word| word.data().to_vec()).unwrap_or_default();
    let is_replica = matches!(word(0).as_slice(), b"slave" | b"replica");
    match claim {
        Claim::NoScript => answer
            .at(0)
            .is_some_and(|has| has.kind() == Kind::Integer && has.integer() == 0),
        Claim::Readonly => is_replica,
        // ROLE of a replica: `slave`, host, port, state, offset. One that follows its primary has data.
        Claim::NotServing => is_replica && (wanted != Role::Replica || word(3) != b"connected"),
    }
}

/// Whether a text could be about the node, whoever wrote it: to look no further at all others.
pub(super) fn may_be_about_the_node(text: &str) -> bool {
    is_about_the_node(text) || claim_of(&[b"EVAL"], text).is_some()
}

/// Whether the server declined because of what it is or does at the moment. CLIENT UNBLOCK is somebody's wish.
fn is_about_the_node(text: &str) -> bool {
    let text = text.strip_prefix(DISCARDED).unwrap_or(text);
    ["READONLY", "LOADING", "MASTERDOWN"].contains(&first_word(text))
        || begins(
            text,
            &[
                "UNBLOCKED force unblock",
                "ERR max number of clients",
                "ERR WAIT cannot be used with replica",
                "ERR WAITAOF cannot be used with replica",
            ],
        )
}

/// What EXEC puts in front of the cause.
const DISCARDED: &str = "EXECABORT Transaction discarded because of: ";

/// What EXEC says before it executes anything.
const BEFORE_EXEC: [&str; 6] = [
    "NOAUTH ",
    "NOPERM ",
    "BUSY ",
    "NOREPLICAS ",
    "EXECABORT ",
    "ERR EXEC without MULTI",
];

/// What a text that is not the server's own claims. A script of redis-server 6 and older wraps the error of its command.
fn claim_of(args: &[&[u8]], text: &str) -> Option<Claim> {
    let is = |prefix: &[u8]| args.first().is_some_and(|name| has_prefix(name, prefix));
    match first_word(text) {
        "READONLY" => Some(Claim::Readonly),
        "LOADING" | "MASTERDOWN" => Some(Claim::NotServing),
        "NOSCRIPT" if is(b"EVALSHA") && text.starts_with("NOSCRIPT No matching script") => Some(Claim::NoScript),
        _ if is(b"EVAL") && text.contains("-READONLY You can't write") => Some(Claim::Readonly),
        _ if is(b"EVAL") && text.contains("-MASTERDOWN Link with MASTER") => Some(Claim::NotServing),
        _ => None,
    }
}

/// Whether what the command answers is its own words, or those of what it runs: scripts, functions, commands of modules.
pub(super) fn speaks_for_itself(args: &[&[u8]]) -> bool {
    let name = args.first().copied().unwrap_or_default();
    let guests: [&[u8]; 4] = [b"EVAL", b"FCALL", b"MIGRATE", b"DEBUG"];
    guests.iter().any(|own| has_prefix(name, own)) || commands::find(args).is_none()
}

fn is_called(args: &[&[u8]], name: &[u8]) -> bool {
    args.first().is_some_and(|own| own.eq_ignore_ascii_case(name))
}

fn has_prefix(name: &[u8], prefix: &[u8]) -> bool {
    name.get(..prefix.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

fn begins(text: &str, with: &[&str]) -> bool {
    with.iter().any(|own| text.starts_with(own))
}

fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::Builder;

    #[test]
    fn each_error_has_its_outcome_and_remedy() {
        use Outcome::{Refused, Unknown};
        use Remedy::{AnotherNode, Ask, None};
        const READONLY: &str = "READONLY You can't write against a read only replica.";
        const LOADING: &str = "LOADING Redis is loading the dataset in memory";
        const WRAPPED: &str = "ERR Error running script: @user_script: -READONLY You can't write";
        let rows: &[(&[&str], &str, Outcome, Remedy)] = &[
            (&["SET", "k", "v"], READONLY, Refused, AnotherNode),
            (&["SET", "k", "v"], LOADING, Refused, AnotherNode),
            (
                &["GET", "k"],
                "MASTERDOWN Link with MASTER is down",
                Refused,
                AnotherNode,
            ),
            (
                &["BLPOP", "k", "0"],
                "UNBLOCKED force unblock from blocking operation",
                Refused,
                AnotherNode,
            ),
            (
                &["BLPOP", "k", "0"],
                "UNBLOCKED client unblocked via CLIENT UNBLOCK",
                Refused,
                None,
            ),
            (
                &["EXEC"],
                "EXECABORT Transaction discarded because of: READONLY You can't write",
                Refused,
                AnotherNode,
            ),
            (
                &["EXEC"],
                "EXECABORT Transaction discarded because of previous errors.",
                Refused,
                None,
            ),
            (&["EXEC"], "ERR something else", Unknown, None),
            (&["GET", "k"], "ERR max number of clients reached", Refused, AnotherNode),
            (&["SET", "k", "v"], "OOM command not allowed", Refused, None),
            (&["LPUSH", "k", "v"], "WRONGTYPE Operation against a key", Refused, None),
            // What a plain command says behind its first words may be the caller's.
            (&["CONFIG", "GET"], "ERR of -READONLY You can't write", Refused, None),
            (&["SET"], "ERR LOADING Redis is loading the dataset", Refused, None),
            // Their own words, or those of what they ran.
            (&["EVAL", "s", "0"], WRAPPED, Unknown, Ask(Claim::Readonly)),
            (&["fcall", "f", "0"], READONLY, Unknown, Ask(Claim::Readonly)),
            (&["EVAL_RO", "s", "0"], LOADING, Unknown, Ask(Claim::NotServing)),
            (&["MOD.SET", "k"], READONLY, Unknown, Ask(Claim::Readonly)),
            (&["GETT", "k"], "ERR about '-READONLY You can't write'", Unknown, None),
            (&["eval", "s", "0"], "ERR something in the script", Unknown, None),
            (&["EVAL", "s", "0"], "NOSCRIPT No matching script.", Unknown, None),
            (
                &["EVALSHA", "s", "0"],
                "NOSCRIPT No matching script.",
                Unknown,
                Ask(Claim::NoScript),
            ),
            (&["EVALSHA", "s", "0"], "NOSCRIPT of its own", Unknown, None),
            (&["NO.SUCH"], "ERR unknown command 'NO.SUCH'", Unknown, None),
            (&["MODULE.CMD"], "ERR half way", Unknown, None),
            (&["EVAL", "s", "0"], "EXECABORT Transaction discarded", Unknown, None),
        ];
        for (args, text, outcome, remedy) in rows {
            let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
            let (error, cure) = of_error(&args, text);
            assert_eq!((error.outcome(), cure), (*outcome, *remedy), "{text}");
            assert_eq!(error.server_code(), text.split(' ').next());
            assert!(*remedy == None || may_be_about_the_node(text) || *remedy == Ask(Claim::NoScript));
        }
    }

    #[test]
    fn only_the_servers_answer_confirms_a_claim() {
        let role = |words: &[&[u8]]| {
            let mut out = Builder::new();
            out.array(words.len());
            words.iter().for_each(|word| {
                out.string(word);
            });
            out.finish().unwrap()
        };
        let (primary, sync) = (role(&[b"master", b"0"]), role(&[b"slave", b"h", b"1", b"sync"]));
        let connected = role(&[b"slave", b"h", b"1", b"connected"]);
        for claim in [Claim::Readonly, Claim::NotServing, Claim::NoScript] {
            assert!(!confirms(claim, Role::Primary, &primary));
            assert_eq!(confirms(claim, Role::Primary, &connected), claim != Claim::NoScript);
            assert_eq!(confirms(claim, Role::Replica, &connected), claim == Claim::Readonly);
            assert_eq!(confirms(claim, Role::Replica, &sync), claim != Claim::NoScript);
        }
        let exists = |number| {
            let mut out = Builder::new();
            out.array(1).integer(number);
            out.finish().unwrap()
        };
        assert!(confirms(Claim::NoScript, Role::Primary, &exists(0)));
        assert!(!confirms(Claim::NoScript, Role::Primary, &exists(1)));
        assert!(!confirms(Claim::Readonly, Role::Primary, &exists(0)));
    }
}
